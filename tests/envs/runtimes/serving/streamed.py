"""Real ONNX Runtime sessions as scripted engines with streams that remember what they held."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import numpy as np

from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.serving.engine import Arrays
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, Measurement, TensorSpec
from envs.testing.engines import ScriptedEngine, WorkerEngine

SAMPLE = np.zeros((3, 48, 48), np.float32)


def configuration(fp32: tuple[int, int], int8: tuple[int, int] = (0, 0)) -> Configuration:
    return Configuration(((fp32, int8),))


@contextlib.contextmanager
def full_batches(runtime: ServingRuntime) -> Iterator[None]:
    """Let batches leave only when they are full, however slowly requests come."""
    queues = runtime._admission.queues
    before_s = [queue._max_wait_s for queue in queues]
    for queue in queues:
        queue._max_wait_s = 1000.0
    yield
    for queue, max_wait_s in zip(queues, before_s, strict=True):
        queue._max_wait_s = max_wait_s
        queue.wake()


@contextlib.contextmanager
def impatient(runtime: ServingRuntime, timeout_s: float = 2.0) -> Iterator[None]:
    """Give up on engines that hang after some seconds."""
    options = runtime._options
    before_s, options.timeout_s = options.timeout_s, timeout_s
    yield
    options.timeout_s = before_s


def window_of_all(runtime: ServingRuntime, window_s: float) -> Measurement:
    """Measure, again if a tenant got nothing: best effort waits while a computer is busy."""
    for _ in range(60):
        measurement = runtime.measure(window_s)
        if all(tenant.requests for tenant in measurement.tenants):
            break
    return measurement


class Stream(WorkerEngine):
    """Remembers which threads launched, and which sizes of batch hold memory."""

    def __init__(self, session: ScriptedEngine, inputs: tuple[TensorSpec, ...]) -> None:
        super().__init__(session)
        self.launchers: list[str] = []
        self.sizes: set[int] = set()
        self._inputs = inputs

    def buffers(self, batch: int) -> Arrays:
        self.sizes.add(batch)
        return [np.zeros((max(self.sizes), *spec.shape), spec.dtype) for spec in self._inputs]

    def keep(self, batch: int) -> None:
        assert not self.launchers or self._answer.done(), "a busy engine must keep its memory"
        self.sizes &= {batch}

    def launch(self, inputs: Arrays) -> None:
        self.launchers.append(threading.current_thread().name)
        super().launch(inputs)


class StreamedFactory(OnnxEngineFactory):
    """Loads streams, while `may_load` is set."""

    may_load = threading.Event()
    may_load.set()

    def load(self, tenant: int, accelerator: int, threads: int) -> Stream:
        assert self.may_load.wait(60)
        if not hasattr(self, "sessions"):
            self.sessions: list[ScriptedEngine] = []
            self.streams: list[Stream] = []
        engine = super().load(tenant, accelerator, threads)
        self.sessions.append(ScriptedEngine(engine=engine))
        self.streams.append(
            Stream(self.sessions[-1], self._space.workload.tenants[tenant].network.inputs)
        )
        return self.streams[-1]
