"""Graphs that are prepared for a DLA compute the same numbers as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from envs.catalog.architectures import build as architecture
from envs.catalog.graph_builder import GraphBuilder
from envs.errors import NetworkError
from envs.runtimes.tensorrt.graph import for_dla, read, with_batch

helper, TensorProto = onnx.helper, onnx.TensorProto


def run(model: Any, values: Any) -> list[Any]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {session.get_inputs()[0].name: values}))


def same(before: Any, after: Any, values: Any) -> None:
    for old, new in zip(run(before, values), run(after, values), strict=True):
        assert old.size == new.size
        np.testing.assert_allclose(
            new.reshape(old.shape), old, rtol=1e-3, atol=1e-4 * np.abs(old).max()
        )


def kinds(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def tail(
    nodes: list[Any],
    weights: dict[str, Any],
    out: tuple[int, ...],
    shape: tuple[int, ...] = (4, 5, 5),
) -> Any:
    """Make a graph from x [batch, *shape] to y."""
    graph = helper.make_graph(
        nodes,
        "tail",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *out])],
        initializer=[
            onnx.numpy_helper.from_array(np.asarray(values), name)
            for name, values in weights.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


NODE = helper.make_node
RNG = np.random.default_rng(0)


def values(*shape: int) -> Any:
    return RNG.standard_normal(shape, dtype=np.float32)


def vgg_like() -> Any:
    """Make a network with a tail like VGG's: three linear layers, the first over 2 x 2 pixels."""
    graph, x = GraphBuilder(0), "input"
    for width in (8, 16, 16, 32, 32):
        x = graph.max_pool(graph.relu(graph.conv(x, width, 3, pad=1, bias=True)), 2, 2)
    x = graph.relu(graph.linear(graph.flatten(x, pixels=4), 64))
    return graph.model("vgg", graph.linear(graph.relu(graph.linear(x, 64)), 12), 64)


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1", "densenet121", "vgg_like"])
def test_our_networks_have_no_global_pool_and_no_dense_layer_left(name: str) -> None:
    model = vgg_like() if name == "vgg_like" else architecture(name, image_size=64, classes=12)
    prepared = for_dla(model, 2)
    assert not {"GlobalAveragePool", "Flatten", "Gemm", "MatMul"} & set(kinds(prepared.model))
    assert prepared.changes[0] == "the batch is 2, fixed"
    assert [
        size.dim_value for size in prepared.model.graph.input[0].type.tensor_type.shape.dim
    ] == [2, 3, 64, 64]
    same(model, prepared.model, values(2, 3, 64, 64))


def test_the_original_is_left_alone() -> None:
    model = architecture("squeezenet1_1", image_size=64, classes=12)
    before = model.SerializeToString()
    for_dla(model, 4)
    assert model.SerializeToString() == before


def test_a_pool_over_more_than_eight_pixels_stays_and_is_told() -> None:
    model = architecture("squeezenet1_1", image_size=192, classes=12)
    prepared = for_dla(model, 1)
    assert "GlobalAveragePool" in kinds(prepared.model)
    assert any("11 x 11 stays, and falls to the GPU" in change for change in prepared.changes)


FLATTEN = NODE("Flatten", ["x"], ["f"])
MATRIX = {"w": values(100, 3)}


