"""Best effort runs while critical requests leave a core free, and gives way between segments."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from envs.errors import RuntimeFault
from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.serving.engine import Arrays
from envs.runtimes.serving.gate import Gate, Gates
from envs.runtimes.serving.instance import Slot
from envs.runtimes.serving.load import sample_pool
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.placement import slots_of
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    DeviceSpec,
    accelerator,
    local_computer,
)
from envs.telemetry.none import NoSensor
from tests.envs.runtimes.serving.streamed import window_of_all
from tests.worlds import critical_and_best_effort

CRITICAL, BEST_EFFORT = 0, 1

#: Columns of the accelerators of `world`.
FP32, INT8, FP32_IN_4, INT8_IN_4 = range(4)

#: One instance of the critical network whole, one of the other in four segments.
BOTH = Configuration((((1, 1), (0, 0), (0, 0), (0, 0)), ((0, 0), (0, 0), (1, 1), (0, 0))))

PATIENCE_S = 60.0


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_a_gate_is_closed_while_critical_requests_take_all_threads() -> None:
    gate = Gate(capacity=4)
    gate.serve([Slot(0, 0, 2, batch=8), Slot(0, 0, 2, batch=8), Slot(1, 0, 1, batch=1)])
    assert not gate.closed
    gate.count(0, 8)  # one instance with two threads takes them all
    assert not gate.closed
    gate.count(0, 1)
    assert gate.closed
    gate.count(0, -2)
    assert not gate.closed
    gate.count(1, 5)
    assert not gate.closed  # 2 + 1 threads of 4


def test_a_gate_lets_those_go_that_stop_and_those_that_may_run() -> None:
    gate, passed, stop = Gate(capacity=1), threading.Event(), threading.Event()
    gate.serve([Slot(0, 0, 1, 1)])

    def waiting(stopping: Callable[[], bool]) -> threading.Thread:
        def wait() -> None:
            gate.wait(stopping)
            passed.set()

        thread = threading.Thread(target=wait)
        thread.start()
        return thread

    for let_go in (lambda: gate.count(0, -1), lambda: (stop.set(), gate.wake())):
        gate.count(0, 1)
        passed.clear()
        thread = waiting(stop.is_set)
        assert not passed.wait(0.05)
        let_go()
        assert passed.wait(PATIENCE_S)
        thread.join()


def space_of(path: Path, rate_ips: float = math.inf) -> ConfigurationSpace:
    network = read_network(path)
    workload = critical_and_best_effort(network, network, rate_ips)
    device = local_computer(cores=1).with_segments((4,))
    return ConfigurationSpace(device, workload, 2, (1, 4))


def test_best_effort_has_all_cores_once_more(small_onnx: Path) -> None:
    space = space_of(small_onnx)
    slots = slots_of(BOTH, replace(space.device, cores=6), space.workload.best_effort)
    assert [(slot.tenant, slot.accelerator, slot.threads) for slot in slots] == [
        (CRITICAL, FP32, 6),
        (BEST_EFFORT, FP32_IN_4, 6),
    ]


def test_a_request_that_is_refused_closes_no_gate(small_onnx: Path) -> None:
    gates = Gates(space_of(small_onnx))
    gate = gates.of(Slot(BEST_EFFORT, FP32, 1, 1))
    assert gate is not None
    assert gate is gates.of(Slot(BEST_EFFORT, INT8_IN_4, 1, 1))
    assert gates.of(Slot(CRITICAL, FP32, 1, 1)) is None
    gate.serve([Slot(CRITICAL, FP32, 1, 1)])
    refused: Future[Any] = Future()
    with pytest.raises(RuntimeFault), gates.announced(CRITICAL, refused):
        raise RuntimeFault("full")
    assert not gate.closed
    accepted: Future[Any] = Future()
    with gates.announced(CRITICAL, accepted):
        assert gate.closed
    assert gate.closed
    accepted.set_result(None)
    assert not gate.closed
    with gates.announced(BEST_EFFORT, Future()):
        assert not gate.closed


@pytest.mark.parametrize(
    ("critical", "waiting"),
    [
        ("tensor", {"tensor", "cuda", "dla0_to_7_tensor", "tensor_to_3_dla1"}),
        ("dla0", {"dla0", "dla0_to_7_tensor"}),
        ("dla0_to_7_tensor", {"tensor", "cuda", "dla0", "dla0_to_7_tensor", "tensor_to_3_dla1"}),
        ("tensor_to_3_dla1", {"tensor", "cuda", "dla1", "dla0_to_7_tensor", "tensor_to_3_dla1"}),
    ],
)
def test_a_mapping_closes_the_gates_of_all_its_resources_and_waits_for_each(
    critical: str, waiting: set[str], small_onnx: Path
) -> None:
    names = ("tensor", "cuda", "dla0", "dla1", "dla0_to_7_tensor", "tensor_to_3_dla1")
    device = DeviceSpec("Orin", tuple(accelerator(each) for each in names), 8, 30_000.0)
    gates = Gates(replace(space_of(small_onnx), device=device))
    serving: Any = SimpleNamespace(slot=Slot(CRITICAL, names.index(critical), 1, 1))
    gates.serve([serving])
    request: Future[Any] = Future()
    with gates.announced(CRITICAL, request):
        pass
    at = {name: gates.of(Slot(BEST_EFFORT, column, 1, 1)) for column, name in enumerate(names)}
    assert {name for name, gate in at.items() if gate is not None and gate.closed} == waiting
    request.set_result(None)
    assert not any(gate is None or gate.closed for gate in at.values())


class HeldEngine:
    """A critical engine that computes for as long as the test says."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.go_on = threading.Event()
        self.go_on.set()

    def run(self, inputs: Arrays) -> Arrays:
        assert self.go_on.wait(PATIENCE_S)
        return self._engine.run(inputs)

    def close(self) -> None:
        self._engine.close()


