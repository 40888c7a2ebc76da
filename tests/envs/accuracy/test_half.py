from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.accuracy.half import demand_fp32, to_fp16
from envs.accuracy.quantization import int8_copy
from envs.accuracy.reference import session_of
from envs.accuracy.samples import invented
from envs.accuracy.schemes import TENSORRT
from envs.catalog.architectures import build as architecture
from envs.errors import NetworkError
from envs.graph.reading import read_network
from tests.envs.runtimes.tensorrt.test_graph import NODE, run, tail, values

FLOAT, HALF, BF16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16


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


def product() -> Any:
    return tail([NODE("Conv", ["x", "w"], ["y"])], {"w": values(8, 4, 1, 1)}, (8, 5, 5))


@pytest.mark.parametrize(("kind", "name"), [(HALF, "FP16"), (BF16, "BF16")])
def test_a_cast_to_another_type_is_no_fp32_and_the_type_is_named(kind: int, name: str) -> None:
    nodes = [NODE("Cast", ["x"], ["h"], to=kind), NODE("Cast", ["h"], ["y"], to=FLOAT)]
    with pytest.raises(NetworkError, match=f"a part of the network is {name}, .*the FP32 file"):
        demand_fp32(tail(nodes, {}, (4, 5, 5)))


def test_what_is_half_or_quantised_is_no_fp32(tmp_path: Path) -> None:
    model, path = product(), tmp_path / "product.onnx"
    onnx.save(model, path)
    demand_fp32(model)
    for other in (to_fp16(model), to_fp16(model, ends=True)):
        with pytest.raises(NetworkError, match="a part of the network is FP16"):
            demand_fp32(other)
    network = read_network(path)
    with pytest.raises(NetworkError, match="the file is an INT8 network"):
        demand_fp32(int8_copy(model, network, invented(network, 2), TENSORRT).model)


def test_a_weight_that_is_an_output_keeps_its_type() -> None:
    model = product()
    model.graph.output.append(onnx.helper.make_tensor_value_info("w", FLOAT, [8, 4, 1, 1]))
    half = to_fp16(model)
    onnx.checker.check_model(half, full_check=True)
    images = values(2, 4, 5, 5)
    for exact, rounded in zip(run(model, images), run(half, images), strict=True):
        assert rounded.dtype == np.float32
        np.testing.assert_allclose(rounded, exact, atol=0.02)


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


def test_local_functions_are_inlined() -> None:
    body = onnx.helper.make_function(
        "local",
        "Double",
        ["a"],
        ["b"],
        [NODE("Add", ["a", "a"], ["b"])],
        [onnx.helper.make_opsetid("", 17)],
    )
    model = tail([NODE("Double", ["c"], ["y"], domain="local")], {}, (4, 5, 5))
    model.functions.append(body)
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    made = to_fp16(model)
    assert not made.functions
    assert "Add" in {node.op_type for node in made.graph.node}
    assert model.functions


@pytest.mark.filterwarnings("ignore")
def test_attention_with_a_free_batch_loads_in_half_precision(tmp_path: Path) -> None:
    """At its highest level of optimisation onnxruntime 1.31.1 ends the process instead."""
    torch = pytest.importorskip("torch")

    class Token(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.patches = torch.nn.Conv2d(3, 16, 4, 4)
            self.token = torch.nn.Parameter(torch.zeros(1, 1, 16))
            self.layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.head = torch.nn.Linear(16, 5)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.size(0), -1, -1), x], dim=1)
            return self.head(self.layer(x)[:, 0])

    path = tmp_path / "token.onnx"
    torch.onnx.export(
        Token().eval(),
        (torch.zeros(1, 3, 16, 16),),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
    )
    half = to_fp16(onnx.load(str(path)))
    images = {"x": np.zeros((2, 3, 16, 16), np.float32)}
    assert session_of(half.SerializeToString(), "token").run(None, images)[0].shape == (2, 5)
