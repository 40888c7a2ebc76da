"""Calibrations from the user's samples: found once, kept, and told as they were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.accuracy.samples import Samples, invented
from envs.errors import NetworkError
from envs.graph.reading import read_network
from envs.runtimes.tensorrt import calibrations as calibrations_module
from envs.spec import Network
from tests.envs.runtimes.tensorrt.test_graph import NODE, run, tail, values
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, DLA1, TENSOR, World, served

INT8 = {"tensor": "int8"}


def given(network: Network, count: int = 8, seed: int = 1) -> Samples:
    return Samples(invented(network, count, seed).arrays, "samples.npz", count)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the graphs that are calibrated, by the batch of their input."""
    made: list[str] = []
    real = calibrations_module.calibrate

    def noted(model: Any, network: Network, samples: Any) -> Any:
        size = model.graph.input[0].type.tensor_type.shape.dim[0]
        made.append(size.dim_param or str(size.dim_value))
        return real(model, network, samples)

    monkeypatch.setattr(calibrations_module, "calibrate", noted)
    return made


@pytest.mark.parametrize("version", ["10.3.0", "11.4.0"])
def test_each_graph_is_calibrated_once_for_all_sizes_and_runs(
    version: str, small: tuple[Path, Network], tmp_path: Path, calls: list[str]
) -> None:
    made = {"version": version, "precisions": INT8, "samples": given(small[1])}
    world = World(small, tmp_path / "engines", **made)
    assert world.build_every() == {}
    assert world.builds == 4
    assert calls == ["batch", "1"], "one graph for the GPU and one for both DLAs"
    again = World(small, tmp_path / "engines", **made)
    assert again.build_every() == {}
    assert (again.builds, len(calls)) == (0, 2)
    for accelerator in (TENSOR, DLA0, DLA1):
        method, count = again.factory.calibration(0, accelerator)
        assert method in {"minmax", "entropy", "percentile"}
        assert count == 8
    assert again.factory.calibration(0, CUDA) == ("", 0)


def test_other_samples_are_other_engines(small: tuple[Path, Network], tmp_path: Path) -> None:
    for seed, builds in ((1, 1), (1, 0), (2, 1), (None, 1)):
        samples = None if seed is None else given(small[1], seed=seed)
        world = World(
            small,
            tmp_path,
            batches=(1,),
            accelerators=("tensor",),
            precisions=INT8,
            samples=samples,
        )
        assert world.build_every() == {}
        assert world.builds == builds
    assert world.factory.calibration(0, 0) == ("uncalibrated", 1)


def test_a_damaged_calibration_is_made_again(
    small: tuple[Path, Network], tmp_path: Path, calls: list[str]
) -> None:
    options: dict[str, Any] = {"accelerators": ("tensor",), "precisions": INT8, "batches": (1,)}
    World(small, tmp_path, **options).build_every()
    (kept,) = tmp_path.glob("calibration-*.json")
    for content in ("{}", kept.read_text()[:-9], '{"ranges": {"x": -1}}'):
        kept.write_text(content)
        world = World(small, tmp_path, **options)
        assert world.factory.calibration(0, 0) == ("uncalibrated", 1)
    assert len(calls) == 4


def test_what_cannot_be_calibrated_is_found_out_once(tmp_path: Path, calls: list[str]) -> None:
    """The logarithm of negative numbers is NaN."""
    path = tmp_path / "log.onnx"
    nodes = [NODE("Sub", ["x", "c"], ["s"]), NODE("Log", ["s"], ["l"])]
    nodes.append(NODE("Conv", ["l", "w"], ["y"]))
    weights = {"c": np.array(9, np.float32), "w": values(4, 4, 1, 1)}
    onnx.save(tail(nodes, weights, (4, 5, 5)), path)
    network = read_network(path)
    world = World((path, network), tmp_path, precisions=INT8, samples=given(network))
    impossible = world.build_every()
    assert set(impossible) == {(0, TENSOR), (0, DLA0), (0, DLA1)}
    assert "NaN or infinite numbers for the samples in samples.npz" in str(impossible[0, TENSOR])
    assert calls == ["batch", "1"]
    with pytest.raises(NetworkError, match="NaN"):
        world.factory.calibration(0, TENSOR)


