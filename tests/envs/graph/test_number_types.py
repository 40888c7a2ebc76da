"""The number types in a file, wherever they are: weights, casts, constants, subgraphs, Q/DQ."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.graph.number_types import NumberTypes, number_types

FLOAT, HALF, BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16


def graph(*nodes: Any, weights: tuple[Any, ...] = (), kind: int = FLOAT) -> Any:
    ends = [helper.make_tensor_value_info(name, kind, ["n", 4]) for name in ("x", "y")]
    return helper.make_graph(list(nodes), "g", ends[:1], ends[1:], weights)


def types(*nodes: Any, weights: tuple[Any, ...] = (), kind: int = FLOAT) -> NumberTypes:
    return number_types(helper.make_model(graph(*nodes, weights=weights, kind=kind)))


def test_a_half_anywhere_counts() -> None:
    node = helper.make_node
    assert types(node("Relu", ["x"], ["y"])) == NumberTypes()
    assert types(node("Relu", ["x"], ["y"]), kind=HALF).halves == {"float16"}
    weight = helper.make_tensor("w", BF16, [1], [1.0])
    assert types(node("Mul", ["x", "w"], ["y"]), weights=(weight,)).halves == {"bfloat16"}
    casts = [node("Cast", ["x"], ["h"], to=HALF), node("Cast", ["h"], ["y"], to=FLOAT)]
    assert types(*casts).halves == {"float16"}
    constant = node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(1, np.float16)))
    assert types(constant, node("Relu", ["x"], ["y"])).halves == {"float16"}
    inner = helper.make_graph(
        casts, "inner", [], [helper.make_tensor_value_info("y", FLOAT, ["n", 4])]
    )
    choice = node("If", ["b"], ["y"], then_branch=inner, else_branch=inner)
    assert types(choice).halves == {"float16"}


@pytest.mark.parametrize(
    ("point", "asymmetric"),
    [
        (np.array(0, np.int8), False),
        (np.zeros(4, np.int8), False),
        (np.array(3, np.int8), True),
        (np.array(0, np.uint8), True),
        (None, True),
    ],
)
def test_quantised_nodes_and_their_zero_points(point: Any, asymmetric: bool) -> None:
    weights = [numpy_helper.from_array(np.float32(0.1), "s")]
    weights += [] if point is None else [numpy_helper.from_array(point, "z")]
    names = ["s", *(each.name for each in weights[1:])]
    found = types(
        helper.make_node("QuantizeLinear", ["x", *names], ["q"]),
        helper.make_node("DequantizeLinear", ["q", *names], ["y"]),
        weights=tuple(weights),
    )
    assert found.quantised == {"QuantizeLinear", "DequantizeLinear"}
    assert found.asymmetric == asymmetric
    assert not found.halves


def test_integer_operators_are_quantised_too() -> None:
    nodes = [
        helper.make_node("QLinearAdd", ["x"] * 8, ["y"], domain="com.microsoft"),
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
    ]
    assert types(*nodes).quantised == {"QLinearAdd", "DynamicQuantizeLinear"}


def test_weights_in_other_files_need_not_be_read(tmp_path: Any) -> None:
    weight = numpy_helper.from_array(np.zeros((4, 4), np.float16), "w")
    model = helper.make_model(
        graph(helper.make_node("MatMul", ["x", "w"], ["y"]), weights=(weight,), kind=HALF)
    )
    onnx.save(
        model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="w", size_threshold=0
    )
    apart = onnx.load(str(tmp_path / "m.onnx"), load_external_data=False)
    assert number_types(apart).halves == {"float16"}
