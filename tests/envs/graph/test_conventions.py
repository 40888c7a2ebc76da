"""Conventions of exporters other than PyTorch's: TensorFlow's, Paddle's, scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from envs.errors import NetworkError
from envs.graph.reading import read_network
from tests.envs.graph.small_graphs import RNG, held, runs, saved, tensor, whole


@pytest.mark.parametrize("opset", [9, 11, 13])
def test_tensorflow_transposes_images_and_reshapes_by_a_concatenated_shape(
    tmp_path: Path, opset: int
) -> None:
    """tf2onnx: NHWC inputs, batches called unk__6, Shape, Cast, Slice, Concat, Reshape."""
    names = ["starts", "ends", "axes"]
    bounds = [whole("starts", [0]), whole("ends", [1]), whole("axes", [0])]
    slicing = (
        helper.make_node("Slice", ["sizes", *names], ["first"])
        if opset > 9
        else helper.make_node("Slice", ["sizes"], ["first"], starts=[0], ends=[1], axes=[0])
    )
    nodes = [
        helper.make_node("Transpose", ["images"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Shape", ["r"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["sizes"], to=TensorProto.INT64),
        slicing,
        helper.make_node("Concat", ["first", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["r", "target"], ["flat"]),
        helper.make_node("MatMul", ["flat", "v"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"]),
    ]
    weights = [held("w", 4, 3, 3, 3), held("v", 4 * 36, 5), whole("rest", [-1])]
    weights += bounds if opset > 9 else []
    path = saved(
        tmp_path / "tf.onnx",
        nodes,
        [tensor("images", ["unk__6", 6, 6, 3])],
        [tensor("probabilities", ["unk__7", 5])],
        weights,
        opset=opset,
    )
    runs(path)
    assert read_network(path).macs == 4 * 36 * 27 + 4 * 36 * 5


@pytest.mark.parametrize("opset", [9, 11])
def test_keras_lists_weights_among_the_inputs_and_squeezes(tmp_path: Path, opset: int) -> None:
    """Version 3 of the file format, in which every weight is an input too."""
    weights = [held("w", 4, 3, 2, 2), held("v", 4, 5)]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Squeeze", ["p"], ["s"], axes=[2, 3]),
        helper.make_node("MatMul", ["s", "v"], ["y"]),
    ]
    inputs = [tensor("x", ["N", 3, 6, 6]), tensor("w", [4, 3, 2, 2]), tensor("v", [4, 5])]
    path = saved(
        tmp_path / "keras.onnx", nodes, inputs, [tensor("y", ["N", 5])], weights, opset=opset, ir=3
    )
    runs(path)
    assert [spec.name for spec in read_network(path).inputs] == ["x"]


def test_a_shape_among_the_inputs_of_a_newer_file_is_a_constant(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    inputs = [tensor("x", ["N", 3, 4]), tensor("rest", [1], TensorProto.INT64)]
    path = saved(
        tmp_path / "net.onnx",
        nodes,
        inputs,
        [tensor("y", ["N", "M"])],
        [whole("rest", [12]), whole("zero", [0])],
    )
    runs(path)


def test_paddle_writes_minus_one_and_constants_as_nodes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["w"], value=held("", 200, 30)),
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["i"], to=TensorProto.INT32),
        helper.make_node("Slice", ["i", "zero", "one"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["t"], axis=0),
        helper.make_node("Cast", ["t"], ["target"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["x", "target"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    rest = numpy_helper.from_array(np.array([200], np.int32), "rest")
    path = saved(
        tmp_path / "paddle.onnx",
        nodes,
        [tensor("x", [-1, 2, 10, 10])],
        [tensor("y", [-1, 30])],
        [whole("zero", [0]), whole("one", [1]), rest],
    )
    runs(path)
    network = read_network(path)
    assert (network.macs, network.weight_bytes) == (6000, 4 * 6000)


def test_a_branch_on_the_number_of_axes_is_taken(tmp_path: Path) -> None:
    """PyTorch writes x.squeeze(1) of a free size as an If; its branches differ in rank."""
    branches = {
        f"{name}_branch": helper.make_graph(
            [
                helper.make_node(*kind, ["z"])  # both branches use this name
                for kind in [("Squeeze", ["c", "axis"]) if name == "then" else ("Identity", ["c"])]
            ],
            name,
            [],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        )
        for name in ("then", "else")
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Shape", ["c"], ["s"]),
        helper.make_node("Gather", ["s", "axis"], ["length"]),
        helper.make_node("Equal", ["length", "axis"], ["condition"]),
        helper.make_node("If", ["condition"], ["b"], **branches),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    path = saved(
        tmp_path / "net.onnx",
        nodes,
        [tensor("x", ["N", 3, 8])],
        [tensor("y", ["N", "L"])],
        [held("w", 1, 3, 3), whole("axis", [1])],
    )
    runs(path)
    network = read_network(path)
    assert network.outputs[0].shape == (6,)
    assert (network.macs, network.layers) == (6 * 9, 2)


def test_operators_of_onnx_runtime_have_its_shapes(tmp_path: Path) -> None:
    domain = "com.microsoft"
    nodes = [
        helper.make_node("FusedMatMul", ["x", "w"], ["q"], domain=domain, alpha=0.5),
        helper.make_node("MultiHeadAttention", ["q", "q", "q"], ["a"], domain=domain, num_heads=2),
        helper.make_node("Gelu", ["a"], ["y"], domain=domain),
    ]
    path = saved(
        tmp_path / "net.onnx",
        nodes,
        [tensor("x", ["N", 5, 8])],
        [tensor("y", ["N", 5, 8])],
        [held("w", 8, 8)],
        domains=[helper.make_opsetid(domain, 1)],
    )
    runs(path)
    assert read_network(path).macs == 5 * 8 * 8 + 2 * 5 * 8 * 5


def test_declared_shapes_of_outputs_that_are_wrong_are_ignored(tmp_path: Path) -> None:
    """ONNX Runtime warns about them and goes on."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Relu", ["x"], ["z"])]
    outputs = [tensor("y", ["N", 7]), tensor("z", ["N", 4, 1])]
    path = saved(tmp_path / "net.onnx", nodes, [tensor("x", ["N", 4])], outputs, [held("w", 4, 5)])
    assert [spec.shape for spec in read_network(path).outputs] == [(5,), (4,)]


def test_scikit_learn_is_read_without_zipmap_and_named_with_it(tmp_path: Path) -> None:
    x = RNG.normal(size=(40, 4)).astype(np.float32)
    fitted = LogisticRegression().fit(x, x[:, 0] > 0)
    path = tmp_path / "sk.onnx"
    onnx.save(to_onnx(fitted, x[:1], options={"zipmap": False}, target_opset=15), path)
    runs(path)
    onnx.save(to_onnx(fitted, x[:1], target_opset=15), path)
    with pytest.raises(NetworkError, match=r"ZipMap of domain ai\.onnx\.ml .*zipmap=False"):
        read_network(path)
