"""Instances that convert in a thread of their own hold nobody up, and keep every promise."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from typing import Any

import numpy as np
import pytest

from envs.runtimes.serving.runtime import ServingRuntime
from tests.envs.runtimes.serving.converters import SomeConvert, served, until
from tests.envs.runtimes.serving.streamed import SAMPLE, configuration, full_batches
from tests.envs.runtimes.serving.test_streams import is_of


@pytest.fixture
def runtime(mixed: SomeConvert) -> Iterator[ServingRuntime]:
    with served(mixed) as runtime:
        yield runtime


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


def test_sizes_change_while_requests_flow(runtime: ServingRuntime, mixed: SomeConvert) -> None:
    runtime.apply(configuration((0, 0), (1, 1)))
    futures: list[Future[Any]] = []
    for batch in (4, 8, 1, 4):
        futures += [runtime.submit(0, SAMPLE) for _ in range(30)]
        runtime.apply(configuration((0, 0), (1, batch)))
    assert all(future.result(60)["logits"].shape == (10,) for future in futures)
