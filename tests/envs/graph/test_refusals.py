"""What cannot be served is refused for its true reason, with the operator's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.graph.layers import read_network_and_layers
from envs.graph.reading import read_declared, read_network
from envs.spec import TensorSpec
from tests.envs.graph.small_graphs import held, reason_of, runs, saved, tensor, whole
from tuner.exports.facts import read_for_export

node = helper.make_node
INT64, BOOL = TensorProto.INT64, TensorProto.BOOL


def test_an_operator_that_onnx_runtime_does_not_have_is_named_with_its_domain(
    tmp_path: Path,
) -> None:
    """Behind shapes calculated from shapes, which ONNX Runtime would have to fold."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Reshape", ["x", "s"], ["r"]),
        node("BatchedNMSDynamic_TRT", ["r", "r"], ["count", "boxes"], name="nms", domain="TRT"),
    ]
    outputs = [tensor("count", ["N", 1], TensorProto.INT32), tensor("boxes", ["N", "kept", 4])]
    domains = [helper.make_opsetid("TRT", 1)]
    path = saved(
        tmp_path / "d.onnx", nodes, [tensor("x", ["N", 8, 4])], outputs, [], domains=domains
    )
    message = reason_of(path)
    assert "BatchedNMSDynamic_TRT of domain TRT (node 'nms')" in message
    assert "python -m tuner.export --target trtexec" in message
    declared = read_declared(path, "detector")
    assert (declared.name, declared.macs, declared.fixed_batch) == ("detector", 0, None)
    assert declared.inputs == (TensorSpec("x", (8, 4), "float32"),)
    assert declared.outputs == (
        TensorSpec("count", (1,), "int32"),
        TensorSpec("boxes", (-1, 4), "float32"),
    )


@pytest.mark.parametrize(
    ("nodes", "operator"),
    [
        ([node("NonZero", ["x"], ["i"]), node("Cast", ["i"], ["y"], to=1)], "NonZero (node 'i')"),
        ([node("Unique", ["x"], ["y"], name="distinct")], "Unique (node 'distinct')"),
        (
            [
                node("Squeeze", ["x", "axis"], ["flat"]),
                node("Greater", ["flat", "zero"], ["c"]),
                node("Compress", ["flat", "c"], ["y"], axis=0),
            ],
            "Compress (node 'y')",
        ),
    ],
)
def test_results_with_as_many_rows_as_the_data_give(
    tmp_path: Path, nodes: list[Any], operator: str
) -> None:
    path = saved(
        tmp_path / "n.onnx",
        nodes,
        [tensor("x", [1, 4])],
        [tensor("y", ["m"])] if nodes[0].op_type != "NonZero" else [tensor("y", [2, "m"])],
        [numpy_helper.from_array(np.float32(0), "zero"), whole("axis", [0])],
    )
    message = reason_of(path)
    assert message.startswith(f"{operator} gives as many rows as its data hold")


def test_the_first_operator_whose_size_is_unknown_is_named(tmp_path: Path) -> None:
    nodes = [
        node("ReduceMax", ["x"], ["longest"], keepdims=0),
        node("Cast", ["longest"], ["n"], to=INT64),
        node("Range", ["zero", "n", "one"], ["steps"], name="steps of the longest"),
        node("Cast", ["steps"], ["z"], to=1),
        node("Exp", ["z"], ["y"]),
    ]
    weights = [numpy_helper.from_array(np.int64(k), name) for k, name in enumerate(["zero", "one"])]
    path = saved(tmp_path / "r.onnx", nodes, [tensor("x", ["N", 4])], [tensor("y", ["m"])], weights)
    assert "the result of Range (node 'steps of the longest') depends on the data" in reason_of(
        path
    )


