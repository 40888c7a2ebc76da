"""The load generator: one client of `submit`, like any program of the user's."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

import numpy as np

from envs.errors import RuntimeFault
from envs.runtimes.serving.queue import Answer, QueueFull, Sample, clock
from envs.spec.network import Network

Submit = Callable[[Sample, "float | None"], "Future[Answer]"]

#: Distinct samples a generator sends in turn: few, so that they are in the caches, as a frame is that has just arrived.
POOL = 2


class Load(Protocol):
    """Traffic of one tenant. After `stop` nothing of it waits any more; what is being served is finished.

    Attributes:
        closed: whether requests come when others are answered, so that instances are saturated.
    """

    @property
    def closed(self) -> bool: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def unanswered(self, start_s: float, end_s: float) -> list[float]:
        """Arrival times of requests that were due in a span and have no answer yet, or were dropped and will have none."""
        ...

    def waits(self, start_s: float, end_s: float) -> bool:
        """Whether a request that was due in a span may still be answered."""
        ...


def sample_pool(network: Network, seed: int, count: int = POOL) -> list[Sample]:
    """Seeded random samples that fit the network: normal numbers, or 0 and 1 where it wants whole ones."""
    rng = np.random.default_rng(seed)

    def draw(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        kind = np.dtype(dtype)
        return (
            rng.standard_normal(shape) if kind.kind == "f" else rng.integers(0, 2, shape)
        ).astype(kind)

    return [tuple(draw(spec.shape, spec.dtype) for spec in network.inputs) for _ in range(count)]


class ClosedLoop:
    """As many clients as the tenant's instances hold requests, each asking again as soon as it is answered: saturation.

    A client whose request failed or was dropped leaves, so that a lost instance does not become a busy loop.
    """

    closed = True

    def __init__(self, submit: Submit, pool: list[Sample], clients: int) -> None:
        self._submit = submit
        self._pool = pool
        self._clients = clients
        self._sent = 0
        self._stopped = False
        self._pending: set[Future[Answer]] = set()

    def start(self) -> None:
        for _ in range(self._clients):
            with contextlib.suppress(QueueFull):
                self._send()

    def stop(self) -> None:
        self._stopped = True
        for future in self._pending.copy():
            future.cancel()

    def unanswered(self, start_s: float, end_s: float) -> list[float]:
        return []

    def waits(self, start_s: float, end_s: float) -> bool:
        return False

    def _send(self) -> None:
        self._sent += 1
        future = self._submit(self._pool[self._sent % len(self._pool)], None)
        self._pending.add(future)
        future.add_done_callback(self._answered)

    def _answered(self, future: Future[Answer]) -> None:
        self._pending.discard(future)
        # Runs in the instance's own thread: the next request is in the queue before the instance looks for it.
        if not (self._stopped or future.cancelled() or future.exception()):
            with contextlib.suppress(RuntimeFault):
                self._send()


class PoissonLoad:
    """Independent arrivals at a mean rate, sent when they are due whatever the answers do.

    A request's latency counts from the instant it was due, not from when a late generator managed to send it, so a stall
    of the computer is not hidden (coordinated omission). One that the queue has no room for is dropped: it stays without an answer.
    It ends by itself when no instance is alive.
    """

    closed = False

    def __init__(self, submit: Submit, pool: list[Sample], rate_ips: float, seed: int) -> None:
        self._submit = submit
        self._pool = pool
        self._rate_ips = rate_ips
        self._rng = np.random.default_rng(seed)
        self._pending: dict[Future[Answer], float] = {}
        self._dropped: list[float] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poisson-load", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:  # not where an interrupt came before the start
            self._thread.join()
        with self._lock:
            pending = list(self._pending)
        for future in pending:
            future.cancel()

    def unanswered(self, start_s: float, end_s: float) -> list[float]:
        with self._lock:
            return [
                arrival_s
                for arrival_s in (*self._dropped, *self._pending.values())
                if start_s <= arrival_s < end_s
            ]

    def waits(self, start_s: float, end_s: float) -> bool:
        with self._lock:
            return any(start_s <= arrival_s < end_s for arrival_s in self._pending.values())

    def _run(self) -> None:
        due_s = clock()
        sent = 0
        while True:
            due_s += self._rng.exponential(1.0 / self._rate_ips)
            if self._stop.wait(max(0.0, due_s - clock())):
                return
            sent += 1
            try:
                future = self._submit(self._pool[sent % len(self._pool)], due_s)
            except QueueFull:
                with self._lock:
                    self._dropped.append(due_s)
                continue
            except RuntimeFault:  # nobody is left to ask; the window says which instance was lost
                return
            with self._lock:
                self._pending[future] = due_s
            future.add_done_callback(self._answered)

    def _answered(self, future: Future[Answer]) -> None:
        with self._lock:
            self._pending.pop(future, None)


class OutsideLoad:
    """What a program of the user's own asks for: nothing is added to it.

    Args:
        unanswered, waits: as in `Load`.
    """

    closed = False

    def __init__(
        self,
        unanswered: Callable[[float, float], list[float]],
        waits: Callable[[float, float], bool],
    ) -> None:
        self._unanswered, self._waits = unanswered, waits

    def start(self) -> None:
        """It comes by itself."""

    def stop(self) -> None:
        """It goes on."""

    def unanswered(self, start_s: float, end_s: float) -> list[float]:
        return self._unanswered(start_s, end_s)

    def waits(self, start_s: float, end_s: float) -> bool:
        return self._waits(start_s, end_s)
