"""A stand-in for `pycuda.driver`: this computer's memory takes the place of a GPU's.

A stream does at once whatever it is given. Every call checks that a context is current.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.runtimes.tensorrt.cuda import GpuFacts
from tests.standins.tensorrt.faults import ILLEGAL, NO_MEMORY, Faults

#: The GPU of a Jetson AGX Orin of 32 GB in MAXN, as `deviceQuery` prints it (its memory clock is
#: the highest clock of the GPU in the power mode). CUDA 12.6.
ORIN = GpuFacts("Orin", (8, 7), 16, 30_000.0, True, 1300.0, 1300.0, 128.0, 4.0, 12060)


#: Bytes of each live piece of device memory, by its address.
_SIZES: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()


def check_inside(address: int, size: int) -> None:
    """Assert that `size` bytes were allocated at the address of a piece of device memory.

    Memory of another driver is not known here.
    """
    piece = _SIZES.get(address)
    assert piece is None or size <= piece.size, f"{size} bytes in memory of {piece.size}"


class Memory:
    """A piece of device memory; asserts that it is freed once and not used afterwards."""

    def __init__(self, owner: FakeDriver, size: int) -> None:
        self._owner, self._bytes, self._freed = owner, (ctypes.c_char * size)(), False
        self.size = size
        _SIZES[ctypes.addressof(self._bytes)] = self
        owner.live += 1
        owner.used_mib += size / 2**20

    def __int__(self) -> int:
        assert not self._freed, "memory was used after it was freed"
        return ctypes.addressof(self._bytes)

    def free(self) -> None:
        """Give the memory back."""
        assert not self._freed, "freed twice"
        self._freed = True
        self._owner.live -= 1
        self._owner.used_mib -= ctypes.sizeof(self._bytes) / 2**20


class Stream:
    """A stream whose work is done as soon as it is enqueued."""

    def __init__(self, handle: int, call: Callable[[str], None]) -> None:
        self.handle, self._call = handle, call

    def synchronize(self) -> None:
        """Return at once."""
        self._call("cuStreamSynchronize")


class Event:
    """An event that has always happened, 1.5 ms after any other."""

    def __init__(self, call: Callable[[str], None]) -> None:
        self._call = call

    def record(self, stream: Stream) -> None:
        """Do nothing."""
        self._call("cuEventRecord")

    def query(self) -> bool:
        """Return True."""
        self._call("cuEventQuery")
        return True

    def synchronize(self) -> None:
        """Return at once."""
        self._call("cuEventSynchronize")

    def time_till(self, other: Event) -> float:
        """Return 1.5 ms."""
        return 1.5


class FakeDriver:
    """The module, as far as `envs.runtimes.tensorrt.cuda.Cuda` uses it.

    Attributes:
        live: pieces of device memory that are not freed.
        used_mib: what the live pieces hold together.
        left_mib: the largest piece that can be had.
        depth: contexts that are current in any thread.
        faults: what fails.
    """

    # Like pycuda's own, which have `Error` in common.
    Error = type("Error", (Exception,), {})
    MemoryError = type("MemoryError", (Error,), {})
    LogicError = type("LogicError", (Error,), {})
    RuntimeError = type("RuntimeError", (Error,), {})

    def __init__(self, facts: GpuFacts = ORIN, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.live, self.left_mib, self.depth = 0, float("inf"), 0
        self.used_mib = 0.0
        #: Each attribute takes its number from the facts.
        self.device_attribute = SimpleNamespace(
            MULTIPROCESSOR_COUNT=lambda facts: facts.sm,
            INTEGRATED=lambda facts: facts.integrated,
            CLOCK_RATE=lambda facts: facts.clock_mhz * 1e3,
            MEMORY_CLOCK_RATE=lambda facts: facts.memory_clock_mhz * 1e3,
            GLOBAL_MEMORY_BUS_WIDTH=lambda facts: facts.bus_width_bits,
            L2_CACHE_SIZE=lambda facts: facts.l2_mib * 2**20,
        )
        self._facts, self._streams = facts, 0

    def init(self) -> None:
        """Do nothing; raise where there is no GPU."""
        if self.faults.no_gpu:
            raise self.RuntimeError("cuInit failed: no CUDA-capable device is detected")

    def Device(self, ordinal: int) -> Any:
        """Return the GPU."""
        facts = self._facts
        context = SimpleNamespace(push=lambda: self._nest(1), pop=lambda: self._nest(-1))
        return SimpleNamespace(
            retain_primary_context=lambda: context,
            name=lambda: facts.name,
            compute_capability=lambda: facts.capability,
            get_attribute=lambda attribute: attribute(facts),
            total_memory=lambda: int(facts.memory_mib * 2**20),
        )

    def get_driver_version(self) -> int:
        """Return the version of CUDA that the driver is made for."""
        return self._facts.driver_version

    def mem_get_info(self) -> tuple[int, int]:
        """Return the bytes of the GPU's memory that are free, and all of them."""
        self._call("cuMemGetInfo")
        total = self._facts.memory_mib * 2**20
        return int(total - self.used_mib * 2**20), int(total)

    def Stream(self, flags: int) -> Any:
        """Return a new stream."""
        self._call("cuStreamCreate")
        self._streams += 1
        return Stream(self._streams, self._call)

    def Event(self) -> Any:
        """Return a new event."""
        self._call("cuEventCreate")
        return Event(self._call)

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return host memory."""
        self._call("cuMemHostAlloc")
        if self.faults.memory_ended("pagelocked", self.live):
            raise self.MemoryError(f"cuMemHostAlloc failed: {NO_MEMORY}")
        return np.empty(shape, dtype)

    def mem_alloc(self, size: int) -> Memory:
        """Return device memory; MemoryError where `left_mib` is less."""
        self._call("cuMemAlloc")
        if size / 2**20 > self.left_mib or self.faults.memory_ended("mem_alloc", self.live):
            raise self.MemoryError(f"cuMemAlloc failed: {NO_MEMORY}")
        return Memory(self, size)

    def memcpy_htod_async(self, target: Memory, source: npt.NDArray[Any], stream: Any) -> None:
        """Copy to the device."""
        self._call("cuMemcpyHtoDAsync")
        assert source.flags.c_contiguous
        check_inside(int(target), source.nbytes)
        ctypes.memmove(int(target), source.ctypes.data, source.nbytes)

    def memcpy_dtoh_async(self, target: npt.NDArray[Any], source: Memory, stream: Any) -> None:
        """Copy to the host."""
        self._call("cuMemcpyDtoHAsync")
        assert target.flags.c_contiguous
        check_inside(int(source), target.nbytes)
        ctypes.memmove(target.ctypes.data, int(source), target.nbytes)

    def _nest(self, change: int) -> None:
        self.depth += change

    def _call(self, name: str) -> None:
        """Check that a call may be made; once the GPU is broken, every call fails."""
        assert self.depth, "the context is not current"
        if self.faults.broken:
            raise self.LogicError(f"{name} failed: {ILLEGAL}")


class RecordedGraph:
    """Stands in for `CapturedGraph`: each launch does again what was captured."""

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        self._enqueue = enqueue
        self.launches = 0

    def launch(self) -> None:
        """Do what was captured."""
        self.launches += 1
        self._enqueue()

    def close(self) -> None:
        """Do nothing."""


class FakeCalls:
    """Stands in for `DriverCalls` with the functions of `STREAMS`, over a `FakeDriver`.

    Attributes:
        refused: names of functions that fail.
        lowest, highest: priorities of the GPU.
        streams: the priority of each stream that exists, by its handle.
        events: handles of events that exist.
        made: the priority of every stream that was made.
    """

    def __init__(self, driver: FakeDriver, *refused: str) -> None:
        self._driver, self.refused = driver, set(refused)
        self.lowest, self.highest = 0, -5
        self.streams: dict[int, int] = {}
        self.events: set[int] = set()
        self.made: list[int] = []
        self._handle = 1000

    def call(self, name: str, *arguments: Any) -> None:
        """Do it at once; RuntimeError if it is refused or the GPU is broken."""
        assert self._driver.depth, "the context is not current"
        if self._driver.faults.broken:
            raise RuntimeError(f"{name} failed: {ILLEGAL} (700)")
        if name in self.refused:
            raise RuntimeError(f"{name} failed: operation not supported (801)")
        getattr(self, f"_{name}")(*arguments)

    def ready(self, name: str, *arguments: Any) -> bool:
        """Return True: everything is done at once."""
        self.call(name, *arguments)
        return True

    def created(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Return a new handle."""
        self._handle += 1
        self.call(name, self._handle, *arguments)
        return ctypes.c_void_p(self._handle)

    def _cuCtxGetStreamPriorityRange(self, lowest: Any, highest: Any) -> None:
        lowest._obj.value, highest._obj.value = self.lowest, self.highest

    def _cuStreamCreateWithPriority(self, made: int, flags: int, priority: int) -> None:
        assert flags == 1, "it would wait for the default stream"
        self.streams[made] = priority
        self.made.append(priority)

    def _cuStreamSynchronize(self, stream: Any) -> None:
        assert stream.value in self.streams

    def _cuStreamDestroy_v2(self, stream: Any) -> None:
        del self.streams[stream.value]

    def _cuEventCreate(self, made: int, flags: int) -> None:
        assert flags == 0, "it would take no times"
        self.events.add(made)

    def _cuEventRecord(self, event: Any, stream: int) -> None:
        assert event.value in self.events
        assert stream in self.streams

    def _cuEventQuery(self, event: Any) -> None:
        assert event.value in self.events

    _cuEventSynchronize = _cuEventQuery  # noqa: N815

    def _cuEventElapsedTime(self, found: Any, first: Any, last: Any) -> None:
        assert {first.value, last.value} <= self.events
        found._obj.value = 1.5

    def _cuEventDestroy_v2(self, event: Any) -> None:
        self.events.remove(event.value)

    def _cuMemcpyHtoDAsync_v2(self, to: int, source: int, size: int, stream: Any) -> None:
        assert stream.value in self.streams
        check_inside(to, size)
        ctypes.memmove(to, source, size)

    def _cuMemcpyDtoHAsync_v2(self, to: int, source: int, size: int, stream: Any) -> None:
        assert stream.value in self.streams
        check_inside(source, size)
        ctypes.memmove(to, source, size)