def loop(multiplies: bool) -> Any:
    inner = [
        node("MatMul", ["state", "w"], ["m"]) if multiplies else node("Relu", ["state"], ["m"]),
        node("ReduceSum", ["m"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["more"]),
        node("Concat", ["m", "m"], ["grown"], axis=1),
    ]
    body = helper.make_graph(
        inner[:3] if multiplies else inner,
        "body",
        [tensor("i", [], INT64), tensor("go", [], BOOL), tensor("state", None)],
        [tensor("more", [], BOOL), tensor("m" if multiplies else "grown", None)],
    )
    return node("Loop", ["", "true", "x"], ["y"], name="until settled", body=body)


@pytest.mark.parametrize("multiplies", [True, False])
def test_a_loop_whose_cost_depends_on_the_data(tmp_path: Path, multiplies: bool) -> None:
    weights = [
        numpy_helper.from_array(np.array(True), "true"),
        numpy_helper.from_array(np.float32(0), "zero"),
        held("w", 4, 4),
    ]
    path = saved(
        tmp_path / "l.onnx",
        [loop(multiplies)],
        [tensor("x", ["N", 4])],
        [tensor("y", None)],
        weights,
    )
    message = reason_of(path)
    assert message.startswith("Loop")
    assert "'until settled'" in message
    assert "cost depends on the data" in message


def test_a_branch_on_the_data_is_named(tmp_path: Path) -> None:
    branches = {
        f"{name}_branch": helper.make_graph(
            [node("Concat", ["x"] * copies, ["z"], axis=1)], name, [], [tensor("z", None)]
        )
        for name, copies in (("then", 1), ("else", 2))
    }
    nodes = [
        node("ReduceMax", ["x"], ["m"], keepdims=0),
        node("Greater", ["m", "zero"], ["c"]),
        node("If", ["c"], ["y"], name="large", **branches),
    ]
    zero = numpy_helper.from_array(np.float32(0), "zero")
    path = saved(tmp_path / "i.onnx", nodes, [tensor("x", ["N", 4])], [tensor("y", None)], [zero])
    assert "If (node 'large') repeats or leaves out layers" in reason_of(path)


def test_an_output_that_is_a_sequence_is_named_with_what_gives_it(tmp_path: Path) -> None:
    nodes = [node("SplitToSequence", ["x"], ["parts"], axis=1, name="columns")]
    parts = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    path = saved(tmp_path / "s.onnx", nodes, [tensor("x", ["N", 4])], [parts], [])
    assert "'parts' is not a tensor, but a sequence, which SplitToSequence" in reason_of(path)


def test_results_that_nobody_reads_need_no_shape(tmp_path: Path) -> None:
    """The mask of an old Dropout, a part of a Split, and the state of an LSTM."""
    nodes = [
        node("Dropout", ["x"], ["d", "mask"]),
        node("Split", ["d"], ["left", "right"], axis=2),
        node("Transpose", ["left"], ["t"], perm=[1, 0, 2]),
        node("LSTM", ["t", "w", "r"], ["all", "last", "cell"], hidden_size=3),
        node("Squeeze", ["last"], ["s"], axes=[0]),
        node("MatMul", ["s", "v"], ["y"]),
    ]
    weights = [held("w", 1, 12, 4), held("r", 1, 12, 3), held("v", 3, 2)]
    path = saved(
        tmp_path / "d.onnx",
        nodes,
        [tensor("x", ["N", 5, 8])],
        [tensor("y", ["N", 2])],
        weights,
        opset=9,
    )
    runs(path)
    network, layers = read_network_and_layers(path)
    assert network.macs == 3 * 2
    assert layers.total_macs == 3 * 2 + 5 * (12 * 4 + 12 * 3)


@pytest.mark.parametrize(
    ("kind", "named"),
    [(TensorProto.FLOAT16, "float16"), (TensorProto.BFLOAT16, "bfloat16"), (1, "float32")],
)
def test_the_type_of_most_weights_is_told(tmp_path: Path, kind: int, named: str) -> None:
    w = helper.make_tensor("w", kind, [4, 4], np.ones(16))
    few = numpy_helper.from_array(np.ones(2, np.float32), "few")
    nodes = [node("MatMul", ["x", "w"], ["y"]), node("Identity", ["few"], ["z"])]
    outputs = [tensor("y", ["N", 4], kind), tensor("z", [2])]
    path = saved(tmp_path / "h.onnx", nodes, [tensor("x", ["N", 4], kind)], outputs, [w, few])
    network = read_network(path)
    assert (network.float_type, network.quantised) == (named, False)


def test_a_quantised_file_counts_its_integer_layers(tmp_path: Path) -> None:
    eight = numpy_helper.from_array(np.ones((6, 3, 3, 3), np.int8), "w")
    scale = numpy_helper.from_array(np.float32(0.1), "scale")
    zero = numpy_helper.from_array(np.int8(0), "zero")
    nodes = [
        node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        node("QLinearConv", ["q", "scale", "zero", "w", *["scale", "zero"] * 2], ["c"]),
        node("DequantizeLinear", ["c", "scale", "zero"], ["y"]),
    ]
    path = saved(
        tmp_path / "q.onnx",
        nodes,
        [tensor("x", ["N", 3, 8, 8])],
        [tensor("y", ["N", 6, 6, 6])],
        [eight, scale, zero],
    )
    runs(path)
    network = read_network(path)
    assert network.quantised
    assert network.macs == 6 * 36 * 27
    assert network.weight_bytes == 4 * (6 * 27 + 1 + 1)  # in FP32, with the scale and zero point


def test_an_operator_without_a_domain_that_onnx_does_not_have(tmp_path: Path) -> None:
    """TensorRT's plugins often stand in the domain of ONNX, as graphsurgeon writes them."""
    path = saved(
        tmp_path / "p.onnx",
        [node("Relu", ["x"], ["r"]), node("EfficientIdxNMS_TRT", ["r"], ["y"], name="nms")],
        [tensor("x", ["N", 8, 4])],
        [tensor("y", ["N", 10])],
        [],
    )
    message = reason_of(path)
    assert "ONNX has no operator EfficientIdxNMS_TRT (node 'nms')" in message
    assert "python -m tuner.export --target trtexec" in message
    assert read_for_export(path)[1].unshaped.startswith("ONNX has no operator")
