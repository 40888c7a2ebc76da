"""Clients of a live device with several tenants, which send at rates that change."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from envs.errors import RuntimeFault
from envs.runtimes.serving.load import sample_pool
from envs.runtimes.serving.queue import Sample, clock
from envs.runtimes.serving.runtime import ServingRuntime


class Counts(NamedTuple):
    """Count the requests that were due in some time by how they ended.

    Attributes:
        due: that were sent, or would have been but were refused.
        good: answered within the limit.
        refused: not accepted; the sender is told at once.
        lost: accepted, but never answered.
    """

    due: int
    good: int
    refused: int
    lost: int


class TenantClient:
    """Sends requests of one tenant at a mean rate, whether or not they are answered.

    Args:
        runtime: that is asked.
        tenant: its index.
        seed: of the arrivals.
    """

    def __init__(self, runtime: ServingRuntime, tenant: int, seed: int = 0) -> None:
        self._runtime, self._tenant = runtime, tenant
        self._samples = sample_pool(runtime.space.workload.tenants[tenant].network, seed)
        self._rng = np.random.default_rng(seed)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._latency_s: list[tuple[float, float]] = []  # when it was due, and the latency
        self._pending: dict[Future[Any], float] = {}
        self._failed = list[float]()
        self._refused = list[float]()

    @property
    def sample(self) -> Sample:
        """Return one input."""
        return self._samples[0]

    def start(self, rate_ips: float) -> None:
        """Send at this rate from now on."""
        self.stop()
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(rate_ips,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more; what was sent is answered all the same."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def counts(self, start_s: float, end_s: float, limit_ms: float, grace_s: float = 5.0) -> Counts:
        """Count what was due in [start_s, end_s), after waiting for the answers for a while."""
        self.drain(end_s, grace_s)
        with self._lock:
            within = [took for due, took in self._latency_s if start_s <= due < end_s]
            pending = _between(list(self._pending.values()), start_s, end_s)
            failed = _between(self._failed, start_s, end_s)
            refused = _between(self._refused, start_s, end_s)
        good = sum(1e3 * took <= limit_ms for took in within)
        return Counts(len(within) + pending + failed + refused, good, refused, pending + failed)

    def drain(self, end_s: float = math.inf, timeout_s: float = 5.0) -> None:
        """Wait for the answers of what was due before `end_s`, at most so long."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s and self._waits(end_s):
            time.sleep(0.01)

    def _waits(self, end_s: float) -> bool:
        with self._lock:
            return any(due_s < end_s for due_s in self._pending.values())

    def _run(self, rate_ips: float) -> None:
        due_s, sent = clock(), 0
        while True:
            due_s += self._rng.exponential(1.0 / rate_ips)
            if self._stop.wait(max(0.0, due_s - clock())):
                return
            sent += 1
            sample = self._samples[sent % len(self._samples)]
            try:
                future = self._runtime.submit(self._tenant, sample, due_s)
            except RuntimeFault:
                self._refused.append(due_s)
                continue
            with self._lock:
                self._pending[future] = due_s
            future.add_done_callback(partial(self._answered, due_s))

    def _answered(self, due_s: float, future: Future[Any]) -> None:
        took_s = clock() - due_s
        with self._lock:
            self._pending.pop(future, None)
            if future.cancelled() or future.exception() is not None:
                self._failed.append(due_s)
            else:
                self._latency_s.append((due_s, took_s))


def _between(times_s: Sequence[float], start_s: float, end_s: float) -> int:
    return sum(start_s <= each < end_s for each in times_s)
