"""Group the nodes of a graph into the kernels that an inference engine runs.

A kernel is a layer with the elementwise arithmetic behind it.
"""

import heapq
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from envs.graph.cost import MULTIPLYING, RECURRENT, SHAPE_ONLY, computed_nodes, macs
from envs.graph.equivalents import plain
from envs.graph.shapes import ShapedGraph
from envs.optional import optional_import

Shape = tuple[int, ...]

#: Operators that move no data of their own: they rename a tensor, or are folded into the kernel
#: that writes or reads it.
FREE = SHAPE_ONLY | frozenset(
    ["Transpose", "Concat", "Split", "Slice", "Cast", "Pad", "QuantizeLinear", "DequantizeLinear"]
)

#: Elementwise arithmetic, which the kernel before it does while the element is in a register.
POINTWISE = frozenset(
    [
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
    ]
)

NORMALIZING = frozenset({"LayerNormalization", "InstanceNormalization", "GroupNormalization"})

#: Operators that fuse with the pointwise arithmetic behind them; pools and all others write first.
FUSING = MULTIPLYING | POINTWISE | NORMALIZING


@dataclass(frozen=True)
class Operation:
    """One node with its shapes; the batch is the first axis.

    Attributes:
        op_type: the operator, with its domain if that is not ONNX's own.
        attributes: values of its attributes by name.
        reads: names of the activations that it reads, each once.
        outputs: names of the tensors that it writes.
        input_shapes: shapes of all inputs in order; None if an input is left out or unknown.
        is_activation: for each input, True if it depends on the network's input, else a weight.
        output_shape: shape of the first output.
        macs: multiply-accumulates at the batch of the shapes.
        foreign: True if it stands for a quantised or fused operator of ONNX Runtime's own.
    """

    op_type: str
    attributes: dict[str, Any]
    reads: tuple[str, ...]
    outputs: tuple[str, ...]
    input_shapes: tuple[Shape | None, ...]
    is_activation: tuple[bool, ...]
    output_shape: Shape
    macs: int
    foreign: bool = False

    def shape_of(self, position: int) -> Shape:
        """Return the shape of an input; () if it is unknown."""
        return self.input_shapes[position] or ()


def operations(graph: ShapedGraph) -> list[Operation]:
    """Return the nodes that run for every sample, in order.

    Raises:
        NetworkError: their cost depends on the data. The caller adds the file's name.
    """
    value = optional_import("onnx.helper", "networks").get_attribute_value
    nodes = computed_nodes(graph.graph, graph.inputs)
    activations = {*graph.inputs, *(name for node in nodes for name in node.output if name)}
    steps = []
    for node in nodes:
        simple = plain(node)
        steps.append(
            Operation(
                op_type=_full_op_type(simple),
                attributes={attribute.name: value(attribute) for attribute in simple.attribute},
                reads=tuple(dict.fromkeys(name for name in node.input if name in activations)),
                outputs=tuple(filter(None, node.output)),
                input_shapes=tuple(graph.shapes.get(name) for name in simple.input),
                is_activation=tuple(name in activations for name in simple.input),
                output_shape=graph.shapes[next(filter(None, node.output))],
                macs=macs(node, graph.shapes) + _recurrent_macs(node, graph.shapes),
                foreign=simple is not node,
            )
        )
    return steps


def _full_op_type(node: Any) -> str:
    is_standard = node.domain in ("", "ai.onnx")
    return str(node.op_type if is_standard else f"{node.domain}.{node.op_type}")


def fuse(steps: list[Operation], outputs: set[str]) -> list[list[Operation]]:
    """Return the operations of each kernel, its layer first.

    A layer takes in the pointwise arithmetic behind it as long as the kernel ends in one tensor. A
    convolution or product adds at most one tensor from elsewhere (a residual), and only one that is
    computed before it. Free operations that no kernel took in are left out.

    Args:
        steps: all operations, in order.
        outputs: names of the network's outputs.
    """
    consumers: dict[str, list[int]] = defaultdict(list)
    for position, step in enumerate(steps):
        for name in step.reads:
            consumers[name].append(position)
    written_at = {name: position for position, step in enumerate(steps) for name in step.outputs}
    fused: set[int] = set()
    kernels = []
    for position, step in enumerate(steps):
        if position in fused or step.op_type in FREE:
            continue
        members = [position]
        if step.op_type in FUSING:
            members = _grow(position, steps, consumers, written_at, fused, outputs)
        fused.update(members)
        written_at |= {name: position for member in members for name in steps[member].outputs}
        kernels.append([steps[member] for member in members])
    return kernels


def _grow(
    head: int,
    steps: list[Operation],
    consumers: dict[str, list[int]],
    written_at: dict[str, int],
    fused: set[int],
    outputs: set[str],
) -> list[int]:
    first = steps[head].outputs[0]
    size, multiplies = math.prod(steps[head].output_shape), steps[head].op_type in MULTIPLYING
    members, complete, residuals = [head], 1, 0
    inside = {first}
    candidates = list(consumers[first])
    heapq.heapify(candidates)
    while candidates:
        position = heapq.heappop(candidates)
        step = steps[position]
        if (
            position in fused
            or position in members
            or step.op_type not in POINTWISE | FREE
            or len(step.outputs) > 1
            or math.prod(step.output_shape) != size
        ):
            continue
        outside = [name for name in step.reads if name not in inside]
        if any(written_at.get(name, -1) > head for name in outside):
            continue
        is_sum = step.op_type in ("Add", "Sum") and residuals + len(outside) <= 1
        if multiplies and outside and not is_sum:
            continue
        residuals += len(outside)
        members.append(position)
        inside.add(step.outputs[0])
        for consumer in consumers[step.outputs[0]]:
            heapq.heappush(candidates, consumer)
        alive = [
            name
            for name in inside
            if name in outputs or any(consumer not in members for consumer in consumers[name])
        ]
        if alive == [step.outputs[0]]:
            complete = len(members)
    return members[:complete]


def _recurrent_macs(node: Any, shapes: dict[str, Shape]) -> int:
    """Return the multiply-accumulates of a recurrent node; 0 for others.

    Its inputs are X [steps, batch, features], W [directions, gates * hidden, features] and
    R [directions, gates * hidden, hidden]; every step multiplies by W and R.
    """
    if node.op_type not in RECURRENT or node.domain not in ("", "ai.onnx"):
        return 0
    x, w, r = (shapes[name] for name in node.input[:3])
    return x[0] * x[1] * (math.prod(w) + math.prod(r))
