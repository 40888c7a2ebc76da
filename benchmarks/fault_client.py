"""A client of a live device, which counts what became of its requests."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import Any

import numpy as np

from envs.runtimes.serving.load import sample_pool
from envs.runtimes.serving.runtime import ServingRuntime


class Client:
    """A program that sends requests at a mean rate, whether or not they are answered.

    It counts what became of every request that was accepted.
    """

    def __init__(self, runtime: ServingRuntime, rate_ips: float) -> None:
        self._runtime = runtime
        self.rate_ips = rate_ips
        self._samples = sample_pool(runtime.space.workload.tenants[0].network, 0)
        self._stop = threading.Event()
        self.accepted: list[Future[Any]] = []
        self.refused = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start to send requests."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sending requests."""
        self._stop.set()
        self._thread.join()

    def silent(self) -> int:
        """Count the accepted requests that were never answered.

        Requests that are still under way get a minute.
        """
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline and not all(future.done() for future in self.accepted):
            time.sleep(0.01)
        return sum(not future.done() for future in self.accepted)

    def _run(self) -> None:
        rng, due = np.random.default_rng(0), time.perf_counter()
        while True:
            due += rng.exponential(1.0 / self.rate_ips)
            if self._stop.wait(max(0.0, due - time.perf_counter())):
                return
            try:
                self.accepted.append(
                    self._runtime.submit(
                        0, self._samples[len(self.accepted) % len(self._samples)], due
                    )
                )
            except Exception:
                self.refused += 1  # the caller is told at once, so nothing is lost
