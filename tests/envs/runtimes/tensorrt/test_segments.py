"""Best effort in segments, one engine each, beside a critical network: over the stand-ins."""

from __future__ import annotations

import logging
from collections.abc import Callable
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
from envs.runtimes.serving.readiness import Readiness
from envs.runtimes.tensorrt.build import failed
from envs.runtimes.tensorrt.builds import EngineBuilds
from envs.spec import Agreement, ConfigurationFailed, Network, Place
from tests.envs.runtimes.tensorrt.mixed import (
    BEST_EFFORT,
    DLA0,
    DLA0_IN_4,
    DLA1_IN_4,
    PLACES,
    TENSOR,
    TENSOR_IN_4,
    Mixed,
)
from tests.envs.runtimes.tensorrt.test_graph import values
from tests.envs.runtimes.tensorrt.worlds import MixedWorld, World, served


@pytest.fixture
def world(seven_layers: tuple[Path, Network], tmp_path: Path) -> World:
    return World(seven_layers, tmp_path / "engines", accelerators=PLACES)


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "11.0.0"])
def test_segments_answer_as_the_whole_network(
    version: str, seven_layers: tuple[Path, Network], tmp_path: Path
) -> None:
    places = ("tensor", "tensor_in_4", "cuda", "cuda_in_2")
    made = World(seven_layers, tmp_path / "engines", version, accelerators=places)
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
    seven_layers: tuple[Path, Network], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    groups = sum(each.layers.macs.any() for each in partition_of(seven_layers[0]).groups)
    assert groups > 4
    places = ("tensor", "tensor_in_99")
    made = World(seven_layers, tmp_path / "engines", accelerators=places)
    with caplog.at_level(logging.WARNING):
        made.factory.build(0, 1, 1)
    assert made.builds == groups
    assert f"small has {groups} segments on tensor_in_99, not 99" in caplog.text


def test_loadables_of_segments_are_counted_before_anything_is_built(
    seven_layers: tuple[Path, Network], tmp_path: Path
) -> None:
    groups = sum(each.layers.macs.any() for each in partition_of(seven_layers[0]).groups)
    names = ("tensor", "dla0", "tensor_in_4", "dla0_in_4", "dla0_in_99", "dla1_in_99")
    mixed = MixedWorld(seven_layers, tmp_path / "engines", accelerators=names)
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
    seven_layers: tuple[Path, Network], tmp_path: Path
) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(seven_layers[0].read_bytes())
    made = World(
        (path, seven_layers[1]), tmp_path / "engines", accelerators=("tensor", "dla0_in_4")
    )
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