def detector(folder: Path) -> tuple[Path, Network]:
    """Make boxes in hundreds and scores below one of the same map, in one output."""
    nodes = [
        NODE("Conv", ["x", "stem"], ["c"]),
        NODE("Relu", ["c"], ["r"]),
        NODE("Conv", ["r", "boxes"], ["b"]),
        NODE("Conv", ["r", "scores"], ["s"]),
        NODE("Sigmoid", ["s"], ["p"]),
        NODE("Reshape", ["b", "four"], ["b2"]),
        NODE("Reshape", ["p", "two"], ["p2"]),
        NODE("Concat", ["b2", "p2"], ["y"], axis=1),
    ]
    weights = {
        "stem": values(8, 4, 1, 1),
        "boxes": 200 * values(4, 8, 1, 1),
        "scores": values(2, 8, 1, 1),
        "four": np.array([0, 4, 64]),
        "two": np.array([0, 2, 64]),
    }
    path = folder / "detector.onnx"
    onnx.save(tail(nodes, weights, (6, 64), (4, 8, 8)), path)
    return path, read_network(path)


@pytest.mark.parametrize("version", ["10.3.0", "11.4.0"])
def test_an_output_that_one_scale_cannot_hold_stays_in_floating_point(
    version: str, tmp_path: Path
) -> None:
    path, network = detector(tmp_path)
    world = World(
        (path, network), tmp_path / "c", version, precisions=INT8, samples=given(network, 16)
    )
    assert world.build_every() == {}
    images = values(4, 4, 8, 8)
    expected = run(onnx.load(str(path)), images)[0]
    for accelerator in (TENSOR, DLA0):
        found = served(world.engine(accelerator, 4), images)
        for part in (slice(0, 4), slice(4, 6)):
            first, second = expected[:, part].ravel(), found[:, part].ravel()
            assert np.corrcoef(first, second)[0, 1] > 0.99
        assert (found != expected).any()


def test_floating_tensors_get_no_range_and_a_dla_gives_those_of_three_dimensions_in_fp32(
    tmp_path: Path,
) -> None:
    path, network = detector(tmp_path)
    world = World(
        (path, network), tmp_path / "c", accelerators=("dla0",), samples=given(network, 16)
    )
    world.engine(0, 1)
    parsed = world.module.world.networks[-1]
    outputs = {layer.get_output(0).name: layer.get_output(0) for layer in parsed._layers}
    assert outputs["y"].dynamic_range is None
    assert outputs["r"].dynamic_range is not None
    assert outputs["y"].dtype.name == "FLOAT"
    (image,) = parsed._inputs
    assert image.dtype.name == "INT8"
    (engine,) = [each[2] for each in world.factory._engines]
    (layout,) = engine._lanes[1]._layouts_out
    assert (layout.dtype, layout.form, layout.scale) == ("float32", "LINEAR", None)


def test_a_constant_has_its_own_range(tmp_path: Path) -> None:
    nodes = [NODE("Conv", ["x", "w"], ["c"]), NODE("Add", ["c", "large"], ["y"])]
    weights = {"w": values(4, 4, 1, 1), "large": np.full((4, 1, 1), -5000, np.float32)}
    path = tmp_path / "constant.onnx"
    onnx.save(tail(nodes, weights, (4, 5, 5)), path)
    network = read_network(path)
    world = World(
        (path, network), tmp_path / "c", accelerators=("tensor",), precisions=INT8, batches=(1,)
    )
    world.engine(0, 1)
    layers = world.module.world.networks[-1]._layers
    (constant,) = [layer for layer in layers if layer.type.name == "CONSTANT"]
    assert constant.get_output(0).dynamic_range == (-5000, 5000)
