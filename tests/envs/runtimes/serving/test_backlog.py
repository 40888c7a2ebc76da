"""More requests than answers: the queue is bounded, and the tail of the latencies shows it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.graph.reading import read_network
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.queue import QueueFull, Request, RequestQueue
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, ConfigurationSpace, local_computer, workload_of
from envs.telemetry.none import NoSensor
from envs.testing.engines import ScriptedFactory

SAMPLE = np.zeros((3, 48, 48), np.float32)


def instances(count: int, batch: int) -> Configuration:
    return Configuration((((count, batch), (0, 0)),))


@pytest.mark.parametrize("streams", [False, True])
def test_what_waits_is_bounded(streams: bool, live_space: ConfigurationSpace) -> None:
    factory = ScriptedFactory(streams=streams)
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions(max_waiting=5)) as runtime:
        runtime.apply(instances(1, 1))
        factory.engines[0].go_on.clear()
        futures = [runtime.submit(0, SAMPLE)]
        while not futures[0].running():
            time.sleep(0.001)
        futures += [runtime.submit(0, SAMPLE) for _ in range(5)]
        with pytest.raises(
            QueueFull,
            match=r"5 requests wait already for small, ask less often or raise serving\.max_w",
        ):
            runtime.submit(0, SAMPLE)
        factory.engines[0].go_on.set()
        assert all(future.result(60) for future in futures), "accepted requests are answered"


def test_there_is_room_for_what_the_instances_hold(live_space: ConfigurationSpace) -> None:
    factory = ScriptedFactory()
    options = ServingOptions(max_waiting=1, max_wait_ms=1e6)
    with ServingRuntime(live_space, factory, NoSensor(), options) as runtime:
        runtime.apply(instances(2, 4))
        runtime.measure(0.2)
    assert {size for engine in factory.engines for size in engine.batches} == {4}


def test_requests_that_are_dropped_count_in_the_tail(small_onnx: Path) -> None:
    """100 a second can be answered, 500 are asked for, ten may wait: dropped requests count as
    unanswered, not as answered at once."""
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([read_network(small_onnx)], [500.0]), 1, (1,)
    )
    with ServingRuntime(
        space, ScriptedFactory(0.01), NoSensor(), ServingOptions(max_waiting=10)
    ) as runtime:
        runtime.apply(instances(1, 1))
        tenant = runtime.measure(0.5).tenants[0]
    assert tenant.requests > 175, "dropped requests count too"
    assert tenant.p99_ms > 400, "although accepted requests waited for a tenth of a second"


def test_of_two_requests_due_at_one_instant_the_unanswered_one_counts(
    live_space: ConfigurationSpace,
) -> None:
    factory = ScriptedFactory(0.0)
    options = ServingOptions(outside=True, warmup_s=0.0)
    with ServingRuntime(live_space, factory, NoSensor(), options) as runtime:
        runtime.apply(instances(1, 1))
        futures: list[Future[Any]] = []

        def ask() -> None:
            now_s = time.perf_counter()
            futures.append(runtime.submit(0, SAMPLE, now_s))
            futures[0].result(60)
            factory.engines[0].pause_s = 1.8
            futures.extend((runtime.submit(0, SAMPLE), runtime.submit(0, SAMPLE, now_s)))

        threading.Timer(0.1, ask).start()
        assert runtime.measure(0.75).tenants[0].requests == 3
        wait(futures, 60)


def test_a_span_of_the_queue() -> None:
    queue = RequestQueue(max_wait_s=1.0)
    for arrival_s in (1.0, 2.0, 2.0, 3.0):
        queue.put(Request((SAMPLE,), arrival_s))
    assert queue.due_between(2.0, 3.0) == [2.0, 2.0]
    assert queue.due_between(3.0, 4.0) == [3.0]
    assert queue.due_between(1.5, 2.0) == []
    assert len(queue) == 4
