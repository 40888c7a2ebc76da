"""Real ONNX Runtime sessions as scripted engines with streams that remember what they held."""

from __future__ import annotations

import threading
import time

import numpy as np

from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.serving.engine import Arrays
from envs.spec import Configuration, TensorSpec
from envs.testing.engines import ScriptedEngine, WorkerEngine

SAMPLE = np.zeros((3, 48, 48), np.float32)


def configuration(fp32: tuple[int, int], int8: tuple[int, int] = (0, 0)) -> Configuration:
    return Configuration(((fp32, int8),))


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
    """Loads streams; each takes `pause_s` longer to load."""

    pause_s = 0.0

    def load(self, tenant: int, accelerator: int, threads: int) -> Stream:
        time.sleep(self.pause_s)
        if not hasattr(self, "sessions"):
            self.sessions: list[ScriptedEngine] = []
            self.streams: list[Stream] = []
        engine = super().load(tenant, accelerator, threads)
        self.sessions.append(ScriptedEngine(engine=engine))
        self.streams.append(
            Stream(self.sessions[-1], self._space.workload.tenants[tenant].network.inputs)
        )
        return self.streams[-1]
