"""Engines whose layers are placed on several accelerators, over the stand-ins for TensorRT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.graph.partition import partition_of
from envs.runtimes.tensorrt.builds import EngineBuilds
from envs.runtimes.tensorrt.spec import canonical
from envs.spec import ConfigurationFailed, Network
from tests.envs.runtimes.tensorrt.test_graph import run, values
from tests.envs.runtimes.tensorrt.worlds import World, served
from tests.standins.tensorrt.names import VERSIONS

#: Of `small`: the layers of its four blocks.
MAPPED = 4


def world(small: tuple[Path, Network], folder: Path, name: str, version: str = "10.3.0") -> World:
    places = ("cuda", "tensor", "dla0", "dla1", name)
    return World(small, folder / "engines", version, accelerators=places)


def devices(made: World) -> dict[str, str]:
    return dict(made.module.world.configs[-1]._devices)


@pytest.mark.parametrize("version", VERSIONS)
def test_layers_run_where_the_mapping_says(
    version: str, small: tuple[Path, Network], tmp_path: Path
) -> None:
    if version.startswith("rtx"):
        pytest.skip("TensorRT for RTX has no DLA")
    made = world(small, tmp_path, "dla0_to_2_tensor", version)
    engine = made.engine(MAPPED, 4)
    partition, placed = partition_of(small[0]), devices(made)
    stop = partition.groups[2].start
    for position, node in enumerate(partition.flow.nodes):
        if node.output[0] in placed:  # the graph's end was prepared for a DLA
            assert placed[node.output[0]] == ("DLA" if position < stop else "GPU"), node.output[0]
    assert set(placed.values()) == {"DLA", "GPU"}
    layers = engine.layers[4]
    assert len(layers.dla) == 1
    assert layers.gpu
    images = values(4, 3, 64, 64)
    expected = run(onnx.load(str(small[0])), images)[0]
    assert np.corrcoef(served(engine, images).ravel(), expected.ravel())[0, 1] > 0.95
    engine.close()
    assert made.driver.live == 0


def test_parts_are_held_to_their_precisions(small: tuple[Path, Network], tmp_path: Path) -> None:
    made = world(small, tmp_path, "tensor_to_1_dla0_to_3_cuda")
    made.factory.build(0, MAPPED, 1)
    config, network = made.module.world.configs[-1], made.module.world.networks[-1]
    kinds, partition = made.module.DataType, partition_of(small[0])
    part = {
        name: sum(at >= partition.groups[stop].start for stop in (1, 3))
        for at, node in enumerate(partition.flow.nodes)
        for name in node.output
    }
    wanted = {0: kinds.HALF, 1: None, 2: kinds.FLOAT}
    for position in range(network.num_layers):
        layer = network.get_layer(position)
        name = layer.get_output(0).name
        if name in part:
            assert layer.precision == wanted[part[name]], name
    flags = {flag.name for flag in config._flags}
    assert {"INT8", "FP16", "GPU_FALLBACK", "PREFER_PRECISION_CONSTRAINTS"} <= flags
    assert "TF32" not in flags


def test_a_mapping_on_the_gpu_alone_takes_any_batch(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    made = world(small, tmp_path, "cuda_to_2_tensor")
    engine = made.engine(MAPPED, 4)
    images = values(3, 3, 64, 64)
    expected = run(onnx.load(str(small[0])), images)[0]
    np.testing.assert_allclose(served(engine, images), expected, rtol=0.05, atol=0.05)
    assert set(devices(made).values()) == {"GPU"}


def test_both_dla_cores_share_the_engine_of_a_mapping(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    places = ("tensor", "dla0", "dla1", "dla0_to_2_tensor", "dla1_to_2_tensor")
    made = World(small, tmp_path / "engines", accelerators=places)
    made.factory.build(0, 3, 1)
    assert made.factory.built(0, 4, 1)
    assert not made.factory.built(0, 1, 1)


def test_a_mapping_that_cannot_be_built_says_why(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    made = world(small, tmp_path, "dla0_to_99_tensor")
    with pytest.raises(ConfigurationFailed, match="needs more than 99 layer groups"):
        made.factory.build(0, MAPPED, 1)
    typed = world(small, tmp_path / "typed", "cuda_to_2_tensor", "11.0.0")
    with pytest.raises(ConfigurationFailed, match="use a mapping without cuda"):
        typed.factory.build(0, MAPPED, 1)


def test_whole_networks_keep_their_identity(small: tuple[Path, Network], tmp_path: Path) -> None:
    builds: EngineBuilds = world(small, tmp_path, "dla0_to_2_tensor").factory.builds
    whole: dict[str, Any] = json.loads(canonical(builds.identity(0, 1, 1)))
    assert "parts" not in whole["engine"]
    mapped = json.loads(canonical(builds.identity(0, MAPPED, 1)))
    assert mapped["engine"]["parts"] == [["dla", "int8", 2], ["tensor_cores", "fp16", None]]


@pytest.mark.parametrize("name", ["dla0_to_2_tensor", "tensor_to_1_dla0_to_3_cuda"])
@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "10.7.0"])
def test_parts_have_engines_of_their_own_and_hand_over_on_the_device(
    name: str, version: str, small: tuple[Path, Network], tmp_path: Path
) -> None:
    places = ("cuda", "tensor", "dla0", "dla1", name)
    made = World(small, tmp_path / "engines", version, accelerators=places, mappings="parts")
    assert not made.factory.built(0, MAPPED, 4)
    made.factory.build(0, MAPPED, 4)
    assert made.factory.built(0, MAPPED, 4)
    parts = name.count("_to_") + 1
    assert made.builds == parts
    assert made.factory.blocks(0, MAPPED) == 1
    assert made.factory.calibration(0, MAPPED)[1] == 1
    engine = made.engine(MAPPED, 4)
    for count in (4, 1, 3):
        images = values(count, 3, 64, 64)
        expected = run(onnx.load(str(small[0])), images)[0]
        found = served(engine, images)
        assert found.shape == (count, 10)
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95
    lane = engine._lanes[4]
    first, second = lane._lanes[:2]
    crossing = {spec.name for spec in made_networks(lane)[1].inputs}
    assert crossing
    for tensor in crossing:
        assert int(first.device[tensor]) == int(second.device[tensor])
    assert len(engine.layers[4].dla) == 1
    engine.close()
    assert made.driver.live == 0


def made_networks(lane: Any) -> list[Network]:
    return list(lane._parts)


def test_parts_in_fp32_answer_as_the_whole_network(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    places = ("cuda", "tensor", "cuda_to_2_tensor")
    made = World(
        small,
        tmp_path / "engines",
        accelerators=places,
        precisions={"tensor": "fp16"},
        mappings="parts",
    )
    images = values(2, 3, 64, 64)
    expected = run(onnx.load(str(small[0])), images)[0]
    np.testing.assert_allclose(served(made.engine(2, 4), images), expected, rtol=0.05, atol=0.05)
    assert made.factory.calibration(0, 2) == ("", 0)
