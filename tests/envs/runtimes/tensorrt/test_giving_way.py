"""Best effort gives way to critical requests between its segments: over the stand-ins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, Network
from envs.telemetry.none import NoSensor
from tests.envs.runtimes.serving.streamed import window_of_all
from tests.envs.runtimes.tensorrt.mixed import (
    BEST_EFFORT,
    CRITICAL,
    DLA0,
    DLA0_IN_4,
    PLACES,
    TENSOR,
    TENSOR_IN_4,
    Mixed,
)
from tests.envs.runtimes.tensorrt.test_graph import values

PATIENCE_S = 20.0


def check_best_effort_waits(runtime: ServingRuntime, mixed: Mixed) -> None:
    """Best effort is not launched while a critical request runs, and is answered after it."""
    factory, image = mixed.factory, values(3, 64, 64)
    factory.launched.clear()
    factory.go_on[CRITICAL].clear()
    critical = runtime.submit(CRITICAL, image)
    assert eventually(lambda: factory.launched == ["0 launch"])
    other = runtime.submit(BEST_EFFORT, image)
    time.sleep(0.1)
    assert factory.launched == ["0 launch"]
    factory.go_on[CRITICAL].set()
    critical.result(PATIENCE_S)
    other.result(PATIENCE_S)


def both(best: int, critical_at: int = TENSOR) -> Configuration:
    """One instance of each."""
    critical, other = [[(0, 0)] * len(PLACES) for _ in range(2)]
    critical[critical_at], other[best] = (1, 1), (1, 1)
    return Configuration((tuple(critical), tuple(other)))


@pytest.fixture
def runtime(mixed: Mixed) -> Iterator[ServingRuntime]:
    options = ServingOptions(warmup_s=0.1, batches_per_window=1, requests_per_window=4)
    with ServingRuntime(mixed.space, mixed.factory, NoSensor(), options) as made:
        yield made
        for event in mixed.factory.go_on.values():
            event.set()
    assert mixed.driver.live == 0


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    return condition()


@pytest.mark.parametrize("best", [TENSOR_IN_4, DLA0_IN_4])
def test_best_effort_runs_in_segments_and_answers_as_in_one_piece(
    best: int, runtime: ServingRuntime, mixed: Mixed
) -> None:
    runtime.apply(both(best))
    mixed.factory.launched.clear()
    image = values(3, 64, 64)
    answer = runtime.submit(BEST_EFFORT, image).result(PATIENCE_S)["logits"]
    assert mixed.factory.launched == ["1 launch_first", *["1 launch_next"] * 3]
    runtime.apply(both(TENSOR if best == TENSOR_IN_4 else DLA0))
    whole = runtime.submit(BEST_EFFORT, image).result(PATIENCE_S)["logits"]
    assert np.corrcoef(answer, whole)[0, 1] > 0.95


def test_a_critical_request_goes_before_the_next_segment(
    runtime: ServingRuntime, mixed: Mixed
) -> None:
    runtime.apply(both(TENSOR_IN_4))
    factory, image = mixed.factory, values(3, 64, 64)
    factory.launched.clear()
    for event in factory.go_on.values():
        event.clear()
    best = runtime.submit(BEST_EFFORT, image)
    assert eventually(lambda: factory.launched == ["1 launch_first"])
    critical = runtime.submit(CRITICAL, image)
    factory.go_on[BEST_EFFORT].set()  # its first segment is done, and the critical one waits
    assert eventually(lambda: factory.launched == ["1 launch_first", "0 launch"])
    time.sleep(0.1)
    assert factory.launched == ["1 launch_first", "0 launch"]
    assert not best.done()
    factory.go_on[CRITICAL].set()
    critical.result(PATIENCE_S)
    best.result(PATIENCE_S)
    assert factory.launched == ["1 launch_first", "0 launch", *["1 launch_next"] * 3]


@pytest.mark.parametrize("best", [TENSOR, TENSOR_IN_4])
def test_no_batch_begins_while_critical_requests_run(
    best: int, runtime: ServingRuntime, mixed: Mixed
) -> None:
    runtime.apply(both(best))
    check_best_effort_waits(runtime, mixed)


@pytest.mark.parametrize("best", [DLA0, DLA0_IN_4])
def test_best_effort_gives_way_on_a_dla_core_too(
    best: int, runtime: ServingRuntime, mixed: Mixed
) -> None:
    runtime.apply(both(best, DLA0))
    factory, image = mixed.factory, values(3, 64, 64)
    factory.go_on[CRITICAL].clear()
    critical = runtime.submit(CRITICAL, image)
    other = runtime.submit(BEST_EFFORT, image)
    time.sleep(0.1)
    assert not other.done()
    factory.go_on[CRITICAL].set()
    critical.result(PATIENCE_S)
    assert other.result(PATIENCE_S)["logits"].shape == (10,)


def test_best_effort_on_a_dla_does_not_wait_for_the_gpu(
    runtime: ServingRuntime, mixed: Mixed
) -> None:
    runtime.apply(both(DLA0_IN_4))
    factory, image = mixed.factory, values(3, 64, 64)
    factory.go_on[CRITICAL].clear()
    critical = runtime.submit(CRITICAL, image)
    runtime.submit(BEST_EFFORT, image).result(PATIENCE_S)
    assert not critical.done()
    factory.go_on[CRITICAL].set()
    critical.result(PATIENCE_S)


def test_best_effort_on_the_gpu_waits_for_a_critical_mapping_that_uses_it(
    seven_layers: tuple[Path, Network], tmp_path: Path
) -> None:
    names = ("tensor", "dla0", "dla1", "dla0_to_2_tensor")
    mixed = Mixed(seven_layers, tmp_path / "engines", accelerators=names)
    unused = (0, 0)
    rows = ((unused, unused, unused, (1, 1)), ((1, 1), unused, unused, unused))
    with ServingRuntime(mixed.space, mixed.factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(Configuration(rows))
        check_best_effort_waits(runtime, mixed)
        assert mixed.factory.launched == ["0 launch", "1 launch_first"]


def test_an_instance_that_gives_way_can_be_stopped(runtime: ServingRuntime, mixed: Mixed) -> None:
    runtime.apply(both(TENSOR_IN_4))
    factory, image = mixed.factory, values(3, 64, 64)
    factory.launched.clear()
    factory.go_on[BEST_EFFORT].clear()
    best = runtime.submit(BEST_EFFORT, image)
    assert eventually(lambda: factory.launched == ["1 launch_first"])
    factory.go_on[CRITICAL].clear()
    critical = runtime.submit(CRITICAL, image)
    assert eventually(lambda: "0 launch" in factory.launched)
    factory.go_on[BEST_EFFORT].set()
    runtime.apply(both(DLA0_IN_4))  # finishes the batch, though the critical one still runs
    assert best.done()
    assert not critical.done()
    factory.go_on[CRITICAL].set()
    critical.result(PATIENCE_S)


def test_a_window_has_both(runtime: ServingRuntime) -> None:
    runtime.apply(both(TENSOR_IN_4))
    critical, best = window_of_all(runtime, 0.3).tenants
    assert critical.requests > 0
    assert best.requests > 0
