"""Networks whose answers are not one row for each request, or whose rows see each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from envs.errors import NetworkError
from envs.graph.reading import read_graph, read_network
from envs.spec import TensorSpec
from tests.envs.graph.small_graphs import held, reason_of, runs, saved, tensor, whole

node = helper.make_node
INT64 = TensorProto.INT64


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
    assert "output 'y' has 5 rows for each request" in reason_of(path)
    assert "export it as [batch, 5, 4]" in reason_of(path)


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
    assert reason_of(saved(tmp_path / "i.onnx", nodes, inputs, outputs, [])).startswith(reason)


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
    message = reason_of(path)
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
    assert "NonZero (node 'places') gives as many rows" in reason_of(path)


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
