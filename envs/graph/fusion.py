"""Groups the nodes of a graph into the kernels that inference engines run: a layer and the cheap arithmetic behind it."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from envs.graph.cost import MULTIPLYING, computed, macs
from envs.graph.reading import ShapedGraph
from envs.optional import optional_import

Shape = tuple[int, ...]

RECURRENT = frozenset({"LSTM", "GRU", "RNN"})

#: What moves no data of its own: it renames a tensor, or is folded into the kernel that writes or reads it.
FREE = frozenset(
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
        "Transpose",
        "Concat",
        "Split",
        "Slice",
        "Cast",
        "Pad",
        "QuantizeLinear",
        "DequantizeLinear",
    }
)

#: Arithmetic on single elements, which the kernel before it does while the element is still in a register.
POINTWISE = frozenset(
    {
        "BatchNormalization",
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Clip",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Elu",
        "Selu",
        "Softplus",
        "Mish",
        "Gelu",
        "Erf",
        "Exp",
        "Log",
        "Sqrt",
        "Pow",
        "Neg",
        "Abs",
        "Reciprocal",
        "Add",
        "Sum",
        "Sub",
        "Mul",
        "Div",
        "Min",
        "Max",
    }
)

NORMALISING = frozenset({"LayerNormalization", "InstanceNormalization", "GroupNormalization"})

#: Layers that go on with pointwise arithmetic; pools and everything else write their result first.
OPEN = MULTIPLYING | POINTWISE | NORMALISING


@dataclass(frozen=True)
class Operation:
    """One node with its shapes, the batch in front.

    Attributes:
        kind: the operator; with its domain where that is not ONNX's own.
        attributes: its numbers, texts and lists.
        reads: tensors it reads that depend on the network's input, each once.
        results: tensors it gives.
        inputs: shapes of all its inputs in order; None where one is left out or unknown.
        moving: whether each of these depends on the network's input; the others are weights.
        result: shape of the first result.
        macs: multiply-accumulates at the batch of the shapes.
    """

    kind: str
    attributes: dict[str, Any]
    reads: tuple[str, ...]
    results: tuple[str, ...]
    inputs: tuple[Shape | None, ...]
    moving: tuple[bool, ...]
    result: Shape
    macs: int


def operations(graph: ShapedGraph) -> list[Operation]:
    """The nodes that run for every sample, in their order; NetworkError, without the file's name, where their cost depends on the data."""
    value = optional_import("onnx.helper", "networks").get_attribute_value
    nodes = computed(graph.graph, graph.shapes, graph.inputs)
    moving = {*graph.inputs, *(name for node in nodes for name in node.output if name)}
    return [
        Operation(
            kind=node.op_type
            if node.domain in ("", "ai.onnx")
            else f"{node.domain}.{node.op_type}",
            attributes={attribute.name: value(attribute) for attribute in node.attribute},
            reads=tuple(dict.fromkeys(name for name in node.input if name in moving)),
            results=tuple(filter(None, node.output)),
            inputs=tuple(graph.shapes.get(name) for name in node.input),
            moving=tuple(name in moving for name in node.input),
            result=graph.shapes[next(filter(None, node.output))],
            macs=macs(node, graph.shapes) + _recurrent_macs(node, graph.shapes),
        )
        for node in nodes
    ]


def fuse(steps: list[Operation], outputs: set[str]) -> list[list[Operation]]:
    """The operations of each kernel, its layer first; plumbing that nobody took in is left out.

    A layer takes in the pointwise arithmetic behind it as long as one tensor comes out in the end. A convolution or product adds at
    most one tensor from elsewhere (a residual), and only one that is computed before it.
    """
    consumers: dict[str, list[int]] = defaultdict(list)
    for position, step in enumerate(steps):
        for name in step.reads:
            consumers[name].append(position)
    made = {name: position for position, step in enumerate(steps) for name in step.results}
    taken: set[int] = set()
    kernels = []
    for position, step in enumerate(steps):
        if position in taken or step.kind in FREE:
            continue
        members = (
            _grow(position, steps, consumers, made, taken, outputs)
            if step.kind in OPEN
            else [position]
        )
        taken.update(members)
        made.update({name: position for member in members for name in steps[member].results})
        kernels.append([steps[member] for member in members])
    return kernels


def _grow(
    head: int,
    steps: list[Operation],
    consumers: dict[str, list[int]],
    made: dict[str, int],
    taken: set[int],
    outputs: set[str],
) -> list[int]:
    size, multiplies = math.prod(steps[head].result), steps[head].kind in MULTIPLYING
    members, whole, residuals = [head], 1, 0
    inside = {steps[head].results[0]}
    waiting = list(consumers[steps[head].results[0]])
    heapq.heapify(waiting)
    while waiting:
        position = heapq.heappop(waiting)
        step = steps[position]
        if (
            position in taken
            or position in members
            or step.kind not in POINTWISE | FREE
            or len(step.results) > 1
            or math.prod(step.result) != size
        ):
            continue
        outside = [name for name in step.reads if name not in inside]
        if any(made.get(name, -1) > head for name in outside):
            continue
        if (
            multiplies
            and outside
            and (step.kind not in ("Add", "Sum") or residuals + len(outside) > 1)
        ):
            continue
        residuals += len(outside)
        members.append(position)
        inside.add(step.results[0])
        for consumer in consumers[step.results[0]]:
            heapq.heappush(waiting, consumer)
        alive = [
            name
            for name in inside
            if name in outputs or any(consumer not in members for consumer in consumers[name])
        ]
        if alive == [step.results[0]]:
            whole = len(members)
    return members[:whole]


def _recurrent_macs(node: Any, shapes: dict[str, Shape]) -> int:
    """X [steps, batch, features], W [directions, gates * hidden, features], R [directions, gates * hidden, hidden]: both at every step."""
    if node.op_type not in RECURRENT or node.domain not in ("", "ai.onnx"):
        return 0
    x, w, r = (shapes[name] for name in node.input[:3])
    return x[0] * x[1] * (math.prod(w) + math.prod(r))
