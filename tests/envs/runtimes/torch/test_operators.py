"""Each operator against ONNX Runtime, on a graph of that one node and at two sizes of batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from envs.errors import NetworkError
from envs.network import read_network
from envs.runtimes.torch.graph import TorchGraph, read_torch_graph
from envs.runtimes.torch.operators import HOST, OPERATORS

RNG = np.random.default_rng(3)


def weights(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def save(
    path: Path, nodes: list[Any], constants: dict[str, np.ndarray], shape: tuple[int, ...], rank: int, opset: int, outputs: tuple[str, ...] = ("y",)
) -> Path:
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *[None] * (rank - 1)]) for name in outputs]
    graph = helper.make_graph(nodes, "one", [source], results, [numpy_helper.from_array(value, name) for name, value in constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def agree(path: Path, tolerance: float = 1e-5) -> TorchGraph:
    network = read_network(path)
    graph = read_torch_graph(path, network)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        x = np.random.default_rng(batch).standard_normal((batch, *network.inputs[0].shape)).astype(np.float32)
        with torch.inference_mode():
            found = graph([torch.from_numpy(x)])
        for one, other in zip(session.run(None, {network.inputs[0].name: x}), found, strict=True):
            np.testing.assert_allclose(other.numpy(), one, rtol=1e-4, atol=tolerance)
    return graph


IMAGE = (4, 9, 9)
#: operator, further inputs (None for one left out), attributes, shape of one sample, rank of the output, opset.
CASES: list[tuple[str, list[np.ndarray | None], dict[str, Any], tuple[int, ...], int, int]] = [
    *[(name, [], {}, IMAGE, 4, 17) for name in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Identity", "Neg", "Relu", "Sigmoid", "Sin", "Tanh")],
    *[(name, [weights(4, 1, 1)], {}, IMAGE, 4, 17) for name in ("Add", "Mul", "Sub", "Div", "Max", "Min", "Sum")],
    ("Pow", [number(2.0)], {}, IMAGE, 4, 17),
    ("PRelu", [weights(4, 1, 1)], {}, IMAGE, 4, 17),
    ("LeakyRelu", [], {"alpha": 0.2}, IMAGE, 4, 17),
    ("HardSigmoid", [], {}, IMAGE, 4, 17),
    ("HardSigmoid", [], {"alpha": 1 / 6, "beta": 0.5}, IMAGE, 4, 17),
    ("HardSwish", [], {}, IMAGE, 4, 17),
    ("Gelu", [], {}, IMAGE, 4, 20),
    ("Gelu", [], {"approximate": "tanh"}, IMAGE, 4, 20),
    ("Clip", [number(0.0), number(0.5)], {}, IMAGE, 4, 17),
    ("Clip", [None, number(0.5)], {}, IMAGE, 4, 17),
    ("Clip", [number(-0.1)], {}, IMAGE, 4, 17),
    ("Dropout", [], {}, IMAGE, 4, 17),
    ("Cast", [], {"to": int(TensorProto.FLOAT)}, IMAGE, 4, 17),
    ("Conv", [weights(6, 4, 3, 3), weights(6)], {}, IMAGE, 4, 17),
    ("Conv", [weights(6, 2, 3, 3)], {"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 2]}, IMAGE, 4, 17),
    ("Conv", [weights(6, 4, 3, 3)], {"pads": [0, 1, 2, 1], "dilations": [2, 1]}, IMAGE, 4, 17),
    *[("Conv", [weights(6, 4, 4, 4)], {"auto_pad": rule, "strides": [2, 2]}, IMAGE, 4, 17) for rule in ("SAME_UPPER", "SAME_LOWER", "VALID")],
    ("Conv", [weights(6, 4, 3)], {"pads": [1, 1]}, (4, 9), 3, 17),
    ("ConvTranspose", [weights(4, 3, 3, 3), weights(3)], {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}, IMAGE, 4, 17),
    ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, IMAGE, 4, 17),
    ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, (4, 10, 10), 4, 17),
    ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}, IMAGE, 4, 17),
    ("AveragePool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}, IMAGE, 4, 17),
    *[("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": count}, IMAGE, 4, 17) for count in (0, 1)],
    ("GlobalAveragePool", [], {}, IMAGE, 4, 17),
    ("GlobalMaxPool", [], {}, IMAGE, 4, 17),
    ("BatchNormalization", [weights(4), weights(4), weights(4), np.abs(weights(4)) + 0.5], {"epsilon": 1e-3}, IMAGE, 4, 17),
    ("InstanceNormalization", [weights(4), weights(4)], {}, IMAGE, 4, 17),
    ("LayerNormalization", [weights(9), weights(9)], {}, IMAGE, 4, 17),
    ("LayerNormalization", [weights(9, 9)], {"axis": 2, "epsilon": 1e-3}, IMAGE, 4, 17),
    ("Softmax", [], {}, IMAGE, 4, 17),
    ("Softmax", [], {"axis": 1}, IMAGE, 4, 17),
    ("Softmax", [], {"axis": 1}, IMAGE, 4, 11),
    ("Gemm", [weights(8, 5), weights(5)], {}, (8,), 2, 17),
    ("Gemm", [weights(5, 8), weights(5)], {"transB": 1}, (8,), 2, 17),
    ("Gemm", [weights(5, 8), weights(1, 5)], {"transB": 1, "alpha": 0.5, "beta": 2.0}, (8,), 2, 17),
    ("MatMul", [weights(9, 5)], {}, IMAGE, 4, 17),
    ("Flatten", [], {}, IMAGE, 2, 17),
    ("Reshape", [ints(0, 2, -1)], {}, IMAGE, 3, 17),
    ("Transpose", [], {"perm": [0, 2, 3, 1]}, IMAGE, 4, 17),
    ("Squeeze", [ints(2, 3)], {}, (4, 1, 1), 2, 17),
    ("Squeeze", [], {"axes": [2]}, (4, 1, 3), 3, 11),
    ("Unsqueeze", [ints(1, -1)], {}, (4, 5), 5, 17),
    ("Unsqueeze", [], {"axes": [2]}, (4, 5), 4, 11),
    ("Slice", [ints(1, 0), ints(3, -1), ints(1, 3), ints(1, 2)], {}, IMAGE, 4, 17),
    ("Gather", [ints(0, 3, -1)], {"axis": 1}, IMAGE, 4, 17),
    ("Gather", [np.array(2, np.int64)], {"axis": 2}, IMAGE, 3, 17),
    ("Expand", [ints(1, 4, 9, 9)], {}, (4, 1, 9), 4, 17),
    ("Tile", [ints(1, 2, 1, 1)], {}, IMAGE, 4, 17),
    ("Pad", [ints(0, 0, 1, 2, 0, 0, 3, 0), number(1.5)], {}, IMAGE, 4, 17),
    ("ReduceMean", [], {"axes": [2, 3], "keepdims": 0}, IMAGE, 2, 17),
    ("ReduceMean", [ints(1)], {}, IMAGE, 4, 18),
    ("ReduceSum", [ints(2, 3)], {"keepdims": 0}, IMAGE, 2, 17),
    ("ReduceMax", [], {"axes": [3]}, IMAGE, 4, 17),
    ("Resize", [None, floats(1, 1, 2, 2)], {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, IMAGE, 4, 17),
    ("Resize", [None, None, ints(18, 27)], {"mode": "nearest", "axes": [2, 3]}, IMAGE, 4, 18),
    ("Resize", [None, floats(1, 1, 2, 3)], {"mode": "linear"}, IMAGE, 4, 17),
    ("Resize", [None, floats(1, 1, 2, 3)], {"mode": "linear", "coordinate_transformation_mode": "align_corners"}, IMAGE, 4, 17),
]


@pytest.mark.parametrize(("op", "inputs", "attributes", "shape", "rank", "opset"), CASES)
def test_it_gives_what_onnx_runtime_gives(
    tmp_path: Path, op: str, inputs: list[np.ndarray | None], attributes: dict[str, Any], shape: tuple[int, ...], rank: int, opset: int
) -> None:
    constants = {f"c{position}": value for position, value in enumerate(inputs) if value is not None}
    names = ["" if value is None else f"c{position}" for position, value in enumerate(inputs)]
    agree(save(tmp_path / "one.onnx", [helper.make_node(op, ["x", *names], ["y"], "node", **attributes)], constants, shape, rank, opset))


def chain(*nodes: tuple[str, list[str], list[str], dict[str, Any]]) -> list[Any]:
    return [helper.make_node(op, inputs, outputs, **attributes) for op, inputs, outputs, attributes in nodes]


def test_shapes_are_computed_on_the_host_and_not_where_the_data_is(tmp_path: Path) -> None:
    """What exporters write for `x.view(x.size(0), -1)`, and a constant that is used both as a shape and as a number."""
    nodes = chain(
        ("Shape", ["x"], ["shape"], {}),
        ("Gather", ["shape", "zero"], ["batch"], {"axis": 0}),
        ("Unsqueeze", ["batch", "axis"], ["first"], {}),
        ("Concat", ["first", "rest"], ["wanted"], {"axis": 0}),
        ("Reshape", ["x", "wanted"], ["flat"], {}),
        ("Cast", ["rest"], ["number"], {"to": int(TensorProto.FLOAT)}),
        ("Mul", ["flat", "number"], ["y"], {}),
    )
    constants = {"zero": np.array(0, np.int64), "axis": ints(0), "rest": ints(-1)}
    graph = agree(save(tmp_path / "view.onnx", nodes, constants, IMAGE, 2, 17))
    assert [step.label.split()[0] for step in graph.steps if step.on_host] == ["Shape", "Gather", "Unsqueeze", "Concat"]
    assert set(graph.weights) == {"rest"}
    assert set(graph.host) == {"zero", "axis", "rest"}


def test_split_where_equal_and_constants_within_the_graph(tmp_path: Path) -> None:
    nodes = chain(
        ("Constant", [], ["half"], {"value_float": 0.5}),
        ("Split", ["x"], ["a", "b"], {"axis": 1}),
        ("Greater", ["a", "half"], ["above"], {}),
        ("LessOrEqual", ["b", "half"], ["below"], {}),
        ("And", ["above", "below"], ["both"], {}),
        ("Where", ["both", "a", "b"], ["y"], {}),
    )
    agree(save(tmp_path / "where.onnx", nodes, {}, IMAGE, 4, 17))


def test_several_outputs_come_in_the_networks_order(tmp_path: Path) -> None:
    nodes = chain(("Relu", ["x"], ["second"], {}), ("Neg", ["second"], ["first"], {}))
    agree(save(tmp_path / "two.onnx", nodes, {}, IMAGE, 4, 17, outputs=("first", "second")))


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "message"),
    [
        ("Det", [], {}, r"does not have the operator Det \(node 'node'\)"),
        ("Resize", [None, floats(1, 1, 2, 2)], {"mode": "cubic"}, r"Resize 'node' asks for the mode cubic"),
        ("Pad", [ints(0, 0, 1, 1, 0, 0, 1, 1)], {"mode": "reflect"}, "Pad 'node' asks for the mode reflect"),
        ("AveragePool", [], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]}, "AveragePool 'node' asks for paddings"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path: Path, op: str, inputs: list[np.ndarray | None], attributes: dict[str, Any], message: str) -> None:
    constants = {f"c{position}": value for position, value in enumerate(inputs) if value is not None}
    names = ["" if value is None else f"c{position}" for position, value in enumerate(inputs)]
    shape, rank = ((4, 4), 1) if op == "Det" else (IMAGE, 4)
    path = save(tmp_path / "odd.onnx", [helper.make_node(op, ["x", *names], ["y"], "node", **attributes)], constants, shape, rank, 17)
    with pytest.raises(NetworkError, match=message) as error:
        read_torch_graph(path, read_network(path))
    assert "serve it with another runtime" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_changed_an_old_one_and_half_precision_are_refused(tmp_path: Path) -> None:
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "a.onnx", relu, {}, IMAGE, 4, 17)
    network = read_network(path)
    save(path, [helper.make_node("Neg", ["x"], ["y"])], {}, IMAGE, 4, 17)
    with pytest.raises(NetworkError, match="has changed since it was read"):
        read_torch_graph(path, network)
    old = save(tmp_path / "old.onnx", relu, {}, IMAGE, 4, 9)
    with pytest.raises(NetworkError, match="is of opset 9"):
        read_torch_graph(old, read_network(old))
    nodes = chain(("Cast", ["w"], ["v"], {"to": int(TensorProto.FLOAT)}), ("Mul", ["x", "v"], ["y"], {}))
    half = save(tmp_path / "half.onnx", nodes, {"w": np.ones(9, np.float16)}, IMAGE, 4, 17)
    with pytest.raises(NetworkError, match="'w' is float16: give the FP32 file"):
        read_torch_graph(half, read_network(half))


def test_every_position_that_says_what_to_do_belongs_to_an_operator_that_exists() -> None:
    assert set(HOST) <= set(OPERATORS)
