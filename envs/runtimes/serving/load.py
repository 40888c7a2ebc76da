"""Load of a tenant. The generators are clients of `submit`, as any other program is."""

import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

import numpy as np

from envs.accuracy.samples import Samples, invented
from envs.arrays import NamedArrays
from envs.errors import RuntimeFault
from envs.runtimes.serving.instance import Instance
from envs.runtimes.serving.queue import QueueFull, RequestQueue, Sample, clock
from envs.spec import Network

Submit = Callable[[Sample, "float | None"], "Future[NamedArrays]"]

#: Distinct samples that a generator sends in turn: few, so that they stay in the caches, as a
#: frame does that has just arrived.
POOL = 2


class Load(Protocol):
    """Traffic of one tenant."""

    @property
    def closed(self) -> bool:
        """Return True if a request comes when another is answered: instances are saturated."""

    def start(self) -> None:
        """Begin to send."""

    def stop(self) -> None:
        """Send no more and cancel the requests that wait; those being served are finished."""

    def unanswered(self, start_s: float, end_s: float) -> list[float]:
        """Return the arrivals in [start_s, end_s) without an answer yet, or dropped for good."""

    def waits(self, start_s: float, end_s: float) -> bool:
        """Return True if a request that was due in [start_s, end_s) may still be answered."""


def sample_pool(network: Network, seed: int, count: int = POOL) -> list[Sample]:
    """Return seeded random samples for a network, see `envs.accuracy.samples.invented`."""
    return pool_of(invented(network, count, seed))


def pool_of(samples: Samples, count: int | None = None) -> list[Sample]:
    """Return samples as requests; only the first `count` if given."""
    rows = zip(*samples.arrays.values(), strict=True)
    return [tuple(row) for row in itertools.islice(rows, count)]


class ClosedLoop:
    """Saturates: as many clients as the instances hold requests; each asks again once answered.

    A client whose request failed or was dropped leaves, so that a lost instance does not become a
    busy loop.
    """

    closed = True

    def __init__(self, submit: Submit, pool: list[Sample], clients: int) -> None:
        self._submit = submit
        self._pool = pool
        self._clients = clients
        self._sent = 0
        self._stopped = False
        self._pending: set[Future[NamedArrays]] = set()

    def start(self) -> None:
        """Send one request per client."""
        for _ in range(self._clients):
            with contextlib.suppress(QueueFull):
                self._send()

    def stop(self) -> None:
        """Send no more, and cancel the requests that wait."""
        self._stopped = True
        for future in self._pending.copy():
            future.cancel()

    def unanswered(self, start_s: float, end_s: float) -> list[float]:
        """Return nothing: the latencies are those of the batches that end in the window."""
        return []

    def waits(self, start_s: float, end_s: float) -> bool:
        """Return False."""
        return False

    def _send(self) -> None:
        self._sent += 1
        future = self._submit(self._pool[self._sent % len(self._pool)], None)
        self._pending.add(future)
        future.add_done_callback(self._answered)

    def _answered(self, future: Future[NamedArrays]) -> None:
        self._pending.discard(future)
        # Runs in the instance's thread: the next request is queued before the instance looks.
        if not (self._stopped or future.cancelled() or future.exception()):
            with contextlib.suppress(RuntimeFault):
                self._send()


class PoissonLoad:
    """Sends independent arrivals at a mean rate, whether or not the earlier ones are answered.

    A request's latency counts from the instant when it was due, not from when a late generator
    managed to send it, so that a stall of the computer is not hidden (coordinated omission). A
    request that the queue has no room for is dropped and counts as unanswered. The load ends by
    itself when no instance is alive.
    """

    closed = False

    def __init__(self, submit: Submit, pool: list[Sample], rate_ips: float, seed: int) -> None:
        self._submit = submit
        self._pool = pool
        self._rate_ips = rate_ips
        self._rng = np.random.default_rng(seed)
        self._pending: dict[Future[NamedArrays], float] = {}
        self._dropped: list[float] = []
        #: When the next request is due; infinity once no more will be sent.
        self._due_s = -math.inf
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poisson-load", daemon=True)

    def start(self) -> None:
        """Start the generator's thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and cancel the requests that wait."""
        self._stop.set()
        if self._thread.ident is not None:  # None if an interrupt came before `start`
            self._thread.join()
        with self._lock:
            pending = list(self._pending)
        for future in pending:
            future.cancel()

    def unanswered(self, start_s: float, end_s: float) -> list[float]:
        """Return the arrivals in [start_s, end_s) that are dropped or pending."""
        with self._lock:
            return [
                arrival_s
                for arrival_s in (*self._dropped, *self._pending.values())
                if start_s <= arrival_s < end_s
            ]

    def waits(self, start_s: float, end_s: float) -> bool:
        """Return True if a request that was due in [start_s, end_s) is pending, or to be sent."""
        if self._due_s < end_s:  # the generator is late
            return True
        with self._lock:
            return any(start_s <= arrival_s < end_s for arrival_s in self._pending.values())

    def _run(self) -> None:
        try:
            self._send_all()
        finally:
            self._due_s = math.inf

    def _send_all(self) -> None:
        due_s = clock()
        sent = 0
        while True:
            due_s += self._rng.exponential(1.0 / self._rate_ips)
            self._due_s = due_s
            if self._stop.wait(max(0.0, due_s - clock())):
                return
            sent += 1
            try:
                future = self._submit(self._pool[sent % len(self._pool)], due_s)
            except QueueFull:
                with self._lock:
                    self._dropped.append(due_s)
                continue
            except RuntimeFault:  # no instance is alive; the window names the one that was lost
                return
            with self._lock:
                self._pending[future] = due_s
            future.add_done_callback(self._answered)

    def _answered(self, future: Future[NamedArrays]) -> None:
        with self._lock:
            self._pending.pop(future, None)


class OutsideLoad:
    """Traffic of the user's own program, which sends its requests itself.

    Args:
        queue: of the tenant.
        instances: of the tenant.
    """

    closed = False

    def __init__(self, queue: RequestQueue, instances: Sequence[Instance]) -> None:
        self._queue, self._instances = queue, instances

    def start(self) -> None:
        """Do nothing: the program sends by itself."""

    def stop(self) -> None:
        """Do nothing: the program continues."""

    def unanswered(self, start_s: float, end_s: float) -> list[float]:
        """Return the arrivals in [start_s, end_s) that wait or are being served."""
        return self._queue.due_between(start_s, end_s) + [
            request.arrival_s
            for instance in self._instances
            for request in instance.current_requests()
            if start_s <= request.arrival_s < end_s
        ]

    def waits(self, start_s: float, end_s: float) -> bool:
        """Return True if a request that was due in [start_s, end_s) has no answer."""
        return bool(self.unanswered(start_s, end_s))
