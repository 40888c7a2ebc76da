"""Cost of one run of a graph with known shapes: multiply-accumulates, bytes and layers."""

import math
from collections.abc import Iterator
from typing import Any

from envs.errors import NetworkError
from envs.graph.equivalents import einsum_contracted, plain
from envs.graph.onnx_file import subgraphs

Shapes = dict[str, tuple[int, ...]]

#: Bytes of an FP32 number. Weights and activations count as FP32 whatever type the file stores, so
#: that networks can be compared.
FP32_BYTES = 4

#: Operators that multiply and accumulate.
MULTIPLYING = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Attention"})

#: Those that multiply matrices.
PRODUCTS = frozenset({"Gemm", "MatMul", "Einsum", "Attention"})

RECURRENT = frozenset({"LSTM", "GRU", "RNN"})

#: Operators that compute nothing: they rename or reshape a tensor.
SHAPE_ONLY = frozenset(
    [
        "Constant",
        "Identity",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Dropout",
        "Shape",
        "Size",
    ]
)


def computed_nodes(graph: Any, inputs: list[str]) -> list[Any]:
    """Return the nodes that an output depends on and that run for every sample, in order."""
    nodes, activations = [], set(inputs)
    for node in needed_nodes(graph):
        # Every runtime folds a node into a constant if it depends on weights or shapes only.
        if node.op_type not in ("Shape", "Size") and not activations.isdisjoint(reads(node)):
            nodes.append(node)
            activations.update(filter(None, node.output))
    return nodes


def needed_tensors(graph: Any, nodes: list[Any]) -> set[str]:
    """Return the tensors whose shapes the cost of these nodes depends on.

    These are the outputs, the results that are read, and the operands of layers. Results that
    nobody reads (the mask of a Dropout, the last state of an LSTM) need no shape.
    """
    outputs = {output.name for output in graph.output}
    read = {name for node in nodes for name in reads(node)}
    results = {name for node in nodes for name in node.output if name} & read
    operands = {
        name
        for node in map(plain, nodes)
        if node.op_type in MULTIPLYING | RECURRENT
        for name in node.input[:3]
        if name
    }
    return results | operands | outputs


def reads(node: Any) -> Iterator[str]:
    """Yield the names that a node and the graphs inside it read, some of them more than once."""
    yield from filter(None, node.input)
    for graph in subgraphs(node):
        yield from (output.name for output in graph.output)
        for inner in graph.node:
            yield from filter(None, inner.input)


def needed_nodes(graph: Any) -> list[Any]:
    """Return the nodes of a GraphProto that an output depends on, in order."""
    wanted, needed = {output.name for output in graph.output}, []
    for node in reversed(graph.node):
        if not wanted.isdisjoint(node.output):
            needed.append(node)
            wanted.update(reads(node))
    return needed[::-1]


def macs(node: Any, shapes: Shapes) -> int:
    """Return the multiply-accumulates of one node.

    Raises:
        NetworkError: they depend on the data, or a shape is unknown.
    """
    if any(
        plain(inner).op_type in MULTIPLYING for graph in subgraphs(node) for inner in graph.node
    ):
        raise NetworkError(
            f"{node.op_type} {node.name!r} runs layers inside a branch or loop, "
            "so that their cost depends on the data"
        )
    node = plain(node)
    if node.op_type not in MULTIPLYING or node.domain not in ("", "ai.onnx"):
        return 0
    for name in filter(None, node.input[:2]):
        if name not in shapes:
            raise NetworkError(f"the shape of tensor {name!r} is unknown")
    read, result = [shapes[name] for name in node.input[:2] if name], shapes[node.output[0]]
    left = read[0]
    # Weights [out, channels / groups, *kernel]: each result is a sum over all but the first axis.
    if node.op_type == "Conv":
        return math.prod(result) * math.prod(read[1][1:])
    # Weights [channels, out / groups, *kernel]: each input is multiplied by all but the first axis.
    if node.op_type == "ConvTranspose":
        return math.prod(left) * math.prod(read[1][1:])
    if node.op_type == "Einsum":
        if len(node.input) < 2:
            return 0
        return math.prod(result) * einsum_contracted(node, [shapes[name] for name in node.input])
    # Queries [..., length, width] and keys: products with the keys, then with the values.
    if node.op_type == "Attention":
        return (math.prod(left) + math.prod(result)) * read[-1][-2]
    is_turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(result) * left[-2 if is_turned else -1]


def weight_bytes(graph: Any, float_types: frozenset[int]) -> int:
    """Return the bytes of all weights that an output depends on.

    Args:
        graph: a GraphProto; its nodes are sorted, as ONNX demands.
        float_types: element types of weights; indices and shapes have other types.
    """
    needed = needed_nodes(graph)
    used = {name for node in needed for name in reads(node)}
    used |= {output.name for output in graph.output}
    numbers = sum(
        math.prod(weight.dims)
        for weight in graph.initializer
        if weight.name in used and weight.data_type in float_types
    )
    for node in needed:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value" and attribute.t.data_type in float_types:
                numbers += math.prod(attribute.t.dims)
            elif attribute.name in ("value_float", "value_floats"):
                numbers += len(attribute.floats) or 1
    return int(numbers) * FP32_BYTES


def peak_bytes(nodes: list[Any], shapes: Shapes, inputs: list[str], outputs: set[str]) -> int:
    """Return the most bytes of activations alive at once when the nodes run in order.

    Each result has memory of its own until its last reader has run.
    """
    activations = {*inputs, *(name for node in nodes for name in node.output if name)}
    last_reader = {
        name: position
        for position, node in enumerate(nodes)
        for name in reads(node)
        if name in activations
    }
    alive = peak = sum(math.prod(shapes[name]) for name in inputs)
    for position, node in enumerate(nodes):
        results = {name for name in node.output if name}
        alive += sum(math.prod(shapes[name]) for name in results)
        peak = max(peak, alive)
        finished = {name for name in reads(node) if last_reader.get(name) == position}
        finished |= results - last_reader.keys()
        alive -= sum(math.prod(shapes[name]) for name in finished - outputs)
    return peak * FP32_BYTES
