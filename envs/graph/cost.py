"""What one sample costs a network: multiply-accumulates, bytes and layers, from a graph whose shapes are known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from envs.errors import NetworkError
from envs.graph.onnx_file import subgraphs

#: Bytes of an FP32 number; weights and activations are counted as such whatever type the file stores, so that networks compare.
FP32_BYTES = 4

#: Operators that multiply and accumulate, and whose cost is counted.
MULTIPLYING = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

#: Operators that compute nothing: they rename a tensor or look at it through another shape.
PLUMBING = frozenset(
    {
        "Constant",
        "Identity",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Dropout",
        "Shape",
        "Size",
    }
)


@dataclass(frozen=True)
class Cost:
    """Of one run of the graph, at the batch its shapes were inferred for; bytes are of FP32 numbers."""

    macs: int
    weight_bytes: int
    activation_bytes: int
    layers: int


def cost(
    graph: Any, shapes: dict[str, tuple[int, ...]], inputs: list[str], float_types: frozenset[int]
) -> Cost:
    """Counts over the nodes that an output depends on.

    Args:
        graph: a GraphProto; its nodes are sorted, as ONNX demands.
        shapes: of every tensor whose shape is known.
        inputs: names of the inputs that are no weights.
        float_types: element types that are weights (indices and shapes are not).

    Raises:
        NetworkError: the shape of a tensor that depends on the input is unknown; without the file's name, which the caller adds.
    """
    nodes = computed(graph, shapes, inputs)
    return Cost(
        macs=sum(macs(node, shapes) for node in nodes),
        weight_bytes=_weight_bytes(graph, _needed(graph), float_types),
        activation_bytes=_peak_bytes(
            nodes, shapes, inputs, [output.name for output in graph.output]
        ),
        layers=sum(node.op_type not in PLUMBING for node in nodes),
    )


def computed(graph: Any, shapes: dict[str, tuple[int, ...]], inputs: list[str]) -> list[Any]:
    """The nodes that an output depends on and that run for every sample.

    Raises:
        NetworkError: the shape of a tensor that depends on the input is unknown; without the file's name, which the caller adds.
    """
    nodes, moving = [], set(inputs)
    for node in _needed(graph):
        # What only depends on weights is folded into a constant by every runtime, and so is what only depends on a shape.
        if node.op_type not in ("Shape", "Size") and not moving.isdisjoint(_reads(node)):
            nodes.append(node)
            moving.update(filter(None, node.output))
    for name in sorted(moving):
        if name not in shapes:
            raise NetworkError(f"the shape of tensor {name!r} depends on the data")
    return nodes


def _reads(node: Any) -> Iterator[str]:
    yield from filter(None, node.input)
    for graph in subgraphs(node):
        yield from (output.name for output in graph.output)
        for inner in graph.node:
            yield from filter(None, inner.input)


def _needed(graph: Any) -> list[Any]:
    wanted, needed = {output.name for output in graph.output}, []
    for node in reversed(graph.node):
        if not wanted.isdisjoint(node.output):
            needed.append(node)
            wanted.update(_reads(node))
    return needed[::-1]


def macs(node: Any, shapes: dict[str, tuple[int, ...]]) -> int:
    """Multiply-accumulates of one node; NetworkError where they depend on the data."""
    if any(inner.op_type in MULTIPLYING for graph in subgraphs(node) for inner in graph.node):
        raise NetworkError(
            f"{node.op_type} {node.name!r} runs layers inside a branch or loop, so that their cost depends on the data"
        )
    if node.op_type not in MULTIPLYING or node.domain not in ("", "ai.onnx"):
        return 0
    for name in node.input[:2]:
        if name not in shapes:
            raise NetworkError(f"the shape of tensor {name!r} is unknown")
    left, right, result = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if (
        node.op_type == "Conv"
    ):  # weights [out, channels / groups, *kernel]: each result sums over all but the first
        return math.prod(result) * math.prod(right[1:])
    if (
        node.op_type == "ConvTranspose"
    ):  # weights [channels, out / groups, *kernel]: each input is spread over all but the first
        return math.prod(left) * math.prod(right[1:])
    if node.op_type == "Gemm" and any(
        attribute.name == "transA" and attribute.i for attribute in node.attribute
    ):
        return math.prod(result) * left[0]
    return math.prod(result) * left[-1]


def _weight_bytes(graph: Any, needed: list[Any], float_types: frozenset[int]) -> int:
    used = {name for node in needed for name in _reads(node)} | {
        output.name for output in graph.output
    }
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


def _peak_bytes(
    computed: list[Any], shapes: dict[str, tuple[int, ...]], inputs: list[str], outputs: list[str]
) -> int:
    """The most bytes alive at once when nodes run in order, each result in memory of its own until its last reader has run."""
    moving = {*inputs, *(name for node in computed for name in node.output if name)}
    last = {
        name: position
        for position, node in enumerate(computed)
        for name in _reads(node)
        if name in moving
    }
    alive = peak = sum(math.prod(shapes[name]) for name in inputs)
    for position, node in enumerate(computed):
        results = {name for name in node.output if name}
        alive += sum(math.prod(shapes[name]) for name in results)
        peak = max(peak, alive)
        finished = {name for name in _reads(node) if last.get(name) == position} | {
            name for name in results if name not in last
        }
        alive -= sum(math.prod(shapes[name]) for name in finished - set(outputs))
    return peak * FP32_BYTES
