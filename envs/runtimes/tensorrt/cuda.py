"""The CUDA calls that serving needs, through pycuda with the primary context.

TensorRT and every other library use the primary context. `pycuda.autoinit` makes another one, and
two contexts take turns on the GPU. Streams do not block on the default stream, events take times,
and memory is pinned or on the device. It is never managed memory, which a CPU may not touch on a
Jetson while a kernel runs (CUDA for Tegra application note).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import DependencyError, one_line
from envs.runtimes.tensorrt.driver_calls import GRAPHS, NON_BLOCKING, THREAD_LOCAL, driver_calls
from envs.runtimes.tensorrt.loading import load_native
from envs.runtimes.tensorrt.priority_stream import PriorityStream

#: Hardware queues. With the driver's default of 8, more streams than that wait for each other
#: (NVIDIA/Deep-Learning-Accelerator-SW, FAQ, recommends 32).
QUEUES = 32

_REBUILD = (
    "build it again for this Python and CUDA: "
    "`pip install --force-reinstall --no-cache-dir --no-binary pycuda 'orin-tuner[jetson]'`"
)


@dataclass(frozen=True)
class GpuFacts:
    """Properties of a GPU, from its driver.

    Attributes:
        name: NVIDIA's name.
        capability: compute capability, such as (8, 7).
        sm: multiprocessors that are on; on a Jetson this follows the power mode.
        memory_mib: memory of the GPU; on a Jetson that of the module.
        integrated: whether it shares the memory of the processor.
        clock_mhz: highest clock of the GPU; NaN, as below, where the driver does not tell.
        memory_clock_mhz: highest clock of its memory. On an Orin the driver gives the highest clock
            of the GPU in the present power mode instead.
        bus_width_bits: width of the path to its memory; wrong on an Orin.
        l2_mib: L2 cache.
        driver_version: such as 12060 for CUDA 12.6; 0 where it is not known.
    """

    name: str
    capability: tuple[int, int]
    sm: int
    memory_mib: float
    integrated: bool
    clock_mhz: float = math.nan
    memory_clock_mhz: float = math.nan
    bus_width_bits: float = math.nan
    l2_mib: float = math.nan
    driver_version: int = 0


class Cuda:
    """One GPU. Every method except `current` needs the context to be current in its thread.

    Attributes:
        driver: the module `pycuda.driver`.
    """

    def __init__(self, ordinal: int = 0) -> None:
        self.driver = _pycuda()
        # The driver reads this when the context is made.
        os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", str(QUEUES))
        try:
            self._device, self._context = _primary(self.driver, ordinal)
        except Exception as error:  # errors of pycuda, or RuntimeError without a driver
            raise DependencyError(
                f"no GPU can be used ({one_line(error)}): look at `nvidia-smi`, "
                "or on a Jetson at the group `video`"
            ) from error

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make the primary context current in the calling thread until the block ends."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def facts(self) -> GpuFacts:
        """Return the GPU's properties."""
        attribute, of = self.driver.device_attribute, self._device.get_attribute
        return GpuFacts(
            name=str(self._device.name()),
            capability=tuple(self._device.compute_capability()),
            sm=int(of(attribute.MULTIPROCESSOR_COUNT)),
            memory_mib=self._device.total_memory() / 2**20,
            integrated=bool(of(attribute.INTEGRATED)),
            clock_mhz=self._number("CLOCK_RATE") / 1e3,
            memory_clock_mhz=self._number("MEMORY_CLOCK_RATE") / 1e3,
            bus_width_bits=self._number("GLOBAL_MEMORY_BUS_WIDTH"),
            l2_mib=self._number("L2_CACHE_SIZE") / 2**20,
            driver_version=int(self.driver.get_driver_version()),
        )

    def _number(self, attribute: str) -> float:
        """Return an attribute of the GPU; NaN where this driver or this pycuda has none."""
        try:
            name = getattr(self.driver.device_attribute, attribute)
            return float(self._device.get_attribute(name)) or math.nan
        except Exception:  # errors of pycuda have no type without its import
            return math.nan

    def free_mib(self) -> float:
        """Return the memory that the driver could still give [MiB]."""
        return float(self.driver.mem_get_info()[0] / 2**20)

    def stream(self) -> Any:
        """Return a stream that does not wait for the default one, which would serialise instances.

        It has CUDA's default priority, 0; see `PriorityStream` for others.
        """
        return self.driver.Stream(NON_BLOCKING)

    def event(self) -> Any:
        """Return an event that takes times."""
        return self.driver.Event()

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return zeroed host memory that is copied without staging."""
        array: npt.NDArray[Any] = self.driver.pagelocked_empty(shape, np.dtype(dtype))
        array.fill(0)
        return array

    def memory(self, size: int) -> Any:
        """Allocate memory on the device, at least one byte; MemoryError if there is none."""
        try:
            return self.driver.mem_alloc(max(1, size))
        except self.driver.MemoryError as error:
            raise MemoryError(f"the GPU has no {size / 2**20:.0f} MiB left") from error

    def to_device(self, target: Any, source: npt.NDArray[Any], stream: Any) -> None:
        """Enqueue a copy to the device."""
        if isinstance(stream, PriorityStream):
            stream.to_device(target, source)
        else:
            self.driver.memcpy_htod_async(target, source, stream)

    def to_host(self, target: npt.NDArray[Any], source: Any, stream: Any) -> None:
        """Enqueue a copy to the host."""
        if isinstance(stream, PriorityStream):
            stream.to_host(target, source)
        else:
            self.driver.memcpy_dtoh_async(target, source, stream)


@functools.cache
def _primary(driver: Any, ordinal: int) -> tuple[Any, Any]:
    """Return a GPU and its primary context, which is retained once and never released.

    If it were destroyed, the next runtime of this process would lose everything that TensorRT has
    loaded into it. Also, pycuda's destructor would detach from it as from a context that pycuda
    made (cuda.hpp, `context::detach_internal`).
    """
    driver.init()
    device = driver.Device(ordinal)
    context = device.retain_primary_context()
    # Not at the end of the process either: one reference is never given back.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(context))
    return device, context


class CapturedGraph:
    """Work that `enqueue` puts on a stream, launched as one from then on.

    The capture is local to this thread: otherwise calls of other threads on the default stream
    would fail meanwhile (CUDA error 906).

    A graph runs with the priority of the stream that it is launched in, unless a flag asks for that
    of the stream on which its kernels were captured (CUDA driver API, cuGraphInstantiateWithFlags
    and CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY). Here both are the same stream.
    """

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        self._calls, self._stream = driver_calls(_pycuda(), GRAPHS), stream
        self._calls.call("cuStreamBeginCapture_v2", stream, THREAD_LOCAL)
        enqueued = False
        try:
            enqueue()
            enqueued = True
        finally:
            graph = self._calls.made("cuStreamEndCapture", stream)
            if not enqueued:
                self._calls.call("cuGraphDestroy", graph)
        try:
            self._executable = self._calls.created("cuGraphInstantiateWithFlags", graph, 0)
        finally:
            self._calls.call("cuGraphDestroy", graph)

    def launch(self) -> None:
        """Enqueue the work again."""
        self._calls.call("cuGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        """Release the graph."""
        self._calls.call("cuGraphExecDestroy", self._executable)


def capture_refusal(cuda: Cuda | None = None) -> str:
    """Capture a copy to the GPU and back, launch it, and look at what it copied.

    Args:
        cuda: the GPU; the first one if not given.

    Returns:
        Why that failed; empty if CUDA graphs work here.
    """
    try:
        gpu = cuda or Cuda()
        driver_calls(gpu.driver, GRAPHS)
        with gpu.current():
            return _try_capture(gpu)
    except Exception as error:  # pycuda's errors have no other common base
        return one_line(error)


def _try_capture(cuda: Cuda) -> str:
    stream = cuda.stream()
    sent, received = cuda.pinned((4,), np.int32), cuda.pinned((4,), np.int32)
    memory = cuda.memory(sent.nbytes)
    pieces: list[Any] = [memory, sent.base, received.base]

    def enqueue() -> None:
        cuda.to_device(memory, sent, stream)
        cuda.to_host(received, memory, stream)

    try:
        graph = CapturedGraph(stream.handle, enqueue)
        try:
            sent[:] = range(1, 5)  # after the capture, so that only a launch can copy it
            graph.launch()
            stream.synchronize()
        finally:
            graph.close()
        return "" if (sent == received).all() else "a captured copy gave wrong values"
    finally:
        for piece in pieces:
            piece.free()


def _pycuda() -> Any:
    return load_native("pycuda.driver", "pycuda", _REBUILD)
