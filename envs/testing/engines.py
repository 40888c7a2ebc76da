"""Engines that are slow, broken or hang when a test says so.

`ServingRuntime(space, ScriptedFactory(), NoSensor(), ServingOptions())` is a live runtime whose
engines can be made to fail while it serves.
"""

import itertools
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from envs.runtimes.serving.engine import Arrays, BuildingFactory, Engine, StreamEngine
from envs.runtimes.serving.queue import clock
from envs.spec import ConfigurationFailed, ConfigurationSpace


class ScriptedEngine:
    """Answers after a pause, with zeros [b, 10] or as the engine that it wraps.

    Attributes:
        pause_s: how long it waits before it computes.
        go_on: while cleared, the engine hangs.
        broken: while True, every batch raises RuntimeError.
        largest: a larger batch raises RuntimeError.
        batches: the sizes of the batches that were computed.
        closed: whether `close` was called.
    """

    def __init__(self, pause_s: float = 0.0, engine: Engine | None = None) -> None:
        self.pause_s, self.engine = pause_s, engine
        self.go_on = threading.Event()
        self.go_on.set()
        self.broken, self.largest = False, 1000
        self.batches: list[int] = []
        self.closed = False

    def run(self, inputs: Arrays) -> Arrays:
        """Compute one batch, or fail as scripted."""
        self.go_on.wait()
        if self.broken:
            raise RuntimeError("the accelerator has gone")
        if len(inputs[0]) > self.largest:
            raise RuntimeError("cannot allocate a batch of this size")
        time.sleep(self.pause_s)
        self.batches.append(len(inputs[0]))
        if self.engine is not None:
            return self.engine.run(inputs)
        return [np.zeros((len(inputs[0]), 10), np.float32)]

    def close(self) -> None:
        """Release the wrapped engine."""
        self.closed = True
        if self.engine is not None:
            self.engine.close()


class WorkerEngine:
    """Makes a `StreamEngine` of any `Engine`: a thread of its own takes the place of the stream."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._worker = ThreadPoolExecutor(1, "stream-worker")
        self._answer: Future[Arrays] = Future()
        self._elapsed_s = float("nan")

    def launch(self, inputs: Arrays) -> None:
        """Hand a batch to the thread."""
        self._answer = self._worker.submit(self._run, inputs)

    def done(self) -> bool:
        """Return True once the batch is computed; raise the error of the engine."""
        return self._answer.done() and self._answer.result() is not None

    def result(self) -> Arrays:
        """Wait for the outputs."""
        return self._answer.result()

    def elapsed_ms(self) -> float:
        """Return the time that the engine took for the last batch."""
        return 1e3 * self._elapsed_s

    def close(self) -> None:
        """End the thread and close the engine."""
        self._worker.shutdown()
        self._engine.close()

    def _run(self, inputs: Arrays) -> Arrays:
        began_s = clock()
        outputs = self._engine.run(inputs)
        self._elapsed_s = clock() - began_s
        return outputs


class ScriptedFactory:
    """Loads scripted engines.

    Args:
        pause_s: of every engine.
        streams: whether one thread drives all engines, as it does on a GPU.
        errors: the errors that loading raises, by the index of the accelerator.
        inner: a factory whose engines are wrapped; without it they answer zeros.

    Attributes:
        engines: every engine that was loaded, oldest first.
    """

    def __init__(
        self,
        pause_s: float = 0.01,
        streams: bool = False,
        errors: Mapping[int, Exception] | None = None,
        inner: Any = None,
    ) -> None:
        self.pause_s, self.streams, self.inner = pause_s, streams, inner
        self.errors = dict(errors or {})
        self.engines: list[ScriptedEngine] = []

    def load(self, tenant: int, accelerator: int, threads: int) -> Engine | StreamEngine:
        """Load one engine, or raise the error of this accelerator."""
        if accelerator in self.errors:
            raise self.errors[accelerator]
        self.engines.append(self.make(tenant, accelerator, threads))
        return WorkerEngine(self.engines[-1]) if self.streams else self.engines[-1]

    def make(self, tenant: int, accelerator: int, threads: int) -> ScriptedEngine:
        """Return a new engine; override it to load engines of another class."""
        inner = self.inner and self.inner.load(tenant, accelerator, threads)
        return ScriptedEngine(self.pause_s, inner)

    def close(self) -> None:
        """Close the factory that is wrapped."""
        if self.inner is not None:
            self.inner.close()


def build_every(
    factory: BuildingFactory, space: ConfigurationSpace
) -> dict[tuple[int, int], ConfigurationFailed]:
    """Build every engine of a space.

    Returns:
        The last failure of each pair (tenant, accelerator) that no batch size could be built for.
    """
    errors: dict[tuple[int, int], ConfigurationFailed] = {}
    built = set()
    tenants, accelerators = space.shape
    for pair in itertools.product(range(tenants), range(accelerators)):
        for batch in space.batches_of(*pair) if pair not in space.unavailable else ():
            try:
                factory.build(*pair, batch)
                built.add(pair)
            except ConfigurationFailed as error:
                errors[pair] = error
    return {pair: error for pair, error in errors.items() if pair not in built}
