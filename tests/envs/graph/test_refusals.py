"""What cannot be served is refused for its true reason, with the operator's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.errors import NetworkError
from envs.graph.layers import read_network_and_layers
from envs.graph.reading import read_declared, read_graph, read_network
from envs.spec import TensorSpec
from tests.envs.graph.test_conventions import held, runs, saved, tensor, whole
from tuner.exports.facts import read_for_export

node = helper.make_node
INT64, BOOL = TensorProto.INT64, TensorProto.BOOL


def refusal(path: Path) -> str:
    with pytest.raises(NetworkError) as caught:
        read_network(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


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
    message = refusal(path)
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
    message = refusal(path)
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
    assert "the result of Range (node 'steps of the longest') depends on the data" in refusal(path)


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
    message = refusal(path)
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
    assert "If (node 'large') repeats or leaves out layers" in refusal(path)


def test_an_output_that_is_a_sequence_is_named_with_what_gives_it(tmp_path: Path) -> None:
    nodes = [node("SplitToSequence", ["x"], ["parts"], axis=1, name="columns")]
    parts = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    path = saved(tmp_path / "s.onnx", nodes, [tensor("x", ["N", 4])], [parts], [])
    assert "'parts' is not a tensor, but a sequence, which SplitToSequence" in refusal(path)


@pytest.mark.parametrize(
    ("perm", "found"), [([1, 0, 2], r"axis 1 .*\[5, 1, 4\] .*\[5, 2, 4\]"), ([1, 2, 0], "axis 2")]
)
def test_an_output_whose_batch_is_on_another_axis(
    tmp_path: Path, perm: list[int], found: str
) -> None:
    nodes = [node("Transpose", ["x"], ["y"], perm=perm)]
    path = saved(tmp_path / "t.onnx", nodes, [tensor("x", ["N", 5, 4])], [tensor("y", None)], [])
    with pytest.raises(NetworkError, match=f"output 'y' is not the batch, which changes {found}"):
        read_network(path)


def test_an_output_with_many_rows_for_each_request(tmp_path: Path) -> None:
    nodes = [node("Reshape", ["x", "target"], ["y"])]
    x, y = tensor("x", ["N", 5, 4]), tensor("y", ["M", 4])
    path = saved(tmp_path / "r.onnx", nodes, [x], [y], [whole("target", [-1, 4])])
    assert "output 'y' has 5 rows for each request" in refusal(path)
    assert "export it as [batch, 5, 4]" in refusal(path)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (
            [tensor("x", ["N", 4]), tensor("h0", [1, "N", 8])],
            "input 'h0' [1, N, 8] is a state without the batch in front",
        ),
        (
            [tensor("x", [None, 4]), tensor("memory_state", [2, None, 8])],
            "input 'memory_state' [2, ?, 8] is a state",
        ),
        ([tensor("x", [1, 4]), tensor("cell", [2, 1, 8])], "input 'cell' [2, 1, 8] is a state"),
        (
            [tensor("x", ["N", 4]), tensor("points", [3, "N"])],
            "input 'points' [3, N] has the batch behind its first dimension",
        ),
        (
            [tensor("x", ["N", 4]), tensor("c", [1, 10])],
            "the first dimensions of its inputs differ (x [N, 4], c [1, 10])",
        ),
        (
            [tensor("x", ["N", 4]), tensor("rate", [], INT64)],
            "input 'rate' is a scalar, which has no shape with a batch in front: "
            "give its value (fix=rate:VALUE)",
        ),
        (
            [tensor("images", ["N", 3, "h", "w"])],
            "dimensions 2 (h) and 3 (w) of input 'images' are dynamic: name the whole shape, "
            "for example shape=images:1x3x640x640",
        ),
        (
            [tensor("ids", ["N", "length"], INT64)],
            "dimension 1 (length) of input 'ids' is dynamic: name the whole shape, "
            "for example shape=ids:1x128",
        ),
    ],
)
def test_inputs_that_need_a_word_or_cannot_be_served(
    tmp_path: Path, inputs: list[Any], reason: str
) -> None:
    nodes = [node("Cast", [each.name], [f"y{i}"], to=1) for i, each in enumerate(inputs)]
    outputs = [tensor(f"y{i}", None) for i in range(len(inputs))]
    assert refusal(saved(tmp_path / "i.onnx", nodes, inputs, outputs, [])).startswith(reason)


def test_a_state_with_the_batch_in_front_is_an_input_like_others(tmp_path: Path) -> None:
    inputs = [tensor("state", ["N", 4]), tensor("h", ["N", 2])]
    nodes = [node("Concat", ["state", "h"], ["y"], axis=1)]
    runs(saved(tmp_path / "s.onnx", nodes, inputs, [tensor("y", ["N", 6])], []))


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("steps", ["time", 6])
def test_a_recurrent_layer_along_the_batch_is_refused(
    tmp_path: Path, operator: str, steps: Any
) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    nodes = [
        node(operator, ["x", "w", "r"], ["h"], hidden_size=5, name="memory"),
        node("Squeeze", ["h", "axis"], ["y"]),
    ]
    weights = [held("w", 1, gates * 5, 8), held("r", 1, gates * 5, 5), whole("axis", [1])]
    path = saved(
        tmp_path / "r.onnx",
        nodes,
        [tensor("x", [steps, 1, 8])],
        [tensor("y", [steps, 1, 5])],
        weights,
    )
    message = refusal(path)
    assert f"{operator} 'memory'" in message
    assert "answers depend on what else is in the batch: its first axis is time" in message


def test_an_answer_that_mixes_the_batch_is_served_alone_with_the_reason(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("ReduceMean", ["a"], ["mean"], axes=[0], keepdims=0),
    ]
    path = saved(
        tmp_path / "m.onnx",
        nodes,
        [tensor("x", ["N", 4])],
        [tensor("a", ["N", 6]), tensor("mean", [6])],
        [held("w", 4, 6)],
    )
    graph, _ = read_graph(path)
    assert graph.fixed_batch == 1
    assert graph.single_reason is not None
    assert (
        "output 'mean' is one for the whole batch ([6] for any number of requests)"
        in graph.single_reason
    )
    assert read_network(path).outputs[1] == TensorSpec("mean", (6,), "float32")


def test_outputs_that_do_not_depend_on_the_inputs_are_shared(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["y"]),
        node("Shape", ["y"], ["s"]),
        node("Slice", ["s", "two", "four"], ["size"]),
        node("ConstantOfShape", ["size"], ["anchors"]),
        node("Transpose", ["table"], ["turned"], perm=[1, 0]),
    ]
    outputs = [tensor("y", ["N", 2, 6, 6]), tensor("anchors", None), tensor("turned", [300, 200])]
    weights = [
        held("w", 2, 3, 3, 3),
        whole("two", [2]),
        whole("four", [4]),
        held("table", 200, 300),
    ]
    path = saved(tmp_path / "a.onnx", nodes, [tensor("x", ["N", 3, 8, 8])], outputs, weights)
    network = read_network(path)
    assert network.fixed_batch is None
    assert [(spec.shape, spec.shared) for spec in network.outputs] == [
        ((2, 6, 6), False),
        ((6, 6), True),
        ((300, 200), True),
    ]


def test_a_constant_output_with_as_many_rows_as_its_data_give(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["y"]), node("NonZero", ["table"], ["places"])]
    outputs = [tensor("y", ["N", 4]), tensor("places", [2, "k"], INT64)]
    table = held("table", 300, 300)  # too large to be folded
    path = saved(tmp_path / "c.onnx", nodes, [tensor("x", ["N", 4])], outputs, [table])
    assert "NonZero (node 'places') gives as many rows" in refusal(path)


def test_a_constant_that_changes_with_the_batch_is_not_shared(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], ["y"]),
        node("Shape", ["x"], ["s"]),
        node("Cast", ["s"], ["sizes"], to=1),
    ]
    outputs = [tensor("y", ["N", 4]), tensor("sizes", [2])]
    path = saved(tmp_path / "c.onnx", nodes, [tensor("x", ["N", 4])], outputs, [])
    graph, _ = read_graph(path)
    assert (graph.fixed_batch, graph.shared) == (1, frozenset())


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
    message = refusal(path)
    assert "ONNX has no operator EfficientIdxNMS_TRT (node 'nms')" in message
    assert "python -m tuner.export --target trtexec" in message
    assert read_for_export(path)[1].unshaped.startswith("ONNX has no operator")
