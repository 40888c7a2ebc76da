"""The same code over a real builder: TensorRT-RTX parses and builds without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.accuracy.half import to_fp16
from envs.catalog.architectures import build as architecture
from envs.graph.reading import read_network
from envs.runtimes.tensorrt.build import build
from envs.runtimes.tensorrt.dequantised import dequantised
from envs.runtimes.tensorrt.graph import for_dla
from envs.runtimes.tensorrt.native_io import set_native_io
from envs.runtimes.tensorrt.progress import BuildWatch
from envs.runtimes.tensorrt.ranges import calibrate, largest_constant, quantize
from envs.runtimes.tensorrt.spec import BuildOptions, EngineSpec, spec_of
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import ConfigurationFailed, FailureKind, Kind, Network
from tests.envs.runtimes.tensorrt.test_calibrations import detector, given
from tests.envs.runtimes.tensorrt.test_graph import NODE, tail, values
from tests.envs.runtimes.tensorrt.test_own_types import with_anchors
from tests.envs.runtimes.tensorrt.worlds import at
from tests.standins.tensorrt.names import NAMES


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network]:
    """ResNet-18, whose weights are large enough to tell the precisions apart."""
    path = tmp_path_factory.mktemp("networks") / "resnet18.onnx"
    onnx.save(architecture("resnet18", image_size=64, classes=10), path)
    return path, read_network(path)


@pytest.fixture(scope="module")
def bindings(rtx: Any) -> Bindings:
    return Bindings(rtx)


def test_its_names_are_those_that_were_captured(rtx: Any) -> None:
    version = f"rtx-{Bindings(rtx).version}"
    if version not in NAMES:
        pytest.skip(f"names of {version} were not captured")
    for kind, names in NAMES[version]["classes"].items():
        assert set(names) == {name for name in dir(getattr(rtx, kind)) if not name.startswith("_")}


@pytest.mark.parametrize(
    "spec",
    [
        EngineSpec(Kind.CUDA_CORES, "fp32", 4, False),
        EngineSpec(Kind.CUDA_CORES, "fp32", 4, True),
        EngineSpec(Kind.TENSOR_CORES, "fp16", 4, False),
        EngineSpec(Kind.TENSOR_CORES, "int8", 4, False),
    ],
    ids=lambda spec: f"{spec.precision}-{'static' if spec.static else 'dynamic'}",
)
def test_builds_at_every_precision(
    bindings: Bindings, resnet: tuple[Path, Network], spec: EngineSpec
) -> None:
    built = build(
        bindings,
        *resnet,
        spec,
        BuildOptions(),
        calibrate(onnx.load(str(resnet[0])), resnet[1], 1) if spec.calibrated else None,
        watch=BuildWatch("resnet"),
    )
    sizes = {"fp32": 4, "fp16": 2, "int8": 1}
    assert len(built.plan) > 0.8 * resnet[1].weight_bytes * sizes[spec.precision] / 4
    assert len(built.plan) < 1.5 * resnet[1].weight_bytes * sizes[spec.precision] / 4 + 2e6


def test_what_a_parser_refuses_is_a_typed_failure(
    bindings: Bindings, small: tuple[Path, Network], tmp_path: Path
) -> None:
    model = onnx.load(str(small[0]))
    model.graph.node[0].op_type = "NoSuchOperator"
    path = tmp_path / "unknown.onnx"
    onnx.save(model, path)
    with pytest.raises(
        ConfigurationFailed, match=r"the parser refuses the file: .*NoSuchOperator"
    ) as caught:
        build(
            bindings, path, small[1], EngineSpec(Kind.CUDA_CORES, "fp32", 1, False), BuildOptions()
        )
    assert caught.value.failure.kind is FailureKind.BUILD_FAILED
    assert "\n" not in caught.value.failure.reason


def test_it_has_no_dla_although_it_has_the_names(
    bindings: Bindings, small: tuple[Path, Network]
) -> None:
    assert hasattr(bindings.trt.IBuilderConfig, "DLA_core")
    assert bindings.dla_cores() == 0
    with pytest.raises(ConfigurationFailed, match="finds no DLA here"):
        build(bindings, *small, EngineSpec(Kind.DLA, "fp16", 1, True), BuildOptions())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "densenet121"])
def test_graphs_that_were_prepared_for_a_dla_parse_and_build(
    bindings: Bindings, tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"{name}.onnx"
    onnx.save(for_dla(architecture(name, image_size=64, classes=10), 2).model, path)
    assert build(
        bindings,
        path,
        read_network(path),
        EngineSpec(Kind.CUDA_CORES, "fp32", 2, True),
        BuildOptions(),
    ).plan


def test_int8_graphs_whose_ends_are_half_parse_and_build(
    bindings: Bindings, resnet: tuple[Path, Network], tmp_path: Path
) -> None:
    """As a DLA of TensorRT 11 gets them: without casts at both ends, nothing runs on the GPU."""
    path = tmp_path / "half.onnx"
    model = for_dla(onnx.load(str(resnet[0])), 2).model
    int8 = quantize(model, resnet[1], calibrate(model, resnet[1], 1))
    onnx.save(to_fp16(int8, ends=True), path)
    network = bindings.network(bindings.builder())
    parser = bindings.parser(network)
    assert bindings.parse(parser, str(path)) == []
    assert {network.get_input(0).dtype, network.get_output(0).dtype} == {bindings.trt.DataType.HALF}
    assert set_native_io(bindings, network, "int8") == {}
    own = 1 << int(bindings.trt.TensorFormat.DLA_LINEAR) | 1 << int(bindings.trt.TensorFormat.CHW16)
    assert [network.get_input(0).allowed_formats, network.get_output(0).allowed_formats] == [
        own,
        own,
    ]
    assert build(
        bindings,
        path,
        read_network(path),
        EngineSpec(Kind.TENSOR_CORES, "fp16", 2, True),
        BuildOptions(),
    ).plan


def test_a_damaged_plan_is_none_and_not_a_crash(bindings: Bindings) -> None:
    try:
        runtime = bindings.runtime(None)
    except Exception as error:
        pytest.skip(f"no runtime without a driver: {error}")
    assert runtime.deserialize_cuda_engine(b"no plan at all" * 100) is None


def test_a_constant_layer_shows_its_weights(bindings: Bindings, tmp_path: Path) -> None:
    """Layers are given as ILayer, which has no weights: the class has to be assigned."""
    nodes = [NODE("Conv", ["x", "w"], ["c"]), NODE("Add", ["c", "large"], ["y"])]
    weights = {"w": values(4, 4, 1, 1), "large": np.full((4, 1, 1), -5000, np.float32)}
    path = tmp_path / "constant.onnx"
    onnx.save(tail(nodes, weights, (4, 5, 5)), path)
    network = bindings.network(bindings.builder())
    parser = bindings.parser(network)
    assert bindings.parse(parser, str(path)) == []
    layers = [network.get_layer(position) for position in range(network.num_layers)]
    (constant,) = [each for each in layers if each.type == bindings.trt.LayerType.CONSTANT]
    assert largest_constant(bindings.trt, constant) == 5000


def test_a_quantised_file_builds_as_it_is_and_without_its_nodes_parses(
    bindings: Bindings, resnet: tuple[Path, Network], tmp_path: Path
) -> None:
    model = onnx.load(str(resnet[0]))
    int8 = quantize(model, resnet[1], calibrate(model, resnet[1], 1))
    path = tmp_path / "quantised.onnx"
    onnx.save(int8, path)
    network = read_network(path)
    spec = spec_of(at("tensor"), network, 2, BuildOptions(), static=False)
    built = build(bindings, path, network, spec, BuildOptions())
    assert built.notes["changes"] == []
    assert len(built.plan) < 0.5 * resnet[1].weight_bytes
    plain, calibration = dequantised(int8)
    onnx.save(for_dla(plain, 2).model, path)
    parsed = bindings.network(bindings.builder())
    parser = bindings.parser(parsed)
    assert bindings.parse(parser, str(path)) == []
    layers = [parsed.get_layer(position) for position in range(parsed.num_layers)]
    names = {layer.get_output(0).name for layer in layers}
    assert len(names - calibration.ranges.keys()) <= 2, "the names of tensors are those of the file"


@pytest.mark.parametrize("made", [detector, with_anchors])
def test_graphs_with_ends_in_floating_point_and_constant_outputs_build_in_int8(
    bindings: Bindings, tmp_path: Path, made: Any
) -> None:
    path, network = made(tmp_path)
    calibration = calibrate(onnx.load(str(path)), network, given(network, 16))
    spec = EngineSpec(Kind.TENSOR_CORES, "int8", 2, False)
    assert build(bindings, path, network, spec, BuildOptions(), calibration).plan
