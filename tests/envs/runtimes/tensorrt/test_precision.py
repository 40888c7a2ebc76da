from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.accuracy.half import demand_fp32, to_fp16
from envs.catalog.architectures import build as architecture
from envs.errors import NetworkError
from envs.graph.reading import read_network
from envs.runtimes.tensorrt.graph import for_dla, with_batch
from envs.runtimes.tensorrt.ranges import QDQ_OPSET, activation_ranges, quantize
from envs.spec import Network
from tests.envs.runtimes.tensorrt.test_graph import NODE, run, tail, values

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def kinds_of(model: Any) -> set[int]:
    return {weight.data_type for weight in model.graph.initializer}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_half_copy_has_casts_at_the_ends_alone_and_close_results(name: str) -> None:
    model = architecture(name, image_size=64, classes=12)
    half = to_fp16(model)
    onnx.checker.check_model(half, full_check=True)
    assert kinds_of(half) == {HALF}
    nodes = half.graph.node
    assert [node.op_type for node in (nodes[0], nodes[-1])] == ["Cast", "Cast"]
    assert sum(node.op_type == "Cast" for node in nodes) == 2
    assert [
        value.type.tensor_type.elem_type for value in (*half.graph.input, *half.graph.output)
    ] == [FLOAT, FLOAT]
    images = values(2, 3, 64, 64)
    (exact,), (rounded,) = run(model, images), run(half, images)
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, atol=0.03 * np.abs(exact).max())
    assert (rounded != exact).any()


def test_factors_of_a_resize_stay_fp32_and_large_weights_are_bounded() -> None:
    nodes = [
        NODE("Mul", ["x", "w"], ["m"]),
        NODE("Resize", ["m", "", "factors"], ["y"], mode="nearest"),
    ]
    model = tail(
        nodes,
        {"w": np.array(1e6, np.float32), "factors": np.array([1, 1, 2, 2], np.float32)},
        (4, 10, 10),
    )
    half = to_fp16(model)
    onnx.checker.check_model(half, full_check=True)
    weights = {weight.name: onnx.numpy_helper.to_array(weight) for weight in half.graph.initializer}
    assert weights["factors"].dtype == np.float32
    assert weights["w"] == np.float16(65504)


def test_casts_inside_the_graph_follow() -> None:
    nodes = [
        NODE("Cast", ["x"], ["i"], to=onnx.TensorProto.INT64),
        NODE("Cast", ["i"], ["f"], to=FLOAT),
        NODE("Relu", ["f"], ["y"]),
    ]
    half = to_fp16(tail(nodes, {}, (4, 5, 5)))
    onnx.checker.check_model(half, full_check=True)
    assert [attribute.i for node in half.graph.node for attribute in node.attribute] == [
        HALF,
        onnx.TensorProto.INT64,
        HALF,
        FLOAT,
    ]


def test_constants_that_do_not_say_their_type_follow() -> None:
    nodes = [
        NODE("Constant", [], ["two"], value_float=2.0),
        NODE("Constant", [], ["some"], value_floats=[1.0, 2.0, 3.0, 4.0, 5.0]),
        NODE("ConstantOfShape", ["shape"], ["zeros"]),
        NODE("Mul", ["x", "two"], ["m"]),
        NODE("Add", ["m", "some"], ["a"]),
        NODE("Add", ["a", "zeros"], ["y"]),
    ]
    model = tail(nodes, {"shape": np.array([5], np.int64)}, (4, 5, 5))
    half = to_fp16(model)
    onnx.checker.check_model(half, full_check=True)
    images = values(2, 4, 5, 5)
    np.testing.assert_allclose(run(half, images)[0], run(model, images)[0], atol=0.02)


def test_ends_can_be_half_as_well() -> None:
    model = architecture("resnet18", image_size=64, classes=12)
    half = to_fp16(model, ends=True)
    onnx.checker.check_model(half, full_check=True)
    assert "Cast" not in {node.op_type for node in half.graph.node}
    assert [
        value.type.tensor_type.elem_type for value in (*half.graph.input, *half.graph.output)
    ] == [HALF, HALF]


def test_what_is_half_or_quantised_is_no_fp32(tmp_path: Path, small: tuple[Path, Network]) -> None:
    model = onnx.load(str(small[0]))
    demand_fp32(model)
    cast = tail(
        [NODE("Cast", ["x"], ["h"], to=HALF), NODE("Cast", ["h"], ["y"], to=FLOAT)], {}, (4, 5, 5)
    )
    for other in (to_fp16(model), to_fp16(model, ends=True), cast):
        with pytest.raises(
            NetworkError, match=r"a part of the network is FP16.*give the FP32 file"
        ):
            demand_fp32(other)
    with pytest.raises(NetworkError, match="quantised already"):
        demand_fp32(quantize(model, small[1], tmp_path, 1))


