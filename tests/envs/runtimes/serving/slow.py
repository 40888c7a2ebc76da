"""Engines that take their time, and fail or hang when told to."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from envs.runtimes.serving.worker import WorkerEngine


class SlowEngine:
    """Answers after a pause, and fails or hangs when told to."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self.broken = False
        self.batches: list[int] = []
        self.hang = threading.Event()
        self.hang.set()

    def run(self, inputs: Any) -> list[np.ndarray]:
        if self.broken:
            raise RuntimeError("the accelerator has gone")
        self.hang.wait()
        time.sleep(self.pause_s)
        self.batches.append(len(inputs[0]))
        return [np.zeros((len(inputs[0]), 10), np.float32)]

    def close(self) -> None:
        pass


class SlowFactory:
    def __init__(self, pause_s: float = 0.01, refuse: int | None = None) -> None:
        self.pause_s = pause_s
        self.refuse = refuse
        self.engines: list[SlowEngine] = []

    def load(self, tenant: int, accelerator: int, threads: int) -> SlowEngine:
        if accelerator == self.refuse:
            raise MemoryError("cannot allocate")
        self.engines.append(SlowEngine(self.pause_s))
        return self.engines[-1]

    def close(self) -> None:
        pass


class StreamedSlowly(SlowFactory):
    """The same engines, driven by one thread."""

    def load(self, tenant: int, accelerator: int, threads: int) -> WorkerEngine:  # type: ignore[override]
        return WorkerEngine(super().load(tenant, accelerator, threads))
