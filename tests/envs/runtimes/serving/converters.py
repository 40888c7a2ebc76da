"""Engines that convert in a thread of their own, beside those that do not."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np

from envs.runtimes.serving.engine import Arrays
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import TensorSpec
from envs.telemetry.none import NoSensor
from envs.testing.engines import ScriptedEngine
from tests.envs.runtimes.serving.streamed import Stream, StreamedFactory


class Batch:
    def __init__(self, inputs: Arrays) -> None:
        self.inputs = [np.array(each) for each in inputs]
        self.answer: Future[Arrays] = Future()


class Converting(Stream):
    """Converts for as long as a test wants; asserts who calls what, and how many batches exist."""

    converts = True
    takes: tuple[tuple[str, float | None], ...] = (("float32", None),)

    def __init__(self, session: ScriptedEngine, inputs: tuple[TensorSpec, ...]) -> None:
        super().__init__(session, inputs)
        self.may_convert, self.may_answer = threading.Event(), threading.Event()
        self.may_convert.set()
        self.may_answer.set()
        self.fault: BaseException | None = None
        self.live = self.most = 0
        self.closed = False

    def convert(self, inputs: Arrays) -> Batch:
        assert threading.current_thread().name == "converter"
        self.live += 1
        self.most = max(self.most, self.live)
        assert self.live <= 2, "there are two sets of memory"
        self.may_convert.wait()
        if self.fault is not None:
            raise self.fault
        return Batch(inputs)

    def launch_converted(self, batch: Batch) -> None:
        assert self._answer.done() or not self.launchers, "one batch is on the device"
        self.launch(batch.inputs)
        batch.answer = self._answer

    def answers(self, batch: Batch) -> Arrays:
        assert threading.current_thread().name == "converter"
        self.may_answer.wait()
        self.live -= 1
        return batch.answer.result(0)

    def close(self) -> None:
        self.closed = True
        super().close()


class SomeConvert(StreamedFactory):
    """Instances of the second accelerator convert."""

    kind: type[Converting] = Converting

    def load(self, tenant: int, accelerator: int, threads: int) -> Stream:
        stream = super().load(tenant, accelerator, threads)
        if accelerator == 0:
            return stream
        self.streams[-1] = self.kind(
            self.sessions[-1], self._space.workload.tenants[tenant].network.inputs
        )
        return self.streams[-1]

    @property
    def converting(self) -> list[Converting]:
        return [each for each in self.streams if isinstance(each, Converting)]


@contextlib.contextmanager
def served(mixed: SomeConvert) -> Iterator[ServingRuntime]:
    """Serve, and let everything that waits go on at the end."""
    with ServingRuntime(mixed._space, mixed, NoSensor(), ServingOptions()) as runtime:
        yield runtime
        for session in mixed.sessions:
            session.go_on.set()
        for stream in mixed.converting:
            stream.may_convert.set()
            stream.may_answer.set()


def until(condition: Any) -> None:
    while not condition():
        time.sleep(0.001)
