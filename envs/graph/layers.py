"""Read an ONNX file as the layers that an inference engine runs."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import NetworkError
from envs.graph import dla_rules
from envs.graph.cost import MULTIPLYING, PRODUCTS, RECURRENT
from envs.graph.fusion import NORMALIZING, Operation, fuse, operations
from envs.graph.layer_table import LAYER_KINDS, LayerTable
from envs.graph.onnx_file import network_name
from envs.graph.reading import describe, read_graph
from envs.graph.shapes import ShapedGraph, file_in_errors
from envs.spec import Network

_POOLS = frozenset(
    {
        "MaxPool",
        "AveragePool",
        "LpPool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "ReduceMean",
        "ReduceMax",
        "ReduceSum",
    }
)

#: Elementwise operators whose constants are parameters. Constants of others are settings, and a
#: Gather reads only the rows that it picks.
_PARAMETRIC = NORMALIZING | {"Add", "Sub", "Mul", "Div", "Min", "Max", "Sum", "PRelu"}


def read_network_and_layers(path: str | Path) -> tuple[Network, LayerTable]:
    """Return the description and the layers of the ONNX file in `path`.

    Raises:
        NetworkError: as `read_network`, or the network computes nothing.
        DependencyError: onnx is not installed.
    """
    path = Path(path)
    graph, sha256 = read_graph(path)
    with file_in_errors(path):
        return describe(graph, sha256, path), table_of(graph, network_name(path))


def table_of(graph: ShapedGraph, name: str) -> LayerTable:
    """Return the layers of a graph.

    Raises:
        NetworkError: the graph has no layers, or their cost depends on the data. The caller adds
            the file's name.
    """
    steps = operations(graph)
    outputs = {output.name for output in graph.graph.output}
    used = outputs.union(*(step.reads for step in steps))
    rows = [_row(kernel, graph, used) for kernel in fuse(steps, outputs)]
    if not rows:
        raise NetworkError("it has no layer that computes")
    columns: dict[str, Any] = {key: np.asarray([row[key] for row in rows]) for key in rows[0]}
    input_size, output_size = (
        sum(math.prod(graph.shapes[key]) for key in keys) / graph.samples
        for keys in (graph.inputs, sorted(outputs))
    )
    return LayerTable(name=name, inputs=input_size, outputs=output_size, **columns)


def _row(kernel: list[Operation], graph: ShapedGraph, used: set[str]) -> dict[str, Any]:
    head, *rest = kernel
    inside = {name for step in kernel for name in step.outputs}
    read = {name for step in kernel for name in step.reads} - inside
    kind = _kind(head)
    written = (
        math.prod(head.output_shape)
        if rest
        else sum(math.prod(graph.shapes[name]) for name in head.outputs if name in used)
    )
    # A table of embeddings is not an activation, but its rows are read for one sample alone.
    is_embedding = head.op_type == "Gather" and not head.is_activation[0]
    rows = math.prod(head.output_shape) if is_embedding else 0
    return {
        "kind": LAYER_KINDS.index(kind),
        "macs": head.macs / graph.samples,
        "weights": _weights(kernel),
        "reads": (sum(math.prod(graph.shapes[name]) for name in read) + rows) / graph.samples,
        "writes": written / graph.samples,
        "reduction": _reduction(head),
        "channels": _channels(head, kind),
        "dla": all(dla_rules.supports(step) for step in kernel),
    }


def _kind(head: Operation) -> str:
    if head.op_type in RECURRENT:
        return "recurrent"
    if head.op_type in _POOLS:
        return "pool"
    if head.op_type == "LRN":
        return "lrn"
    if head.op_type not in MULTIPLYING:
        return "elementwise"
    if head.op_type in PRODUCTS:
        return "matmul"
    if head.attributes.get("group", 1) == 1:
        return "conv"
    return "depthwise" if head.shape_of(1)[1] == 1 else "grouped"


def _weight_sizes(step: Operation) -> list[int]:
    return [
        math.prod(step.shape_of(position))
        for position, is_activation in enumerate(step.is_activation)
        if not is_activation
    ]


def _weights(kernel: list[Operation]) -> float:
    """Return the elements of a kernel's parameters.

    Normalization and scale behind a convolution or product fold into its weights and one bias.
    """
    head, *rest = kernel
    # A product of two activations has no weights that others could fold into.
    if head.op_type not in MULTIPLYING or all(head.is_activation[:2]):
        return float(sum(map(_parameters, kernel)))
    matrix, *biases = _weight_sizes(head)
    biases += [
        _parameters(step) // (2 if step.op_type == "BatchNormalization" else 1)
        for step in rest
        if step.op_type != "PRelu"
    ]
    slopes = sum(_parameters(step) for step in rest if step.op_type == "PRelu")
    return float(matrix + max(biases, default=0) + slopes)


def _parameters(step: Operation) -> int:
    """Return the parameters of an operation that is not a convolution or product.

    Single numbers do not count: they are part of the code.
    """
    if step.op_type == "BatchNormalization":
        return 2 * math.prod(step.shape_of(1))
    if step.op_type not in _PARAMETRIC | RECURRENT:
        return 0
    return sum(size for size in _weight_sizes(step) if size > 1)


def _reduction(head: Operation) -> float:
    if head.op_type in RECURRENT:
        return float(head.shape_of(1)[-1] + head.shape_of(2)[-1])
    return head.macs / math.prod(head.output_shape)


def _channels(head: Operation, kind: str) -> float:
    if not head.macs:
        return 0.0
    if kind == "recurrent":
        return float(head.shape_of(1)[-2])
    if kind == "matmul":
        return float(head.output_shape[-1])
    groups = head.attributes.get("group", 1) if kind == "grouped" else 1
    return float(head.output_shape[1] / groups)
