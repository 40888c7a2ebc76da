"""Best effort in segments, one engine each, beside a critical network: over the stand-ins."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.catalog.graph_builder import GraphBuilder
from envs.graph.partition import partition_of
from envs.graph.reading import read_network
from envs.runtimes.serving.engine import SegmentedStreamEngine
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.readiness import Readiness
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.tensorrt.build import failed
from envs.runtimes.tensorrt.builds import EngineBuilds
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.spec import (
    Agreement,
    Configuration,
    ConfigurationFailed,
    Network,
    Place,
)
from envs.telemetry.none import NoSensor
from tests.envs.runtimes.tensorrt.test_graph import values
from tests.envs.runtimes.tensorrt.worlds import MixedWorld, World, served

CRITICAL, BEST_EFFORT = 0, 1
TENSOR, DLA0, DLA1, TENSOR_IN_4, DLA0_IN_4, DLA1_IN_4 = range(6)
PLACES = ("tensor", "dla0", "dla1", "tensor_in_4", "dla0_in_4", "dla1_in_4")
PATIENCE_S = 20.0


class Watched(TensorRTEngineFactory):
    """Keeps the engines by tenant, and what they launch; they finish when the test says so."""

    def load(self, tenant: int, accelerator: int, threads: int) -> Any:
        engine = super().load(tenant, accelerator, threads)
        if not hasattr(self, "launched"):
            self.launched: list[str] = []
            self.go_on = {each: threading.Event() for each in (CRITICAL, BEST_EFFORT)}
            for event in self.go_on.values():
                event.set()
        for name in ("launch", "launch_first", "launch_next"):
            setattr(engine, name, self._noted(f"{tenant} {name}", getattr(engine, name)))
        done = engine.done
        engine.done = lambda: self.go_on[tenant].is_set() and done()  # type: ignore[method-assign]
        return engine

    def _noted(self, what: str, call: Callable[..., None]) -> Callable[..., None]:
        def noted(*given: Any) -> None:
            self.launched.append(what)
            call(*given)

        return noted


class Mixed(MixedWorld):
    """Watches what both launch."""

    kind = Watched


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network]:
    """Make a residual network of seven layers that multiply."""
    graph = GraphBuilder(0)
    x = graph.relu(graph.conv("input", 16, 3, 2, pad=1))
    x = graph.relu(graph.conv(graph.max_pool(x, 3, 2, pad=1), 32, 3, 2, pad=1))
    for _ in range(2):
        y = graph.relu(graph.conv(x, 32, 3, pad=1))
        x = graph.relu(graph.add(graph.conv(y, 32, 3, pad=1), x))
    x = graph.linear(graph.flatten(graph.global_average(x)), 10)
    path = tmp_path_factory.mktemp("networks") / "small.onnx"
    onnx.save(graph.model("small", x, 64), path)
    return path, read_network(path)


@pytest.fixture
def world(small: tuple[Path, Network], tmp_path: Path) -> World:
    return World(small, tmp_path / "engines", accelerators=PLACES)


@pytest.fixture
def mixed(small: tuple[Path, Network], tmp_path: Path) -> Mixed:
    return Mixed(small, tmp_path / "engines", accelerators=PLACES)


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


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "11.0.0"])
def test_segments_answer_as_the_whole_network(
    version: str, small: tuple[Path, Network], tmp_path: Path
) -> None:
    places = ("tensor", "tensor_in_4", "cuda", "cuda_in_2")
    made = World(small, tmp_path / "engines", version, accelerators=places)
    for whole, cut, count in ((0, 1, 4), (2, 3, 2)):
        engine = made.engine(cut, 4)
        assert made.builds == count
        for rows in (4, 1, 3):
            images = values(rows, 3, 64, 64)
            expected = served(made.engine(whole, 4), images)
            np.testing.assert_allclose(served(engine, images), expected, rtol=1e-4, atol=1e-5)
        made.module.world.configs.clear()


def test_segments_on_a_dla_are_calibrated_and_are_loadables_of_its_core(world: World) -> None:
    world.factory.build(0, DLA0_IN_4, 4)
    engine = world.engine(DLA0_IN_4, 4)
    images = values(4, 3, 64, 64)
    found, expected = served(engine, images), served(world.engine(DLA0, 4), images)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95
    assert world.factory.calibration(0, DLA0_IN_4)[1] == 1
    assert world.factory.blocks(0, DLA0_IN_4) == 4
    assert len(engine.layers[4].dla) == 4
    assert not engine.converts
    engine.close()


def test_engines_of_segments_are_kept_and_shared_by_both_cores(world: World) -> None:
    assert not world.factory.built(0, DLA0_IN_4, 1)
    world.factory.build(0, DLA0_IN_4, 1)
    assert world.builds == 4
    assert world.factory.built(0, DLA1_IN_4, 1)
    world.factory.close()
    world.factory = world.again()
    assert world.factory.built(0, DLA0_IN_4, 1)
    world.factory.build(0, DLA1_IN_4, 1)
    world.engine(DLA0_IN_4, 1)
    assert world.builds == 4


def test_parts_are_launched_one_by_one_and_hand_over_on_the_device(world: World) -> None:
    engine = world.engine(TENSOR_IN_4, 4)
    assert isinstance(engine, SegmentedStreamEngine)
    images = values(3, 3, 64, 64)
    whole = served(engine, images)
    engine.launch_first([images])
    left = []
    while engine.done() and engine.parts_left:
        left.append(engine.parts_left)
        engine.launch_next()
    assert left == [3, 2, 1]
    np.testing.assert_array_equal(engine.result()[0], whole)
    assert engine.elapsed_ms() == pytest.approx(4 * 1.5)  # of a part, in the stand-in
    served(engine, images)
    assert engine.elapsed_ms() == pytest.approx(1.5)
    lanes = engine._lanes[4].parts
    for first, second in pairwise(lanes):
        shared = set(first.device) & set(second.device)
        assert shared
        for tensor in shared:
            assert int(first.device[tensor]) == int(second.device[tensor])
    engine.close()
    assert world.driver.live == 0


def test_whole_networks_have_one_part(world: World) -> None:
    engine = world.engine(TENSOR, 4)
    engine.launch_first([values(4, 3, 64, 64)])
    assert engine.parts_left == 0
    assert engine.result()[0].shape == (4, 10)


def test_a_network_with_fewer_cuts_has_fewer_segments(
    small: tuple[Path, Network], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    groups = sum(each.layers.macs.any() for each in partition_of(small[0]).groups)
    assert groups > 4
    places = ("tensor", "tensor_in_99")
    made = World(small, tmp_path / "engines", accelerators=places)
    with caplog.at_level(logging.WARNING):
        made.factory.build(0, 1, 1)
    assert made.builds == groups
    assert f"small has {groups} segments on tensor_in_99, not 99" in caplog.text


def test_loadables_of_segments_are_counted_before_anything_is_built(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    groups = sum(each.layers.macs.any() for each in partition_of(small[0]).groups)
    names = ("tensor", "dla0", "tensor_in_4", "dla0_in_4", "dla0_in_99", "dla1_in_99")
    mixed = MixedWorld(small, tmp_path / "engines", accelerators=names)
    judge: Callable[[Place], Agreement] = lambda place: Agreement(1.0, 0.0, 1)  # noqa: E731
    readiness = Readiness(mixed.space, mixed.factory, judge, 0.9)
    counts = {(BEST_EFFORT, 3, 4), (BEST_EFFORT, 4, groups), (BEST_EFFORT, 5, groups)}
    assert readiness.known.blocks == counts
    assert mixed.builds == 0
    assert not (tmp_path / "engines" / "parts").exists()
    for column in (3, 4):
        readiness.make_ready(Place(BEST_EFFORT, column, 1))
    assert readiness.known.blocks == counts


def test_loadables_of_a_file_that_cannot_be_read_are_as_many_as_wanted(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(small[0].read_bytes())
    made = World((path, small[1]), tmp_path / "engines", accelerators=("tensor", "dla0_in_4"))
    path.write_bytes(b"no network")
    assert made.factory.blocks(0, 1) == 4


@pytest.fixture
def uncut(tmp_path: Path) -> tuple[Path, Network]:
    graph = GraphBuilder(0)
    x = graph.conv("input", 4, 3, 2, pad=1)
    path = tmp_path / "uncut.onnx"
    onnx.save(graph.model("uncut", x, 16), path)
    return path, read_network(path)


def test_a_network_without_a_cut_is_refused(uncut: tuple[Path, Network], tmp_path: Path) -> None:
    made = World(uncut, tmp_path / "engines", accelerators=("tensor", "tensor_in_4"))
    reason = "no engines of uncut on tensor_in_4: uncut cannot be cut anywhere: run it on tensor"
    with pytest.raises(ConfigurationFailed, match=reason):
        made.factory.build(0, 1, 1)
    assert not made.factory.built(0, 1, 1)
    assert made.builds == 0


def test_a_part_that_is_refused_drops_the_place_alone(
    mixed: Mixed, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = EngineBuilds._run_builder

    def refuse(self: EngineBuilds, place: Place, *given: Any) -> Any:
        if self.network(place.tenant).name.endswith("part 3"):
            raise RuntimeError("no implementation for the node")
        return build(self, place, *given)

    monkeypatch.setattr(
        EngineBuilds,
        "_run_builder",
        lambda self, place, *given: _as_failure(self, place, refuse, *given),
    )
    judge: Callable[[Place], Agreement] = lambda place: Agreement(1.0, 0.0, 1)  # noqa: E731
    readiness = Readiness(mixed.space, mixed.factory, judge, 0.9)
    place = Place(BEST_EFFORT, TENSOR_IN_4, 1)
    with pytest.raises(ConfigurationFailed) as error:
        readiness.make_ready(place)
    failure = error.value.failure
    assert failure.place == place
    for words in ("on tensor_in_4", "small part 3", "no implementation for the node"):
        assert words in failure.reason
    readiness.make_ready(Place(BEST_EFFORT, TENSOR, 1))
    assert (BEST_EFFORT, TENSOR_IN_4) not in {each[:2] for each in readiness.ready}
    assert 1 not in readiness.known.batches_of(BEST_EFFORT, TENSOR_IN_4)
    assert 1 in readiness.known.batches_of(BEST_EFFORT, TENSOR)


def _as_failure(builds: EngineBuilds, place: Place, call: Callable[..., Any], *given: Any) -> Any:
    try:
        return call(builds, place, *given)
    except RuntimeError as error:
        raise failed(builds.network(place.tenant), builds.spec(*place), str(error)) from None


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
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    names = ("tensor", "dla0", "dla1", "dla0_to_2_tensor")
    mixed = Mixed(small, tmp_path / "engines", accelerators=names)
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
    critical, best = runtime.measure(0.3).tenants
    assert critical.requests > 0
    assert best.requests > 0