def test_a_channel_that_is_dead_keeps_a_scale_above_zero(tmp_path: Path) -> None:
    """Its weights are so small that their scale is zero in FP16, which TensorRT refuses."""
    kernel = values(8, 4, 1, 1)
    kernel[3] *= 1e-9
    path = tmp_path / "dead.onnx"
    onnx.save(tail([NODE("Conv", ["x", "w"], ["y"])], {"w": kernel}, (8, 5, 5)), path)
    half = to_fp16(quantize(onnx.load(str(path)), read_network(path), tmp_path, 1))
    scales = {node.input[1] for node in half.graph.node if node.op_type == "DequantizeLinear"}
    found = {
        weight.name: onnx.numpy_helper.to_array(weight)
        for weight in half.graph.initializer
        if weight.name in scales
    }
    assert any(len(np.atleast_1d(each)) == 8 for each in found.values())
    assert all((each > 0).all() for each in found.values())


def test_control_flow_is_refused() -> None:
    branch = onnx.helper.make_graph(
        [NODE("Relu", ["x"], ["b"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("b", FLOAT, None)],
    )
    model = tail(
        [NODE("If", ["c"], ["y"], then_branch=branch, else_branch=branch)],
        {"c": np.array(True)},
        (4, 5, 5),
    )
    with pytest.raises(NetworkError, match="control flow"):
        to_fp16(model)


@pytest.fixture(scope="module")
def quantised(
    small: tuple[Path, Network], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    model = onnx.load(str(small[0]))
    return model, quantize(model, small[1], tmp_path_factory.mktemp("int8"), 2)


def test_int8_copy_is_as_tensorrt_reads_it(quantised: tuple[Any, Any]) -> None:
    """Every zero point is 0; weights and activations are INT8, and no bias is quantised."""
    _, int8 = quantised
    weights = {weight.name: onnx.numpy_helper.to_array(weight) for weight in int8.graph.initializer}
    ends = [
        node for node in int8.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    ]
    assert len(ends) > 20
    for node in ends:
        assert weights[node.input[2]].dtype == np.int8
        assert not weights[node.input[2]].any()
    dequantised = {
        node.input[0]
        for node in ends
        if node.op_type == "DequantizeLinear" and node.input[0] in weights
    }
    assert {weights[name].dtype for name in dequantised} == {np.dtype(np.int8)}
    assert next(each.version for each in int8.opset_import if each.domain == "") >= QDQ_OPSET


def test_int8_copy_is_close_and_so_is_its_half_copy(quantised: tuple[Any, Any]) -> None:
    model, int8 = quantised
    images = values(2, 3, 64, 64)
    (exact,), (rounded,) = run(model, images), run(int8, images)
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.9
    half = to_fp16(int8)
    onnx.checker.check_model(half, full_check=True)
    assert (
        np.corrcoef(run(half, images)[0].ravel(), rounded.ravel())[0, 1] > 0.95
    )  # a rounding may fall to the next of 255 steps


def test_quantised_file_is_refused(
    quantised: tuple[Any, Any], small: tuple[Path, Network], tmp_path: Path
) -> None:
    with pytest.raises(NetworkError, match="is quantised already"):
        quantize(quantised[1], small[1], tmp_path, 1)
    with pytest.raises(NetworkError, match="is quantised already"):
        activation_ranges(quantised[1], small[1], 1)


def test_ranges_cover_every_tensor_and_hold_what_the_samples_give(
    small: tuple[Path, Network],
) -> None:
    model = onnx.load(str(small[0]))
    ranges = activation_ranges(model, small[1], 3)
    assert {"input", "logits"} <= set(ranges)
    assert {name for node in model.graph.node for name in node.output} <= set(ranges)
    assert all(limit > 0 for limit in ranges.values())
    assert 3 < ranges["input"] < 7  # the largest of 37,000 unit normal numbers
    assert activation_ranges(model, small[1], 3) == ranges


def test_ranges_of_a_graph_with_a_fixed_batch(small: tuple[Path, Network]) -> None:
    prepared = for_dla(onnx.load(str(small[0])), 2).model
    ranges = activation_ranges(prepared, small[1], 1)
    assert {name for node in prepared.graph.node for name in node.output} <= set(ranges)


def test_a_network_exported_with_a_batch_quantises(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    path = tmp_path / "fixed.onnx"
    onnx.save(with_batch(onnx.load(str(small[0])), 4).model, path)
    assert run(
        quantize(onnx.load(str(path)), read_network(path), tmp_path, 1), values(4, 3, 64, 64)
    )[0].shape == (4, 10)
