"""Networks in ONNX files: what they cost, and which graphs cannot be served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from envs.errors import NetworkError
from envs.graph.onnx_file import open_model
from envs.graph.reading import read_network
from envs.spec import TensorSpec
from tests.envs.graph.small_graphs import FLOAT, node, refusal, save, small, tensor, weight


def test_costs_agree_with_a_count_by_hand(tmp_path: Path) -> None:
    network = read_network(small(tmp_path))
    assert network.name == "net"
    assert network.macs == 4 * 8 * 8 * 27 + 10 * 256
    assert network.weight_bytes == 4 * (4 * 27 + 10 * 256)
    assert network.activation_bytes == 4 * (256 + 256)  # while Relu runs
    assert network.layers == 3
    assert network.fixed_batch is None
    assert network.inputs == (TensorSpec("x", (3, 8, 8), "float32"),)
    assert network.outputs == (TensorSpec("y", (10,), "float32"),)


def test_fixed_batch_costs_the_same_per_sample(tmp_path: Path) -> None:
    free = read_network(small(tmp_path))
    fixed = read_network(small(tmp_path, batch=6), name="other")
    assert (fixed.fixed_batch, fixed.name) == (6, "other")
    assert (fixed.macs, fixed.activation_bytes, fixed.inputs, fixed.outputs) == (
        free.macs,
        free.activation_bytes,
        free.inputs,
        free.outputs,
    )


@pytest.mark.parametrize(
    ("layer", "weights", "result", "macs"),
    [
        (
            node("Conv", ["x", "w"], ["y"], group=2),
            weight("w", 6, 2, 3, 3),
            [6, 6, 6],
            6 * 36 * 2 * 9,
        ),
        (
            node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
            weight("w", 4, 5, 2, 2),
            [5, 16, 16],
            4 * 64 * 5 * 4,
        ),
        (node("MatMul", ["x", "w"], ["y"]), weight("w", 8, 3), [4, 8, 3], 4 * 8 * 3 * 8),
        (node("Relu", ["x"], ["y"]), weight("w", 1), [4, 8, 8], 0),
    ],
)
def test_multiply_accumulates_by_hand(
    tmp_path: Path, layer: Any, weights: Any, result: list[int], macs: int
) -> None:
    path = save(
        tmp_path, [layer], [tensor("x", ["n", 4, 8, 8])], [tensor("y", ["n", *result])], (weights,)
    )
    assert read_network(path).macs == macs


def test_product_of_two_activations_and_transposed_gemm(tmp_path: Path) -> None:
    product = save(
        tmp_path,
        [node("MatMul", ["x", "x"], ["y"])],
        [tensor("x", ["n", 5, 5])],
        [tensor("y", ["n", 5, 5])],
    )
    assert read_network(product).macs == 125
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0]),
        node("Gemm", ["t", "w"], ["y"], transA=1),
    ]
    gemm = save(
        tmp_path, nodes, [tensor("x", ["n", 7])], [tensor("y", ["n", 3])], (weight("w", 7, 3),)
    )
    assert read_network(gemm).macs == 21


def test_reshaping_costs_nothing_and_keeps_the_batch(tmp_path: Path) -> None:
    shape = onnx.numpy_helper.from_array(np.array([-1], np.int64), "rest")
    nodes = [
        node("Shape", ["x"], ["s"], start=0, end=1),
        node("Concat", ["s", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["flat"]),
        node("Constant", [], ["two"], value_float=2.0),
        node("Mul", ["flat", "two"], ["y"]),
    ]
    network = read_network(
        save(tmp_path, nodes, [tensor("x", ["n", 3, 4])], [tensor("y", ["n", 12])], (shape,))
    )
    assert (network.layers, network.macs, network.weight_bytes) == (1, 0, 4)
    assert network.outputs[0].shape == (12,)


def test_weights_that_are_listed_as_inputs_are_not_inputs(tmp_path: Path) -> None:
    inputs = [tensor("x", ["n", 7]), tensor("w", [7, 3])]
    network = read_network(
        save(
            tmp_path,
            [node("MatMul", ["x", "w"], ["y"])],
            inputs,
            [tensor("y", ["n", 3])],
            (weight("w", 7, 3),),
        )
    )
    assert [spec.name for spec in network.inputs] == ["x"]


def test_local_functions_are_counted(tmp_path: Path) -> None:
    body = helper.make_function(
        "local",
        "Double",
        ["a", "w"],
        ["b"],
        [node("MatMul", ["a", "w"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    call = helper.make_node("Double", ["x", "w"], ["y"], domain="local")
    domains = [helper.make_opsetid("local", 1)]
    path = save(
        tmp_path,
        [call],
        [tensor("x", ["n", 7])],
        [tensor("y", ["n", 3])],
        (weight("w", 7, 3),),
        functions=[body],
        domains=domains,
    )
    assert read_network(path).macs == 21


def test_training_graphs_are_refused(tmp_path: Path) -> None:
    x, y = tensor("x", ["n", 4, 2, 2]), tensor("y", ["n", 4, 2, 2])
    statistics = tuple(weight(name, 4) for name in "abcd")
    norm = node("BatchNormalization", ["x", *"abcd"], ["y", "m", "v"], training_mode=1)
    assert "BatchNormalization in training mode" in refusal(
        save(tmp_path, [norm], [x], [y], statistics)
    )

    mode = onnx.numpy_helper.from_array(np.array(True), "mode")
    drop = node("Dropout", ["x", "", "mode"], ["y"])
    assert "Dropout in training mode" in refusal(save(tmp_path, [drop], [x], [y], (mode,)))
    constant = node("Constant", [], ["mode"], value=mode)
    assert "Dropout in training mode" in refusal(save(tmp_path, [constant, drop], [x], [y]))
    off = onnx.numpy_helper.from_array(np.array(False), "mode")
    assert read_network(save(tmp_path, [drop], [x], [y], (off,))).layers == 0

    gradient = helper.make_node(
        "Gradient", ["x"], ["y"], domain="ai.onnx.preview.training", xs=["x"], y="x"
    )
    domains = [helper.make_opsetid("ai.onnx.preview.training", 1)]
    assert "the operator Gradient" in refusal(save(tmp_path, [gradient], [x], [y], domains=domains))

    path = save(tmp_path, [node("Relu", ["x"], ["y"])], [x], [y])
    model = onnx.load(str(path))
    model.training_info.add().algorithm.name = "step"
    path.write_bytes(model.SerializeToString())
    assert "training information" in refusal(path)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([tensor("x", ["n", 3, "height"])], r"dimension 2 \(height\) of input 'x' is dynamic"),
        ([tensor("x", ["n", 3, None])], "dimension 2 of input 'x' is dynamic"),
        ([tensor("x", None)], "no shape with a batch in front"),
        ([tensor("x", [])], "no shape with a batch in front"),
        ([tensor("x", [0, 3])], "batch of 0"),
        ([tensor("x", ["n", 3]), tensor("z", [1, 3])], "first dimensions of its inputs differ"),
        ([helper.make_tensor_sequence_value_info("x", FLOAT, ["n", 3])], "is not a tensor"),
        ([], "has no inputs"),
    ],
)
def test_inputs_that_cannot_be_batched_are_refused(
    tmp_path: Path, inputs: list[Any], reason: str
) -> None:
    path = save(
        tmp_path,
        [node("Identity", ["x" if inputs else "w"], ["y"])],
        inputs,
        [tensor("y", ["n", 3])],
        (weight("w", 2),),
    )
    with pytest.raises(NetworkError, match=reason):
        read_network(path)


def test_graph_without_outputs_is_refused(tmp_path: Path) -> None:
    assert "no outputs" in refusal(
        save(tmp_path, [node("Relu", ["x"], ["y"])], [tensor("x", ["n", 2])], [])
    )


def test_outputs_without_the_batch_are_refused(tmp_path: Path) -> None:
    x = tensor("x", ["n", 4])
    total = save(tmp_path, [node("ReduceSum", ["x"], ["y"], keepdims=0)], [x], [tensor("y", [])])
    assert read_network(total).fixed_batch == 1  # it adds the requests of a batch
    assert read_network(total).outputs == (TensorSpec("y", (), "float32"),)
    turned = save(
        tmp_path, [node("Transpose", ["x"], ["y"], perm=[1, 0])], [x], [tensor("y", [4, "n"])]
    )
    assert "first dimension of output 'y' is not the batch" in refusal(turned)
    one = onnx.numpy_helper.from_array(np.array([1, -1], np.int64), "shape")
    merged = save(
        tmp_path, [node("Reshape", ["x", "shape"], ["y"])], [x], [tensor("y", [1, "m"])], (one,)
    )
    assert "first dimension of output 'y' is not the batch" in refusal(merged)


def test_shape_that_depends_on_the_data_is_refused(tmp_path: Path) -> None:
    nodes = [node("NonZero", ["x"], ["i"]), node("Cast", ["i"], ["y"], to=FLOAT)]
    assert "depends on the data" in refusal(
        save(tmp_path, nodes, [tensor("x", ["n", 4])], [tensor("y", [2, "m"])])
    )


def test_nodes_need_no_order(tmp_path: Path) -> None:
    """ONNX Runtime's converter to FP16 appends the casts of inputs."""
    make, float32 = onnx.helper.make_node, onnx.TensorProto.FLOAT
    nodes = [
        make("MatMul", ["c", "w"], ["h"], name="late"),
        make("Relu", ["h"], ["y"], name="last"),
        make("Cast", ["x"], ["c"], to=float32, name="first"),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT16, ["n", 4])],
        [onnx.helper.make_tensor_value_info("y", float32, ["n", 3])],
        [onnx.numpy_helper.from_array(np.ones((4, 3), np.float32), "w")],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(model, str(tmp_path / "net.onnx"))
    network = read_network(tmp_path / "net.onnx")
    assert (network.macs, network.fixed_batch) == (12, None)
    ordered, _, content = open_model(tmp_path / "net.onnx")
    assert [each.name for each in ordered.graph.node] == ["first", "late", "last"]
    assert content is None
