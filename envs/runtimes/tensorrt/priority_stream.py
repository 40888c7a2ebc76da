"""A stream with a priority, and events and copies on it.

pycuda makes no such stream and takes no stream of others, neither for its events nor for copies.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Any

import numpy.typing as npt

from envs.runtimes.tensorrt.driver_calls import NON_BLOCKING, DriverCalls


class PriorityStream:
    """A stream that does not wait for the default one, and has a priority.

    Among kernels that wait for room on the GPU those of a higher priority, a lower number, go
    first. Kernels that run are not stopped, copies know no priority (CUDA driver API,
    cuStreamCreateWithPriority), and a DLA knows none either (NVIDIA/TensorRT issue 3556).

    The context has to be current in every call.

    Args:
        calls: of the driver.
        priority: within `priority_range`.

    Attributes:
        handle: of the stream, as TensorRT takes it.

    Raises:
        RuntimeError: the driver refuses, as in every method.
    """

    def __init__(self, calls: DriverCalls, priority: int) -> None:
        self._calls = calls
        self._stream = calls.created("cuStreamCreateWithPriority", NON_BLOCKING, priority)
        self.handle = int(self._stream.value or 0)

    def synchronize(self) -> None:
        """Wait for everything that was enqueued."""
        self._calls.call("cuStreamSynchronize", self._stream)

    def event(self) -> PriorityEvent:
        """Return an event that takes times on such streams."""
        return PriorityEvent(self._calls)

    def to_device(self, target: Any, source: npt.NDArray[Any]) -> None:
        """Enqueue a copy of contiguous pinned memory to the device."""
        name = "cuMemcpyHtoDAsync_v2"
        self._calls.call(name, int(target), source.ctypes.data, source.nbytes, self._stream)

    def to_host(self, target: npt.NDArray[Any], source: Any) -> None:
        """Enqueue a copy to contiguous pinned memory."""
        name = "cuMemcpyDtoHAsync_v2"
        self._calls.call(name, target.ctypes.data, int(source), target.nbytes, self._stream)

    def close(self) -> None:
        """Release the stream; never raise."""
        with contextlib.suppress(RuntimeError):
            self._calls.call("cuStreamDestroy_v2", self._stream)


class PriorityEvent:
    """An event with the methods of pycuda's; see `PriorityStream`."""

    def __init__(self, calls: DriverCalls) -> None:
        self._calls = calls
        self._event = calls.created("cuEventCreate", 0)

    def record(self, stream: PriorityStream) -> None:
        """Happen when everything that was enqueued so far is done."""
        self._calls.call("cuEventRecord", self._event, stream.handle)

    def query(self) -> bool:
        """Return True if it has happened."""
        return self._calls.ready("cuEventQuery", self._event)

    def synchronize(self) -> None:
        """Wait until it has happened."""
        self._calls.call("cuEventSynchronize", self._event)

    def time_till(self, later: PriorityEvent) -> float:
        """Return the time until another event [ms]."""
        found = ctypes.c_float()
        self._calls.call("cuEventElapsedTime", ctypes.byref(found), self._event, later._event)
        return found.value

    def close(self) -> None:
        """Release the event; never raise."""
        with contextlib.suppress(RuntimeError):
            self._calls.call("cuEventDestroy_v2", self._event)


def priority_range(calls: DriverCalls) -> tuple[int, int]:
    """Return the lowest and the highest priority; the lower number is the higher priority.

    Raises:
        RuntimeError: the driver refuses, or there is one priority alone.
    """
    lowest, highest = ctypes.c_int(), ctypes.c_int()
    calls.call("cuCtxGetStreamPriorityRange", ctypes.byref(lowest), ctypes.byref(highest))
    if lowest.value <= highest.value:
        raise RuntimeError("this GPU has one priority alone")
    return lowest.value, highest.value