class CountingEngine:
    """Counts the segments that have begun; the first of each batch waits for the test."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.segments = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def run(self, inputs: Arrays) -> Arrays:
        return self._engine.run(inputs)

    def run_segments(self, inputs: Arrays, give_way: Callable[[], None]) -> Arrays:
        self.segments += 1
        assert self.go_on.wait(PATIENCE_S)

        def between() -> None:
            give_way()
            self.segments += 1

        return self._engine.run_segments(inputs, between)

    def close(self) -> None:
        self._engine.close()


class Factory(OnnxEngineFactory):
    """Keeps the last engine of each tenant."""

    def load(self, tenant: int, accelerator: int, threads: int) -> Any:
        kind = HeldEngine if tenant == CRITICAL else CountingEngine
        made = kind(super().load(tenant, accelerator, threads))
        self.engines = {**getattr(self, "engines", {}), tenant: made}
        return made


@pytest.fixture
def runtime(small_onnx: Path, cache: Path) -> Iterator[ServingRuntime]:
    space = space_of(small_onnx)
    factory = Factory(space, [small_onnx] * 2, cache)
    with ServingRuntime(space, factory, NoSensor(), ServingOptions(warmup_s=0.1)) as made:
        made.apply(BOTH)
        yield made
        for engine in factory.engines.values():
            engine.go_on.set()


def test_best_effort_stops_between_two_segments_until_the_critical_are_answered(
    runtime: ServingRuntime, small_onnx: Path
) -> None:
    (sample, _) = sample_pool(read_network(small_onnx), seed=0)
    expected = runtime.submit(CRITICAL, sample).result(PATIENCE_S)
    held, counting = (runtime._factory.engines[each] for each in (CRITICAL, BEST_EFFORT))
    held.go_on.clear()
    counting.go_on.clear()
    best = runtime.submit(BEST_EFFORT, sample)
    assert eventually(lambda: counting.segments == 1)
    critical = runtime.submit(CRITICAL, sample)
    counting.go_on.set()
    time.sleep(0.1)
    assert (counting.segments, best.done()) == (1, False)
    held.go_on.set()
    assert critical.done() or critical.result(PATIENCE_S)
    answer = best.result(PATIENCE_S)
    assert counting.segments == 4
    for name, array in expected.items():
        assert answer[name].tobytes() == array.tobytes()


def test_a_batch_does_not_begin_while_critical_requests_wait(
    runtime: ServingRuntime, small_onnx: Path
) -> None:
    (sample, _) = sample_pool(read_network(small_onnx), seed=0)
    held, counting = (runtime._factory.engines[each] for each in (CRITICAL, BEST_EFFORT))
    held.go_on.clear()
    critical = runtime.submit(CRITICAL, sample)
    best = runtime.submit(BEST_EFFORT, sample)
    time.sleep(0.1)
    assert (counting.segments, best.done()) == (0, False)
    held.go_on.set()
    critical.result(PATIENCE_S)
    best.result(PATIENCE_S)


def test_an_instance_that_waits_at_the_gate_can_be_stopped(
    runtime: ServingRuntime, small_onnx: Path
) -> None:
    (sample, _) = sample_pool(read_network(small_onnx), seed=0)
    held, counting = (runtime._factory.engines[each] for each in (CRITICAL, BEST_EFFORT))
    counting.go_on.clear()
    best = runtime.submit(BEST_EFFORT, sample)
    assert eventually(lambda: counting.segments == 1)
    held.go_on.clear()
    critical = runtime.submit(CRITICAL, sample)
    counting.go_on.set()
    whole = Configuration((((1, 1), (0, 0), (0, 0), (0, 0)), ((1, 1), (0, 0), (0, 0), (0, 0))))
    runtime.apply(whole)  # finishes the batch in segments, though the gate is closed
    assert best.done()
    held.go_on.set()
    critical.result(PATIENCE_S)


def test_a_saturated_critical_tenant_leaves_nothing_and_the_window_says_so(
    runtime: ServingRuntime,
) -> None:
    measured = runtime.measure(0.3)
    critical, best = measured.tenants
    assert critical.requests > 0
    assert best.throughput_ips < critical.throughput_ips


def test_best_effort_takes_what_sparse_critical_requests_leave(
    small_onnx: Path, cache: Path
) -> None:
    space = space_of(small_onnx, rate_ips=20.0)
    factory = OnnxEngineFactory(space, [small_onnx] * 2, cache)
    options = ServingOptions(warmup_s=0.1, requests_per_window=10)
    with ServingRuntime(space, factory, NoSensor(), options) as runtime:
        runtime.apply(BOTH)
        critical, best = window_of_all(runtime, 0.5).tenants
    assert critical.requests > 0
    assert best.requests > 0
    assert np.isfinite(best.p99_ms)
