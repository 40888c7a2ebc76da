"""Read an ONNX file as a graph with shapes, and describe it as a network."""

import math
from pathlib import Path
from typing import Any

from envs.errors import NetworkError
from envs.graph.cost import SHAPE_ONLY, Shapes, computed_nodes, macs, peak_bytes, weight_bytes
from envs.graph.onnx_file import check_model, open_model
from envs.graph.shapes import ShapedGraph, check_batch, file_in_errors, served_inputs, shape_graph
from envs.optional import optional_import
from envs.spec import Network, TensorSpec


def read_network(path: str | Path, name: str | None = None) -> Network:
    """Describe the ONNX file in `path`.

    Args:
        path: the file.
        name: of the network; the file's name without its suffix if None.

    Raises:
        NetworkError: the file is missing, damaged, unsafe, made for training, or cannot be served
            in batches.
        DependencyError: onnx is not installed.
    """
    path = Path(path)
    return describe(*read_graph(path), path, name)


def describe(graph: ShapedGraph, sha256: str, path: Path, name: str | None = None) -> Network:
    """Return the description of a graph that was read from `path`, as `read_network` does."""
    shapes, samples, outputs = graph.shapes, graph.samples, graph.graph.output
    with file_in_errors(path):
        nodes = computed_nodes(graph.graph, shapes, graph.inputs)
        total_macs = sum(macs(node, shapes) for node in nodes)
    peak = peak_bytes(nodes, shapes, graph.inputs, {output.name for output in outputs})
    inputs = {value.name: value for value in graph.graph.input}
    return Network(
        name=path.stem if name is None else name,
        sha256=sha256,
        macs=total_macs // samples,
        weight_bytes=weight_bytes(graph.graph, graph.float_types),
        activation_bytes=math.ceil(peak / samples),
        layers=sum(node.op_type not in SHAPE_ONLY for node in nodes),
        inputs=tuple(_spec(inputs[name], shapes, samples, path) for name in graph.inputs),
        outputs=tuple(_spec(value, shapes, samples, path) for value in outputs),
        fixed_batch=graph.fixed_batch,
    )


def read_graph(path: Path) -> tuple[ShapedGraph, str]:
    """Return the checked graph in an ONNX file, and the SHA-256 of all its files.

    The errors are those of `read_network`.
    """
    model, sha256, content = open_model(path)
    # Before the checker, whose message would only say that the model is invalid.
    check_batch(served_inputs(model), model.graph.output, path)
    check_model(path, content)
    del content
    return shape_graph(model, path), sha256


def _spec(value: Any, shapes: Shapes, batch: int, path: Path) -> TensorSpec:
    onnx = optional_import("onnx", "networks")
    shape = shapes.get(value.name)
    if not isinstance(value.name, str):  # protobuf returns bytes for a text that is not UTF-8
        raise NetworkError(f"{path}: the name {value.name!r} is not text: export it again")
    if value.type.WhichOneof("value") != "tensor_type" or shape is None:
        raise NetworkError(
            f"{path}: {value.name!r} is not a tensor of a known shape: "
            "export the network with fixed shapes"
        )
    if value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
        raise NetworkError(
            f"{path}: {value.name!r} holds text: export the network without its tokenizer"
        )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    # A network with a fixed batch may give one result for the whole batch.
    return TensorSpec(value.name, shape[1:] if shape[:1] == (batch,) else shape, dtype)
