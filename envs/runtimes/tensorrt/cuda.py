"""The CUDA calls that serving needs, through pycuda with the primary context.

The primary context is the one that TensorRT and every other library use; the one that `pycuda.autoinit` makes is another, and two contexts take
turns on the GPU. Streams do not block on the default stream, events time, and memory is pinned or the device's: never managed, which a CPU may
not touch on a Jetson while any kernel runs (CUDA for Tegra application note).
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import DependencyError, one_line
from envs.optional import optional_import

#: CU_STREAM_NON_BLOCKING: pycuda has no name for it, and its own default is a stream that waits for the default stream.
NON_BLOCKING = 1

#: Hardware queues: with the driver's own 8, streams beyond that wait for each other (NVIDIA/Deep-Learning-Accelerator-SW, FAQ, asks for 32).
QUEUES = 32


@dataclass(frozen=True)
class GpuFacts:
    """What the driver says of a GPU.

    Attributes:
        name: NVIDIA's.
        capability: compute capability, such as (8, 7).
        sm: multiprocessors that are on; on a Jetson this follows the power mode.
        memory_mib: memory of the GPU; on a Jetson that of the module.
        integrated: whether it shares the memory of the processor.
    """

    name: str
    capability: tuple[int, int]
    sm: int
    memory_mib: float
    integrated: bool


class Cuda:
    """One GPU. Every call but `current` needs the context to be current in the calling thread."""

    def __init__(self, ordinal: int = 0) -> None:
        self._driver = optional_import("pycuda.driver", "jetson")
        os.environ.setdefault(
            "CUDA_DEVICE_MAX_CONNECTIONS", str(QUEUES)
        )  # read when the context is made
        try:
            self._device, self._context = _primary(self._driver, ordinal)
        except (
            Exception
        ) as error:  # pycuda raises errors of its own, and RuntimeError where there is no driver
            raise DependencyError(
                f"no GPU can be used ({one_line(error)}): look at `nvidia-smi`, or on a Jetson at the group `video`"
            ) from error

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Makes the primary context the calling thread's own for a moment."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def facts(self) -> GpuFacts:
        attribute, of = self._driver.device_attribute, self._device.get_attribute
        return GpuFacts(
            name=str(self._device.name()),
            capability=tuple(self._device.compute_capability()),
            sm=int(of(attribute.MULTIPROCESSOR_COUNT)),
            memory_mib=self._device.total_memory() / 2**20,
            integrated=bool(of(attribute.INTEGRATED)),
        )

    def stream(self) -> Any:
        """A stream that does not wait for the default one, which would make all instances take turns.

        All have one priority: pycuda cannot give another, no knob of a configuration asks for it, and on a DLA it does nothing (NVIDIA/TensorRT issue 3556).
        """
        return self._driver.Stream(NON_BLOCKING)

    def event(self) -> Any:
        return self._driver.Event()

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Host memory that copies need not stage, zeroed."""
        array: npt.NDArray[Any] = self._driver.pagelocked_empty(shape, np.dtype(dtype))
        array.fill(0)
        return array

    def memory(self, size: int) -> Any:
        """Bytes on the device, at least one; MemoryError where there are none."""
        try:
            return self._driver.mem_alloc(max(1, size))
        except self._driver.MemoryError as error:
            raise MemoryError(f"the GPU has no {size / 2**20:.0f} MiB left") from error

    def to_device(self, target: Any, source: npt.NDArray[Any], stream: Any) -> None:
        self._driver.memcpy_htod_async(target, source, stream)

    def to_host(self, target: npt.NDArray[Any], source: Any, stream: Any) -> None:
        self._driver.memcpy_dtoh_async(target, source, stream)


@functools.cache
def _primary(driver: Any, ordinal: int) -> tuple[Any, Any]:
    """A GPU and its primary context, retained once and never given back.

    Were it destroyed, what TensorRT has loaded into it would be lost to the next runtime of this process; and pycuda's destructor would detach from
    it as from a context of its own making (cuda.hpp, `context::detach_internal`).
    """
    driver.init()
    device = driver.Device(ordinal)
    return device, device.retain_primary_context()


class CapturedGraph:
    """What `enqueue` put on a stream, launched as one from then on. pycuda cannot capture, so that this takes cuda-python.

    Captured for this thread alone: otherwise what other threads do on the default stream meanwhile would fail (CUDA error 906).
    """

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        self._runtime, self._stream = _cudart(), stream
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)
        enqueued = False
        try:
            enqueue()
            enqueued = True
        finally:
            graph = self._call("cudaStreamEndCapture", stream)
            if not enqueued:
                self._call("cudaGraphDestroy", graph)
        try:
            self._executable = self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)

    def launch(self) -> None:
        self._call("cudaGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        self._call("cudaGraphExecDestroy", self._executable)

    def _call(self, name: str, *arguments: Any) -> Any:
        error, *results = getattr(self._runtime, name)(*arguments)
        if int(error) != 0:
            raise RuntimeError(f"{name} failed: {error}")
        return results[0] if results else None


def can_capture() -> bool:
    """Whether cuda-python is there."""
    try:
        _cudart()
    except DependencyError:
        return False
    return True


def _cudart() -> Any:
    """The runtime API of cuda-python: `cuda.bindings.runtime` from 12.8 on, `cuda.cudart` before."""
    with contextlib.suppress(DependencyError):
        return optional_import("cuda.bindings.runtime", "jetson")
    return optional_import("cuda.cudart", "jetson")
