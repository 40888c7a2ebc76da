"""One window of a critical network's requests, beside a best-effort client that never rests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from envs.arrays import NamedArrays
from envs.runtimes.serving.queue import Sample, clock

#: How critical requests arrive: each when the one before is answered, at equal intervals, or
#: independently of each other.
ARRIVALS = ("closed", "uniform", "poisson")

Submit = Callable[[Sample, "float | None"], "Future[NamedArrays]"]


@dataclass
class Window:
    """Hold the latencies and rates of one window.

    Attributes:
        p50_ms, p99_ms: latency of the critical requests, from when they were due.
        critical_ips, best_effort_ips: answers a second.
        busy: share of the window in which a critical request waited or ran.
    """

    p50_ms: float
    p99_ms: float
    critical_ips: float
    best_effort_ips: float
    busy: float


@dataclass
class _Client:
    """Sends requests and notes when they were due and answered."""

    submit: Submit
    pool: list[Sample]
    spans: list[tuple[float, float]] = field(default_factory=list)
    pending: int = 0
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, due_s: float, again: bool = False) -> None:
        """Send a request; with `again` the next one as soon as it is answered."""
        with self.lock:
            self.pending += 1
            sample = self.pool[(len(self.spans) + self.pending) % len(self.pool)]

        def answered(future: Future[NamedArrays]) -> None:
            now_s = clock()
            with self.lock:
                self.pending -= 1
                if not future.cancelled() and future.exception() is None:
                    self.spans.append((due_s, now_s))
            if again and not self.stopped:
                self.send(clock(), again=True)

        self.submit(sample, due_s).add_done_callback(answered)

    def finish(self) -> None:
        """Wait until everything is answered."""
        self.stopped = True
        while self.pending:
            time.sleep(0.002)


def window(
    critical: Submit,
    best_effort: Submit | None,
    pools: tuple[list[Sample], list[Sample]],
    arrivals: str,
    rate_ips: float,
    window_s: float,
    seed: int,
) -> Window:
    """Load both tenants for one window.

    Args:
        critical: submits a critical request that was due at a time.
        best_effort: the same for best effort, which has one request at a time; None for none.
        pools: samples of the two.
        arrivals: one of ARRIVALS.
        rate_ips: of the critical requests; a closed loop has none.
        window_s: its length.
        seed: of the arrivals: equal windows get equal ones.
    """
    own, other = _Client(critical, pools[0]), None
    start_s = clock()
    if best_effort is not None:
        other = _Client(best_effort, pools[1])
        other.send(start_s, again=True)
    if arrivals == "closed":
        own.send(start_s, again=True)
        time.sleep(window_s)
    else:
        for due_s in _due(arrivals, rate_ips, window_s, seed):
            time.sleep(max(0.0, start_s + due_s - clock()))
            own.send(start_s + due_s)
        time.sleep(max(0.0, start_s + window_s - clock()))
    end_s = clock()
    own.finish()
    if other is not None:
        other.finish()
    latencies_ms = [1e3 * (done_s - due_s) for due_s, done_s in own.spans]
    p50, p99 = np.percentile(latencies_ms, [50, 99])
    length_s = end_s - start_s
    return Window(
        float(p50),
        float(p99),
        _inside(own.spans, start_s, end_s) / length_s,
        _inside(other.spans, start_s, end_s) / length_s if other is not None else 0.0,
        _busy(own.spans, start_s, end_s),
    )


def _due(arrivals: str, rate_ips: float, window_s: float, seed: int) -> Iterator[float]:
    rng, due_s = np.random.default_rng(seed), 0.0
    while True:
        due_s += rng.exponential(1 / rate_ips) if arrivals == "poisson" else 1 / rate_ips
        if due_s >= window_s:
            return
        yield due_s


def _inside(spans: list[tuple[float, float]], start_s: float, end_s: float) -> float:
    """Return the requests in a window, each by the share of its time that lies inside."""
    return sum(
        max(0.0, min(done_s, end_s) - max(due_s, start_s)) / max(done_s - due_s, 1e-9)
        for due_s, done_s in spans
    )


def _busy(spans: list[tuple[float, float]], start_s: float, end_s: float) -> float:
    busy_s, until_s = 0.0, start_s
    for due_s, done_s in sorted(spans):
        busy_s += max(0.0, min(done_s, end_s) - max(due_s, until_s))
        until_s = max(until_s, min(done_s, end_s))
    return busy_s / (end_s - start_s)
