"""Real ONNX Runtime sessions as engines with streams, which can be told to break, to hang, or to take their time while they load."""

from __future__ import annotations

import threading
import time

import numpy as np

from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.serving.instance import Arrays, Engine
from envs.runtimes.serving.worker import WorkerEngine
from envs.spec.network import TensorSpec


class Session:
    """An engine that does what it is told and remembers what it did."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.broken = False
        self.largest = 1000
        self.batches: list[int] = []
        self.closed = False
        self.go_on = threading.Event()
        self.go_on.set()

    def run(self, inputs: Arrays) -> Arrays:
        self.go_on.wait()
        if self.broken:
            raise RuntimeError("the accelerator has gone")
        if len(inputs[0]) > self.largest:
            raise RuntimeError("cannot allocate a batch of this size")
        self.batches.append(len(inputs[0]))
        return self.engine.run(inputs)

    def close(self) -> None:
        self.closed = True
        self.engine.close()


class Stream(WorkerEngine):
    """Remembers which threads launched, and which sizes of batch hold memory."""

    def __init__(self, session: Session, inputs: tuple[TensorSpec, ...]) -> None:
        super().__init__(session)
        self.launchers: list[str] = []
        self.sizes: set[int] = set()
        self._inputs = inputs

    def buffers(self, batch: int) -> Arrays:
        self.sizes.add(batch)
        return [np.zeros((max(self.sizes), *spec.shape), spec.dtype) for spec in self._inputs]

    def keep(self, batch: int) -> None:
        assert not self.launchers or self._answer.done(), (
            "what it works on is not taken away under it"
        )
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
            self.sessions: list[Session] = []
            self.streams: list[Stream] = []
        self.sessions.append(Session(super().load(tenant, accelerator, threads)))
        self.streams.append(
            Stream(self.sessions[-1], self._space.workload.tenants[tenant].network.inputs)
        )
        return self.streams[-1]
