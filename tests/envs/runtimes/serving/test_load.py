"""Closed and open loops through the live runtime."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from envs.arrays import NamedArrays
from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.serving.load import PoissonLoad
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.queue import Request, RequestQueue, Sample
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import (
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    local_computer,
    workload_of,
)
from envs.telemetry.none import NoSensor
from envs.telemetry.protocol import BoardSample
from envs.testing.engines import ScriptedFactory
from envs.testing.sensors import ScriptedSensor
from tests.envs.runtimes.serving.streamed import configuration


def test_a_closed_loop_fills_every_batch(live_space: ConfigurationSpace) -> None:
    factory = ScriptedFactory(0.2)
    options = ServingOptions(max_wait_ms=1e6)
    with ServingRuntime(live_space, factory, NoSensor(), options) as runtime:
        runtime.apply(configuration((1, 4), (2, 1)))
        measurement = runtime.measure(0.5)
    assert set(factory.engines[0].batches) == {4}
    assert measurement.overlap > 0.5
    # Each batch takes 0.2 s whatever its size: (4 + 1 + 1) / 0.2 s, less what the scheduler takes.
    assert 10 < measurement.throughput_ips[0] <= 30


def test_a_partial_batch_leaves_after_the_maximum_wait() -> None:
    queue = RequestQueue(max_wait_s=0.05)
    queue.put(Request((np.zeros(1),), None))
    began = time.perf_counter()
    taken = queue.take(lambda: 8, lambda: False)
    assert taken is not None
    assert len(taken) == 1
    assert time.perf_counter() - began >= 0.045


def test_an_open_loop_keeps_its_rate_and_does_not_hide_a_stall(small_onnx: Path) -> None:
    """The engine hangs for more than half a second; the generator goes on sending meanwhile."""
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([read_network(small_onnx)], [100.0]), 1, (1,)
    )
    factory = ScriptedFactory(0.001)

    def at_reading(position: int) -> BoardSample:
        """Let the engine hang when the second window begins; a window is read at both ends."""
        if position == 2:
            factory.engines[0].go_on.clear()
            threading.Timer(0.8, factory.engines[0].go_on.set).start()
        return BoardSample()

    sensor = ScriptedSensor(at_reading, has_power=False)
    with ServingRuntime(space, factory, sensor, ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        window = runtime.measure(1.0)
        calm = window.tenants[0]
        stalled = runtime.measure(1.0).tenants[0]
    assert 70 < calm.requests / window.window_s < 130, "those that were due"
    assert calm.p50_ms < stalled.p99_ms / 3
    assert stalled.p99_ms > 350, "requests that were due in the stall waited for its end"
    assert stalled.requests > 0.6 * calm.requests, "the generator sent them all the same"


def test_an_overloaded_open_loop_says_so(small_onnx: Path) -> None:
    """50 answers per second are possible, 200 are asked for: latency grows, nothing hangs."""
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([read_network(small_onnx)], [200.0]), 1, (1,)
    )
    with ServingRuntime(space, ScriptedFactory(0.02), NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        measured = runtime.measure(0.6)
        assert measured.tenants[0].p99_ms > 400
        assert measured.throughput_ips[0] < 60
        runtime.apply(configuration((0, 0), (1, 1)))
        assert runtime.measure(0.3).tenants[0].requests > 0, "the backlog is gone with its load"


def test_two_tenants_are_measured_apart(
    live_space: ConfigurationSpace, small_onnx: Path, cache: Path
) -> None:
    network = read_network(small_onnx)
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([network, network], [float("inf"), 10.0]), 1, (1,)
    )
    factory = OnnxEngineFactory(space, [small_onnx, small_onnx], cache)
    options = ServingOptions(requests_per_window=10)
    with ServingRuntime(space, factory, NoSensor(), options) as runtime:
        runtime.apply(Configuration((((1, 1), (0, 0)), ((0, 0), (1, 1)))))
        measurement = runtime.measure(0.8)
    assert space.workload.names == ("small", "small_2")
    assert measurement.throughput_ips[0] > measurement.throughput_ips[1]
    assert 3 < measurement.tenants[1].requests / measurement.window_s < 30, "those that were due"


def test_an_open_loop_that_got_no_request_is_a_typed_failure(small_onnx: Path) -> None:
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([read_network(small_onnx)], [0.001]), 1, (1,)
    )
    with ServingRuntime(
        space, ScriptedFactory(), NoSensor(), ServingOptions(max_window_s=0.3)
    ) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        with pytest.raises(ConfigurationFailed, match="small got no request in"):
            runtime.measure(0.1)


def test_a_window_lasts_until_a_batch_has_ended_in_it(live_space: ConfigurationSpace) -> None:
    """The computer may stall for longer than a short window."""
    factory = ScriptedFactory()
    options = ServingOptions(warmup_s=0.0, max_window_s=0.05)
    with ServingRuntime(live_space, factory, NoSensor(), options) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        factory.engines[0].pause_s = 0.5
        measured = runtime.measure(0.05)
    assert measured.tenants[0].requests >= 1
    assert measured.window_s > 0.05


def test_requests_that_a_late_generator_has_yet_to_send_are_waited_for() -> None:
    go_on = threading.Event()

    def submit(sample: Sample, due_s: float | None) -> Future[NamedArrays]:
        assert go_on.wait(60)
        answered: Future[NamedArrays] = Future()
        answered.set_result({})
        return answered

    load = PoissonLoad(submit, [()], 1000.0, seed=0)
    load.start()
    end_s = time.perf_counter() + 0.05
    assert load.waits(0.0, end_s)
    time.sleep(0.1)
    assert load.waits(0.0, end_s), "it hangs since before the end"
    go_on.set()
    while load.waits(0.0, end_s):
        time.sleep(0.001)
    load.stop()
    assert not load.waits(0.0, math.inf), "it sends no more"
