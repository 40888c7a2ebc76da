"""Files that have types of their own: quantised, FP16, BF16; and outputs without a batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.accuracy.half import to_fp16
from envs.accuracy.quantization import int8_copy
from envs.accuracy.samples import invented
from envs.accuracy.schemes import PROCESSOR
from envs.errors import NetworkError
from envs.graph.reading import read_network
from envs.runtimes.tensorrt import calibrations as calibrations_module
from envs.runtimes.tensorrt.build import build
from envs.runtimes.tensorrt.checks import check_types
from envs.runtimes.tensorrt.dequantised import dequantised
from envs.runtimes.tensorrt.ranges import calibrate, quantize
from envs.runtimes.tensorrt.spec import BuildOptions, EngineSpec, spec_of
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import Kind, Network
from tests.envs.runtimes.tensorrt.test_graph import NODE, run, tail, values
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, TENSOR, World, at, served
from tests.standins.tensorrt.module import fake_module

TensorProto = onnx.TensorProto


@pytest.fixture(autouse=True)
def no_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: Any) -> None:
        raise AssertionError("nothing may be calibrated")

    monkeypatch.setattr(calibrations_module, "calibrate", none)


@pytest.fixture(params=["symmetric", "asymmetric"])
def quantised(
    request: pytest.FixtureRequest, small: tuple[Path, Network], tmp_path: Path
) -> tuple[Path, Network, bool]:
    """Quantise a network as TensorRT wants it, or with zero points as processors do."""
    model, network = onnx.load(str(small[0])), small[1]
    symmetric = request.param == "symmetric"
    if symmetric:
        made = quantize(model, network, calibrate(model, network, 8))
    else:
        made = int8_copy(model, network, invented(network, 8), PROCESSOR).model
    path = tmp_path / "quantised.onnx"
    onnx.save(made, path)
    return path, read_network(path), symmetric


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "11.4.0"])
def test_a_quantised_file_is_served_as_the_int8_network_that_it_is(
    version: str, quantised: tuple[Path, Network, bool], tmp_path: Path
) -> None:
    path, network, symmetric = quantised
    assert network.quantised
    world = World((path, network), tmp_path / "engines", version, batches=(1, 4))
    impossible = world.build_every()
    assert "the file is an INT8 network" in str(impossible.pop((0, CUDA)))
    if version == "11.4.0" and not symmetric:
        assert len(impossible) == 3
        assert "zero points or unsigned numbers" in str(impossible[0, TENSOR])
        return
    assert impossible == {}
    images = values(4, 3, 64, 64)
    expected = run(onnx.load(str(path)), images)[0]
    for accelerator in (TENSOR, DLA0):
        assert world.factory.calibration(0, accelerator) == ("", 0)
        found = served(world.engine(accelerator, 4), images)
        # Without zero points an activation above zero has seven of its eight bits.
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > (0.95 if symmetric else 0.9)
        if accelerator == TENSOR and symmetric:
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("version", ["10.3.0", "11.4.0"])
def test_a_quantised_file_is_not_changed_for_tensor_cores(
    version: str, small: tuple[Path, Network], tmp_path: Path
) -> None:
    model = onnx.load(str(small[0]))
    path = tmp_path / "qdq.onnx"
    onnx.save(quantize(model, small[1], calibrate(model, small[1], 2)), path)
    network, module = read_network(path), fake_module(version)
    spec = spec_of(at("tensor"), network, 2, BuildOptions(), static=False)
    assert (spec.precision, spec.own_types, spec.calibrated) == ("int8", True, False)
    built = build(Bindings(module), path, network, spec, BuildOptions())
    assert built.notes == {"changes": [], "scales": {}}
    flags = {flag.name for flag in module.world.configs[-1]._flags}
    assert flags == ({"TF32", "FP16", "INT8"} if version == "10.3.0" else {"TF32"})
    if version == "10.3.0":
        layers = module.world.networks[-1]._layers
        assert all(layer.get_output(0).dynamic_range is None for layer in layers)


def test_ranges_and_weights_of_a_quantised_file_are_read_off_it() -> None:
    """A step of 0.1 is a range of 12.7; a weight of 3 steps of 0.5 is 1.5."""
    nodes = [
        NODE("QuantizeLinear", ["x", "tenth", "zero"], ["q"]),
        NODE("DequantizeLinear", ["q", "tenth", "zero"], ["d"]),
        NODE("DequantizeLinear", ["w", "half", "zeros"], ["v"], axis=0),
        NODE("Conv", ["d", "v"], ["c"]),
        NODE("QuantizeLinear", ["c", "two", "byte"], ["r"]),
        NODE("DequantizeLinear", ["r", "two", "byte"], ["y"]),
    ]
    weights = {
        "tenth": np.float32(0.1),
        "zero": np.int8(0),
        "zeros": np.zeros(2, np.int8),
        "w": np.array([[3], [-4]], np.int8).reshape(2, 1, 1, 1),
        "half": np.array([0.5, 2], np.float32),
        "two": np.float32(2),
        "byte": np.uint8(55),
    }
    model = tail(nodes, weights, (2, 5, 5), (1, 5, 5))
    onnx.checker.check_model(model, full_check=True)
    made, found = dequantised(model)
    onnx.checker.check_model(made, full_check=True)
    assert [node.op_type for node in made.graph.node] == ["Conv"]
    assert found.ranges == pytest.approx({"x": 12.7, "y": 400})  # (255 - 55) steps of 2
    (kernel,) = [
        onnx.numpy_helper.to_array(each) for each in made.graph.initializer if each.name == "v"
    ]
    assert kernel.ravel().tolist() == [1.5, -8.0]


def test_what_has_no_range_in_a_quantised_file_stays_in_floating_point(tmp_path: Path) -> None:
    """The output is a hundred times as large as the input; the input's range would cut it off."""
    nodes = [
        NODE("QuantizeLinear", ["x", "step", "zero"], ["q"]),
        NODE("DequantizeLinear", ["q", "step", "zero"], ["d"]),
        NODE("Conv", ["d", "w"], ["c"]),
        NODE("Relu", ["c"], ["r"]),
        NODE("QuantizeLinear", ["r", "wide", "zero"], ["rq"]),
        NODE("DequantizeLinear", ["rq", "wide", "zero"], ["rd"]),
        NODE("Conv", ["rd", "v"], ["y"]),
    ]
    weights = {
        "step": np.float32(0.04),
        "wide": np.float32(0.1),
        "zero": np.int8(0),
        "w": values(4, 4, 1, 1),
        "v": 100 * values(4, 4, 1, 1),
    }
    path = tmp_path / "qdq.onnx"
    onnx.save(tail(nodes, weights, (4, 5, 5)), path)
    world = World((path, read_network(path)), tmp_path / "c", accelerators=("dla0",), batches=(2,))
    engine, images = world.engine(0, 2), values(2, 4, 5, 5)
    tensors = {
        tensor.name: tensor.dynamic_range and tensor.dynamic_range[1]
        for layer in world.module.world.networks[-1]._layers
        for tensor in (*layer._inputs, *layer._outputs)
        if tensor is not None
    }
    assert tensors == pytest.approx({"x": 5.08, "c": 12.7, "r": 12.7, "y": None})
    expected, found = run(onnx.load(str(path)), images)[0], served(engine, images)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999


