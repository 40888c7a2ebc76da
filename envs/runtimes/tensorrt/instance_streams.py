"""The streams of instances: on the GPU those of critical tenants go before best effort."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from envs.errors import one_line
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.driver_calls import STREAMS, driver_calls
from envs.runtimes.tensorrt.priority_stream import PriorityEvent, PriorityStream, priority_range


class InstanceStream:
    """A stream, and the events around the work of a batch.

    Args:
        stream: of pycuda, or one with a priority.
        start, end: events of the same sort.

    Attributes:
        stream, start, end: see above, until it is closed.
    """

    def __init__(self, stream: Any, start: Any, end: Any) -> None:
        self.stream, self.start, self.end = stream, start, end

    def close(self) -> None:
        """Release all three; the context has to be current. Nobody else may hold the stream."""
        for piece in (self.end, self.start, self.stream):
            if isinstance(piece, PriorityStream | PriorityEvent):
                piece.close()
        del self.stream, self.start, self.end, piece  # pycuda releases what nobody holds


class InstanceStreams:
    """Makes the streams of a workload's instances.

    Where a tenant is best effort, its streams have the lowest priority of the GPU and those of
    critical tenants the highest one: CUDA's default, 0, is the lowest of those that GPUs have. In
    other workloads, and where the driver refuses, streams have the default.

    Args:
        cuda: the GPU.
        best_effort: [T], True for each tenant that gives way to the others.

    Attributes:
        refused: why streams have no priority; empty if they have, or none has been wanted.
    """

    def __init__(self, cuda: Cuda, best_effort: Sequence[bool]) -> None:
        self._cuda, self._best_effort = cuda, tuple(best_effort)
        self.refused = ""

    def of(self, tenant: int) -> InstanceStream:
        """Return a new stream for an instance of a tenant; the context has to be current."""
        if any(self._best_effort) and not self.refused:
            try:
                return self._with_priority(self._best_effort[tenant])
            except Exception as error:  # as with captures: pycuda's have no other common base
                self.refused = one_line(error)
        cuda = self._cuda
        return InstanceStream(cuda.stream(), cuda.event(), cuda.event())

    def _with_priority(self, best_effort: bool) -> InstanceStream:
        calls = driver_calls(self._cuda.driver, STREAMS)
        lowest, highest = priority_range(calls)
        with contextlib.ExitStack() as unfinished:
            stream = PriorityStream(calls, lowest if best_effort else highest)
            unfinished.callback(stream.close)
            start = stream.event()
            unfinished.callback(start.close)
            made = InstanceStream(stream, start, stream.event())
            unfinished.pop_all()
            return made
