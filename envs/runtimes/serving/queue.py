"""The queue in front of a tenant's instances, where batches form."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt

from envs.arrays import NamedArrays
from envs.errors import RuntimeFault

Sample = tuple[npt.NDArray[np.generic], ...]

clock = time.perf_counter


class QueueFull(RuntimeFault):
    """Too many requests wait already; this one was not accepted."""


class Request:
    """One inference that was asked for.

    Attributes:
        inputs: one array per input of the network, without the batch dimension.
        future: of the outputs by name, without the batch dimension.
        arrival_s: when it was due; its latency counts from here.
        queued_s: when it entered the queue; its wait for a batch to fill counts from here.
        scales: value of one step of each input whose INT8 numbers stand for real ones, None for
            the others; empty if there are none.
    """

    __slots__ = ("arrival_s", "future", "inputs", "queued_s", "scales")

    def __init__(
        self, inputs: Sample, arrival_s: float | None, scales: tuple[float | None, ...] = ()
    ) -> None:
        self.inputs, self.scales = inputs, scales
        self.future: Future[NamedArrays] = Future()
        self.queued_s = clock()
        self.arrival_s = self.queued_s if arrival_s is None else arrival_s

    def values(self, position: int, dtype: str) -> npt.NDArray[np.generic]:
        """Return an input in a type of the network: value = scale * number for INT8 steps."""
        array = self.inputs[position]
        scale = self.scales[position] if self.scales else None
        if scale is not None:
            return np.multiply(array, np.float32(scale), dtype=np.float32).astype(dtype, copy=False)
        return array if array.dtype == dtype else array.astype(dtype)

    def begin(self) -> bool:
        """Return True if the answer is still wanted; the request can no longer be cancelled."""
        try:
            return self.future.set_running_or_notify_cancel()
        except RuntimeError:  # the owner set a result on the future
            return False


class RequestQueue:
    """Serves first come first; all instances of a tenant take batches of their own size from it.

    Attributes:
        listener: called whenever takers should look again; for a taker that also waits for other
            events than those of this queue.
    """

    def __init__(self, max_wait_s: float) -> None:
        self.listener: Callable[[], None] | None = None
        self._max_wait_s = max_wait_s
        self._requests: deque[Request] = deque()
        self._changed = threading.Condition()

    def put(self, request: Request) -> None:
        """Add a request."""
        with self._changed:
            self._requests.append(request)
            # Wake all: one that needs a batch of eight must not swallow the call for another.
            self._changed.notify_all()
        if self.listener is not None:
            self.listener()

    def take(self, batch: Callable[[], int], stopping: Callable[[], bool]) -> list[Request] | None:
        """Wait for up to `batch()` requests; return None once `stopping()`.

        A batch is ready when that many wait, or the oldest has waited `max_wait_s`.
        """
        with self._changed:
            while not stopping():
                if ready := self._ready(batch()):
                    return ready
                self._changed.wait(max(0.0, self.due_s() - clock()) if self._requests else None)
            return None

    def take_ready(self, batch: int) -> list[Request]:
        """Return a batch if one is ready, else an empty list, without waiting."""
        with self._changed:
            return self._ready(batch)

    def due_s(self) -> float:
        """Return when the oldest request will have waited `max_wait_s`; infinity if none waits."""
        with self._changed:
            return self._requests[0].queued_s + self._max_wait_s if self._requests else math.inf

    def wake(self) -> None:
        """Let takers look again, after a batch size or a stop flag has changed."""
        with self._changed:
            self._changed.notify_all()
        if self.listener is not None:
            self.listener()

    def drain(self) -> list[Request]:
        """Take every waiting request."""
        with self._changed:
            waiting = list(self._requests)
            self._requests.clear()
            return waiting

    def due_between(self, start_s: float, end_s: float) -> list[float]:
        """Return the arrivals in [start_s, end_s) of the waiting requests."""
        with self._changed:
            return [
                request.arrival_s
                for request in self._requests
                if start_s <= request.arrival_s < end_s
            ]

    def __len__(self) -> int:
        return len(self._requests)

    def _ready(self, batch: int) -> list[Request]:
        waiting = len(self._requests)
        if waiting >= batch or (waiting and self.due_s() <= clock()):
            return [self._requests.popleft() for _ in range(min(batch, waiting))]
        return []
