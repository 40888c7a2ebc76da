"""The queue in front of a tenant's instances, where batches form."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt

from envs.errors import RuntimeFault

Sample = tuple[npt.NDArray[np.generic], ...]
Answer = dict[str, npt.NDArray[np.generic]]

clock = time.perf_counter


class QueueFull(RuntimeFault):
    """More was asked for than is being answered; the request was not accepted."""


class Request:
    """One inference that was asked for.

    Attributes:
        inputs: one array an input of the network, without the batch dimension.
        arrival_s: when it was due, from which its latency counts; queued_s: when it entered the queue, from which its wait counts.
    """

    __slots__ = ("arrival_s", "future", "inputs", "queued_s")

    def __init__(self, inputs: Sample, arrival_s: float | None) -> None:
        self.inputs = inputs
        self.future: Future[Answer] = Future()
        self.queued_s = clock()
        self.arrival_s = self.queued_s if arrival_s is None else arrival_s

    def begin(self) -> bool:
        """Whether its answer is still wanted; from now on it cannot be cancelled any more."""
        try:
            return self.future.set_running_or_notify_cancel()
        except RuntimeError:  # its owner has settled the future himself
            return False


class RequestQueue:
    """First come first served, shared by the instances of a tenant, each of which takes batches of its own size.

    Attributes:
        listener: called whenever takers should look again; for one that has other things to wait for than this queue.
    """

    def __init__(self, max_wait_s: float) -> None:
        self.listener: Callable[[], None] | None = None
        self._max_wait_s = max_wait_s
        self._requests: deque[Request] = deque()
        self._changed = threading.Condition()

    def put(self, request: Request) -> None:
        with self._changed:
            self._requests.append(request)
            # All, not one: a waiter that needs eight must not swallow the wake-up of one that needs a single request.
            self._changed.notify_all()
        if self.listener is not None:
            self.listener()

    def take(self, batch: Callable[[], int], stopping: Callable[[], bool]) -> list[Request] | None:
        """Up to `batch()` requests: as soon as that many wait, or the oldest has waited `max_wait_s`; None once `stopping()`."""
        with self._changed:
            while not stopping():
                if ready := self._ready(batch()):
                    return ready
                self._changed.wait(max(0.0, self.due_s() - clock()) if self._requests else None)
            return None

    def take_ready(self, batch: int) -> list[Request]:
        """As `take`, but at once: nothing where no batch is ready."""
        with self._changed:
            return self._ready(batch)

    def due_s(self) -> float:
        """When the oldest request will have waited long enough; infinity where none waits."""
        with self._changed:
            return self._requests[0].queued_s + self._max_wait_s if self._requests else math.inf

    def wake(self) -> None:
        """Let waiters look again, after a batch size or a stop sign has changed."""
        with self._changed:
            self._changed.notify_all()
        if self.listener is not None:
            self.listener()

    def drain(self) -> list[Request]:
        """Take everything that waits."""
        with self._changed:
            waiting = list(self._requests)
            self._requests.clear()
            return waiting

    def due_between(self, start_s: float, end_s: float) -> list[float]:
        """Arrivals in a span of what waits."""
        with self._changed:
            return [
                request.arrival_s
                for request in self._requests
                if start_s <= request.arrival_s < end_s
            ]

    def any_due(self, start_s: float, end_s: float) -> bool:
        """Whether there is such a one."""
        with self._changed:
            return any(start_s <= request.arrival_s < end_s for request in self._requests)

    def __len__(self) -> int:
        return len(self._requests)

    def _ready(self, batch: int) -> list[Request]:
        waiting = len(self._requests)
        if waiting >= batch or (waiting and self.due_s() <= clock()):
            return [self._requests.popleft() for _ in range(min(batch, waiting))]
        return []
