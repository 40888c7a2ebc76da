"""Instances that convert in a thread of their own: what fails or hangs, and how they end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from envs.graph.reading import read_network
from envs.runtimes.serving.converting import ConvertingInstance
from envs.runtimes.serving.driver import StreamDriver
from envs.runtimes.serving.instance import Slot
from envs.runtimes.serving.queue import Request, RequestQueue
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import ConfigurationFailed, FailureKind
from tests.envs.runtimes.serving.converters import SomeConvert, served, until
from tests.envs.runtimes.serving.streamed import SAMPLE, configuration, impatient


@pytest.fixture
def runtime(mixed: SomeConvert) -> Iterator[ServingRuntime]:
    with served(mixed) as runtime:
        yield runtime


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
