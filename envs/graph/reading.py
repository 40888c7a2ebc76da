"""Read an ONNX file as a graph with shapes, and describe it as a network."""

import logging
import math
from pathlib import Path
from typing import Any

from envs.errors import NetworkError
from envs.graph.batch_rules import check_batch, declared, served_inputs
from envs.graph.cost import SHAPE_ONLY, computed_nodes, macs, peak_bytes, weight_bytes
from envs.graph.number_types import float_type, number_types
from envs.graph.onnx_file import check_model, network_name, open_model
from envs.graph.shapes import ShapedGraph, file_in_errors, shape_graph
from envs.graph.unknown_shapes import refuse_unknown
from envs.optional import optional_import
from envs.spec import Network, TensorSpec

logger = logging.getLogger(__name__)


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
        nodes = computed_nodes(graph.graph, graph.inputs)
        total_macs = sum(macs(node, shapes) for node in nodes)
    peak = peak_bytes(nodes, shapes, graph.inputs, {output.name for output in outputs})
    inputs = {value.name: value for value in graph.graph.input}
    if graph.single_reason:
        logger.warning("%s is served at batch 1 only: %s", path, graph.single_reason)
    return Network(
        name=network_name(path) if name is None else name,
        sha256=sha256,
        macs=total_macs // samples,
        weight_bytes=weight_bytes(graph.graph, graph.float_types),
        activation_bytes=math.ceil(peak / samples),
        layers=sum(node.op_type not in SHAPE_ONLY for node in nodes),
        inputs=tuple(_spec(inputs[name], graph, path) for name in graph.inputs),
        outputs=tuple(_spec(value, graph, path) for value in outputs),
        fixed_batch=graph.fixed_batch,
        float_type=graph.float_type,
        quantised=graph.quantised,
    )


def read_declared(path: str | Path, name: str | None = None) -> Network:
    """Describe an ONNX file by what it declares, without its costs.

    This is for exports of files with operators that only another runtime knows, whose results have
    shapes that nobody else can calculate. Nothing is inferred, and the ONNX checker does not run.

    Args:
        path: the file.
        name: of the network; the file's name without its suffix if None.

    Returns:
        A network whose macs, weight_bytes, activation_bytes and layers are 0: unknown. In the shape
        of an output, -1 is a size that the file does not declare; the shape is () if it declares
        none. An output that declares no type has the dtype "".

    Raises:
        NetworkError: the file is missing, damaged, unsafe or made for training, or an input cannot
            be served in batches.
        DependencyError: onnx is not installed.
    """
    path = Path(path)
    model, sha256, _ = open_model(path)
    fixed_batch = check_batch(model, path)
    return Network(
        name=network_name(path) if name is None else name,
        sha256=sha256,
        macs=0,
        weight_bytes=0,
        activation_bytes=0,
        layers=0,
        inputs=tuple(_declared_spec(value, path) for value in served_inputs(model)),
        outputs=tuple(_declared_spec(value, path) for value in model.graph.output),
        fixed_batch=fixed_batch,
        float_type=float_type(model),
        quantised=bool(number_types(model).quantised),
    )


def _declared_spec(value: Any, path: Path) -> TensorSpec:
    shape = declared(value) or ()
    sizes = tuple(size if isinstance(size, int) else -1 for size in shape[1:])
    return TensorSpec(_checked_name(value, path), sizes, _dtype(value, path))


def read_graph(path: Path) -> tuple[ShapedGraph, str]:
    """Return the checked graph in an ONNX file, and the SHA-256 of all its files.

    The errors are those of `read_network`.
    """
    model, sha256, content = open_model(path)
    # Before the checker, whose message would only say that the model is invalid.
    check_batch(model, path)
    refuse_unknown(model, path)
    check_model(model, path, content)
    del content
    return shape_graph(model, path), sha256


def _spec(value: Any, graph: ShapedGraph, path: Path) -> TensorSpec:
    shape, shared = graph.shapes.get(value.name), value.name in graph.shared
    name = _checked_name(value, path)
    if value.type.WhichOneof("value") != "tensor_type" or shape is None:
        raise NetworkError(
            f"{path}: {name!r} is not a tensor of a known shape: "
            "export the network with fixed shapes"
        )
    dtype = _dtype(value, path)
    # A network with a fixed batch may give one result for the whole batch.
    batched = not shared and shape[:1] == (graph.samples,)
    return TensorSpec(name, shape[1:] if batched else shape, dtype, shared)


def _checked_name(value: Any, path: Path) -> str:
    if not isinstance(value.name, str):  # protobuf returns bytes for a text that is not UTF-8
        raise NetworkError(f"{path}: the name {value.name!r} is not text: export it again")
    return value.name


def _dtype(value: Any, path: Path) -> str:
    onnx = optional_import("onnx", "networks")
    kind = value.type.tensor_type.elem_type
    if kind == onnx.TensorProto.STRING:
        raise NetworkError(
            f"{path}: {value.name!r} holds text: export the network without its tokenizer"
        )
    return "" if kind == 0 else str(onnx.helper.tensor_dtype_to_np_dtype(kind).name)
