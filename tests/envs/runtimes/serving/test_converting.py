"""Instances that convert in a thread of their own hold nobody up, and keep every promise."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.graph.reading import read_network
from envs.runtimes.serving.converting import ConvertingInstance
from envs.runtimes.serving.driver import StreamDriver
from envs.runtimes.serving.engine import Arrays
from envs.runtimes.serving.instance import Slot
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.queue import Request, RequestQueue
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import ConfigurationFailed, FailureKind, TensorSpec
from envs.telemetry.none import NoSensor
from envs.testing.engines import ScriptedEngine
from tests.envs.runtimes.serving.streamed import (
    SAMPLE,
    Stream,
    StreamedFactory,
    configuration,
    full_batches,
    impatient,
)
from tests.envs.runtimes.serving.test_streams import is_of


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


@pytest.fixture
def mixed(factory: StreamedFactory, small_onnx: Path, cache: Path) -> SomeConvert:
    return SomeConvert(factory._space, [small_onnx], cache)


@pytest.fixture
def runtime(mixed: SomeConvert) -> Iterator[ServingRuntime]:
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


def test_answers_are_right_and_the_driver_alone_launches(
    runtime: ServingRuntime, mixed: SomeConvert, samples: list[np.ndarray], expected: np.ndarray
) -> None:
    runtime.apply(configuration((0, 0), (2, 4)))
    for stream in mixed.streams:
        stream.launchers.clear()
    futures = [runtime.submit("small", samples[turn % 16]) for turn in range(400)]
    answers = [future.result(60)["logits"] for future in futures]
    assert all(is_of(answer, expected[:, turn % 16]) for turn, answer in enumerate(answers))
    for stream in mixed.converting:
        assert set(stream.launchers) == {"stream-driver"}
        assert stream.live == 0
    measurement = runtime.measure(0.3)
    assert measurement.throughput_ips[0] > 0


@pytest.mark.parametrize("stage", ["may_convert", "may_answer"])
def test_a_slow_conversion_holds_nobody_up(
    runtime: ServingRuntime, mixed: SomeConvert, stage: str
) -> None:
    runtime.apply(configuration((1, 1), (1, 1)))
    (slow,) = mixed.converting
    gate: threading.Event = getattr(slow, stage)
    gate.clear()
    plain = mixed.sessions[0]
    plain.go_on.clear()
    futures = [runtime.submit(0, SAMPLE) for _ in range(60)]
    until(lambda: slow.live >= 1)
    plain.go_on.set()
    until(lambda: sum(future.done() for future in futures) >= 58)
    assert 1 <= sum(not future.done() for future in futures) <= 2, "what it took waits for it"
    gate.set()
    assert all(future.result(60)["logits"].shape == (10,) for future in futures)


def test_the_next_batch_is_converted_while_one_is_on_the_device(
    runtime: ServingRuntime, mixed: SomeConvert
) -> None:
    runtime.apply(configuration((0, 0), (1, 4)))
    (stream,) = mixed.converting
    mixed.sessions[0].go_on.clear()
    with full_batches(runtime):
        futures = [runtime.submit(0, SAMPLE) for _ in range(10)]
        until(lambda: stream.live == 2)
        assert stream.most == 2
        time.sleep(0.02)
        assert sum(future.running() for future in futures) == 8, "the rest is left for others"
    mixed.sessions[0].go_on.set()
    assert all(future.result(60)["logits"].shape == (10,) for future in futures)
    until(lambda: stream.live == 0)


def test_windows_count_no_time_twice(runtime: ServingRuntime, mixed: SomeConvert) -> None:
    runtime.apply(configuration((0, 0), (1, 1)))
    (instance,) = runtime._admission.instances
    instance.log = log = []
    wait([runtime.submit(0, SAMPLE) for _ in range(40)], 60)
    until(lambda: len(log) == 40)
    assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(log))
    assert all(record.device_s > 0 for record in log)


def test_an_error_in_a_conversion_loses_its_instance_with_the_reason(
    runtime: ServingRuntime, mixed: SomeConvert
) -> None:
    runtime.apply(configuration((1, 1), (1, 1)))
    (stream,) = mixed.converting
    stream.fault = RuntimeError("a value cannot be converted")
    mixed.sessions[0].go_on.clear()
    futures = [runtime.submit(0, SAMPLE) for _ in range(40)]
    until(lambda: stream.live >= 1)
    mixed.sessions[0].go_on.set()
    errors = [error for future in futures if (error := future.exception(60)) is not None]
    assert len(errors) == 1
    assert isinstance(errors[0], ConfigurationFailed)
    assert errors[0].failure.kind is FailureKind.INSTANCE_LOST
    assert "a value cannot be converted" in errors[0].failure.reason
    transition = runtime.apply(configuration((1, 1), (1, 1)))
    assert (transition.kept, transition.created) == (1, 1)
    assert stream.closed, "nothing works on it any more"
    assert runtime.measure(0.2).throughput_ips[0] > 0


def test_an_engine_that_raises_gives_the_reason_to_both_batches(
    runtime: ServingRuntime, mixed: SomeConvert
) -> None:
    runtime.apply(configuration((0, 0), (1, 1)))
    (stream,) = mixed.converting
    mixed.sessions[0].go_on.clear()
    futures = [runtime.submit(0, SAMPLE) for _ in range(5)]
    until(lambda: stream.live == 2)
    mixed.sessions[0].broken = True
    mixed.sessions[0].go_on.set()
    errors = [future.exception(60) for future in futures]
    assert all("the accelerator has gone" in str(error) for error in errors)
    runtime.close()
    assert stream.closed


def test_a_conversion_that_hangs_is_abandoned_and_nothing_is_released_under_it(
    runtime: ServingRuntime, mixed: SomeConvert
) -> None:
    runtime.apply(configuration((1, 1), (1, 1)))
    (hung,) = mixed.converting
    hung.may_convert.clear()
    mixed.sessions[0].go_on.clear()
    futures = [runtime.submit(0, SAMPLE) for _ in range(40)]
    until(lambda: hung.live >= 1)
    mixed.sessions[0].go_on.set()
    until(lambda: sum(future.done() for future in futures) == 39)
    (waiting,) = (future for future in futures if not future.done())
    with impatient(runtime), pytest.raises(ConfigurationFailed) as error:
        runtime.measure(0.2)
    assert error.value.failure.kind is FailureKind.TIMED_OUT
    assert isinstance(waiting.exception(60), ConfigurationFailed), "who asked is told"
    transition = runtime.apply(configuration((1, 1), (1, 1)))
    assert (transition.kept, transition.created) == (1, 1)
    assert not hung.closed
    assert runtime.measure(0.2).throughput_ips[0] > 0


def test_stopping_finishes_what_was_taken(runtime: ServingRuntime, mixed: SomeConvert) -> None:
    runtime.apply(configuration((0, 0), (1, 1)))
    (stream,) = mixed.converting
    mixed.sessions[0].go_on.clear()
    futures = [runtime.submit(0, SAMPLE) for _ in range(5)]
    until(lambda: stream.live == 2)
    threading.Timer(0.1, mixed.sessions[0].go_on.set).start()
    runtime.close()
    assert [future.result(0)["logits"].shape for future in futures[:2]] == [(10,)] * 2
    assert all(future.cancelled() for future in futures[2:])
    assert stream.closed
    until(lambda: not any(each.name == "converter" for each in threading.enumerate()))


def test_sizes_change_while_requests_flow(runtime: ServingRuntime, mixed: SomeConvert) -> None:
    runtime.apply(configuration((0, 0), (1, 1)))
    futures: list[Future[Any]] = []
    for batch in (4, 8, 1, 4):
        futures += [runtime.submit(0, SAMPLE) for _ in range(30)]
        runtime.apply(configuration((0, 0), (1, batch)))
    assert all(future.result(60)["logits"].shape == (10,) for future in futures)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_ends_the_converter_loses_its_instance_alone(
    runtime: ServingRuntime, mixed: SomeConvert
) -> None:
    def leave(future: Future[Any]) -> None:
        raise SystemExit

    runtime.apply(configuration((0, 0), (1, 1)))
    (stream,) = mixed.converting
    stream.may_convert.clear()
    runtime.submit(0, SAMPLE).add_done_callback(leave)
    stream.may_convert.set()
    until(lambda: runtime._admission.instances[0].error is not None)
    assert "the thread that converts for it has ended" in str(runtime._admission.instances[0].error)
    runtime.apply(configuration((1, 1), (0, 0)))
    assert stream.closed
    assert runtime.submit(0, SAMPLE).result(60)["logits"].shape == (10,)


def test_the_end_of_the_driver_is_told_to_those_who_wait(
    mixed: SomeConvert, small_onnx: Path
) -> None:
    lost: list[Any] = []
    queue, driver = RequestQueue(0.005), StreamDriver()
    engine: Any = mixed.load(0, 1, 1)
    network = read_network(small_onnx)
    instance = ConvertingInstance(Slot(0, 1, 1, 1), engine, network, queue, lost.append, driver)
    instance.start()
    engine.may_convert.clear()
    request = Request((SAMPLE,), None)
    queue.put(request)
    until(lambda: engine.live == 1)
    instance.orphan()
    assert "the thread that drives it has ended" in str(request.future.exception(60))
    assert lost == [instance]
    engine.may_convert.set()
    driver.close()