@pytest.mark.parametrize(
    ("nodes", "weights", "expected"),
    [
        (
            [
                NODE("ReduceMean", ["x"], ["p"], axes=[2, 3], keepdims=0),
                NODE("Gemm", ["p", "w"], ["y"]),
            ],
            {"w": values(4, 3)},
            ["AveragePool", "Conv"],
        ),
        (
            [
                NODE("ReduceMean", ["x"], ["p"], axes=[-1, -2]),
                NODE("Flatten", ["p"], ["f"]),
                NODE("MatMul", ["f", "w"], ["y"]),
            ],
            {"w": values(4, 3)},
            ["AveragePool", "Conv"],
        ),
        (
            [FLATTEN, NODE("Gemm", ["f", "w", "b"], ["y"], transB=1, alpha=0.5, beta=2.0)],
            {"w": values(3, 100), "b": values(3)},
            ["Conv"],
        ),
        (
            [FLATTEN, NODE("MatMul", ["f", "w"], ["m"]), NODE("Add", ["m", "b"], ["y"])],
            MATRIX | {"b": values(3)},
            ["Conv", "Add"],
        ),
        (
            [
                FLATTEN,
                NODE("Gemm", ["f", "w"], ["g"]),
                NODE("Relu", ["g"], ["r"]),
                NODE("Gemm", ["r", "v"], ["y"]),
            ],
            {"w": values(100, 6), "v": values(6, 3)},
            ["Conv", "Relu", "Conv"],
        ),
        (
            [
                NODE("Relu", ["x"], ["r"]),
                NODE("Reshape", ["r", "s"], ["f"]),
                NODE("Gemm", ["f", "w"], ["y"]),
            ],
            MATRIX | {"s": np.array([0, -1], np.int64)},
            ["Relu", "Conv"],
        ),
    ],
    ids=["mean", "mean then matmul", "scaled gemm", "matmul and bias", "two layers", "reshape"],
)
def test_tails_of_other_exporters(
    nodes: list[Any], weights: dict[str, Any], expected: list[str]
) -> None:
    model = tail(nodes, weights, (3,))
    prepared = for_dla(model, 2)
    assert kinds(prepared.model) == expected
    same(model, prepared.model, values(2, 4, 5, 5))


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        (
            [
                NODE("Flatten", ["x"], ["f"]),
                NODE("Gemm", ["f", "w"], ["g"]),
                NODE("Softmax", ["g"], ["y"], axis=-1),
            ],
            {"w": values(100, 3)},
        ),
        (
            [
                NODE("Flatten", ["x"], ["f"]),
                NODE("Gemm", ["f", "w"], ["g"]),
                NODE("Add", ["g", "c"], ["y"]),
            ],
            {"w": values(100, 3), "c": values(1)},
        ),
        (
            [
                NODE("Flatten", ["x"], ["f"]),
                NODE("Gemm", ["f", "w"], ["g"]),
                NODE("Sub", ["g", "g"], ["s"]),
                NODE("Relu", ["s"], ["y"]),
            ],
            {"w": values(100, 3)},
        ),
        (
            [NODE("Flatten", ["x"], ["f"]), NODE("Gemm", ["w", "f"], ["y"], transB=1, transA=0)],
            {"w": values(2, 100)},
        ),
    ],
    ids=["softmax", "a single number", "two readers", "weights first"],
)
def test_what_is_not_known_to_pass_stays_flat_and_right(
    nodes: list[Any], weights: dict[str, Any]
) -> None:
    model = tail(nodes, weights, (2,) if nodes[-1].op_type == "Gemm" else (3,))
    same(model, for_dla(model, 2).model, values(2, 4, 5, 5))


def test_an_output_that_is_also_read_inside_keeps_its_shape() -> None:
    nodes = [
        NODE("Flatten", ["x"], ["f"]),
        NODE("Gemm", ["f", "w"], ["y"]),
        NODE("Softmax", ["y"], ["z"]),
    ]
    model = tail(nodes, {"w": values(100, 3)}, (3,))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 3]))
    prepared = for_dla(model, 2)
    same(model, prepared.model, values(2, 4, 5, 5))
    assert len(prepared.model.graph.output[0].type.tensor_type.shape.dim) == 2


def test_weights_that_nobody_uses_any_more_are_dropped() -> None:
    prepared = for_dla(
        tail(
            [NODE("Flatten", ["x"], ["f"]), NODE("Gemm", ["f", "w"], ["y"])],
            {"w": values(100, 3)},
            (3,),
        ),
        1,
    )
    assert [weight.name for weight in prepared.model.graph.initializer] == ["y/kernel"]


def test_fixed_batch_alone_changes_nothing_else() -> None:
    model = architecture("squeezenet1_1", image_size=48, classes=5)
    prepared = with_batch(model, 3)
    assert kinds(prepared.model) == kinds(model)
    same(model, prepared.model, values(3, 3, 48, 48))


def test_a_flattening_by_calculated_shapes_passes_too() -> None:
    """PyTorch's x.view(x.size(0), -1): Shape, Gather, Concat, Reshape; a constant goes along."""
    nodes = [
        NODE("Shape", ["x"], ["s"]),
        NODE("Gather", ["s", "zero"], ["n"]),
        NODE("Concat", ["n", "rest"], ["target"], axis=0),
        NODE("Reshape", ["x", "target"], ["f"]),
        NODE("Gemm", ["f", "w"], ["y"]),
    ]
    weights = {"zero": np.array([0]), "rest": np.array([-1]), "w": values(100, 3)}
    model = tail(nodes, weights, (3,))
    prepared = for_dla(model, 2)
    assert kinds(prepared.model) == ["Conv"]
    same(model, prepared.model, values(2, 4, 5, 5))
    model.graph.output.append(helper.make_tensor_value_info("s", TensorProto.INT64, [4]))
    assert for_dla(model, 2).model.graph.output[1].name == "s"


def test_a_batch_inside_the_graph_is_one_sentence() -> None:
    model = tail([NODE("Add", ["x", "c"], ["y"])], {"c": values(3, 4, 5, 5)}, (4, 5, 5))
    with pytest.raises(NetworkError, match="does not fit together with a fixed batch"):
        with_batch(model, 4)


def test_external_weights_come_along(tmp_path: Path) -> None:
    model = tail(
        [NODE("Flatten", ["x"], ["f"]), NODE("Gemm", ["f", "w"], ["y"])],
        {"w": values(100, 3)},
        (3,),
    )
    onnx.save(
        model,
        str(tmp_path / "tail.onnx"),
        save_as_external_data=True,
        location="tail.data",
        size_threshold=0,
    )
    model = onnx.load(str(tmp_path / "tail.onnx"))
    same(model, for_dla(read(tmp_path / "tail.onnx"), 2).model, values(2, 4, 5, 5))