def test_a_file_that_computes_in_integers_is_refused_with_the_operator(
    small: tuple[Path, Network],
) -> None:
    model = tail([NODE("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])], {}, (4, 5, 5))
    spec = EngineSpec(Kind.TENSOR_CORES, "int8", 1, False, own_types=True)
    with pytest.raises(NetworkError, match="by DynamicQuantizeLinear, which TensorRT does not"):
        check_types(model, small[1], spec, Bindings(fake_module("10.3.0")))


@pytest.mark.parametrize("version", ["10.3.0", "11.4.0"])
def test_a_file_in_half_precision_is_built_as_it_is(
    version: str, small: tuple[Path, Network], tmp_path: Path
) -> None:
    path = tmp_path / "half.onnx"
    onnx.save(to_fp16(onnx.load(str(small[0])), ends=True), path)
    network = read_network(path)
    assert network.float_type == "float16"
    world = World(
        (path, network),
        tmp_path / "engines",
        version,
        (4,),
        accelerators=("cuda", "tensor", "dla0"),
    )
    impossible = world.build_every()
    assert set(impossible) == {(0, CUDA), (0, DLA0)}
    assert "the file is FP16, of which no INT8 engine is made here" in str(impossible[0, DLA0])
    assert "a part of the network is FP16" in str(impossible[0, CUDA])
    images = values(4, 3, 64, 64).astype(np.float16)
    expected = run(onnx.load(str(path)), images)[0]
    np.testing.assert_allclose(served(world.engine(TENSOR, 4), images), expected, atol=1e-2)


def test_bf16_has_a_flag_of_its_own_and_is_refused_where_there_is_none(
    small: tuple[Path, Network],
) -> None:
    network = replace(small[1], float_type="bfloat16")
    spec = spec_of(at("tensor"), network, 1, BuildOptions(), static=False)
    assert (spec.precision, spec.own_types) == ("bf16", True)
    module = fake_module("10.3.0")
    build(Bindings(module), small[0], network, spec, BuildOptions())
    assert {flag.name for flag in module.world.configs[-1]._flags} == {"TF32", "BF16"}
    cast = tail(
        [
            NODE("Cast", ["x"], ["h"], to=TensorProto.BFLOAT16),
            NODE("Cast", ["h"], ["y"], to=TensorProto.FLOAT),
        ],
        {},
        (4, 5, 5),
    )
    check_types(cast, network, spec, Bindings(module))
    with pytest.raises(NetworkError, match=r"BF16, which TensorRT 8.6.1 does not have"):
        check_types(cast, network, spec, Bindings(fake_module("8.6.1")))
    dla = spec_of(at("dla0", "fp16"), network, 1, BuildOptions(), static=False)
    with pytest.raises(NetworkError, match="BF16, which no DLA has"):
        check_types(cast, network, dla, Bindings(module))


def with_anchors(folder: Path) -> tuple[Path, Network]:
    """Make a network whose second output is a constant [2, 3, 4], without a batch."""
    model = tail(
        [NODE("Conv", ["x", "w"], ["y"]), NODE("Mul", ["anchors", "two"], ["grid"])],
        {
            "w": values(4, 4, 1, 1),
            "anchors": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
            "two": np.float32(2),
        },
        (4, 5, 5),
    )
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("grid", TensorProto.FLOAT, [2, 3, 4])
    )
    path = folder / "anchors.onnx"
    onnx.save(model, path)
    return path, read_network(path)


@pytest.mark.parametrize("version", ["10.3.0", "11.4.0"])
@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_an_output_without_a_batch_is_given_whole_everywhere(
    version: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrations_module, "calibrate", calibrate)
    path, network = with_anchors(tmp_path)
    assert [spec.shared for spec in network.outputs] == [False, True]
    precisions = {"tensor": precision, "dla0": precision}
    world = World((path, network), tmp_path / "engines", version, (2,), precisions=precisions)
    assert world.build_every() == {}
    for accelerator in (CUDA, TENSOR, DLA0):
        engine = world.engine(accelerator, 2)
        for count in (2, 1):
            engine.launch([values(count, 4, 5, 5)])
            y, grid = engine.result()
            assert y.shape == (count, 4, 5, 5)
            expected = 2 * np.arange(24).reshape(2, 3, 4)
            np.testing.assert_allclose(grid, expected, rtol=1e-2, atol=0.5)
        engine.close()
