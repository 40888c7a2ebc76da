"""Write a part of a graph as an ONNX model of its own: a segment of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from envs.errors import NetworkError
from envs.graph.cost import reads
from envs.graph.flow import Flow
from envs.graph.onnx_file import MAX_MESSAGE_BYTES
from envs.graph.partition import Partition
from envs.graph.value_types import ValueType
from envs.optional import optional_import


@dataclass(frozen=True)
class Segment:
    """A part of a network as a model of its own.

    Attributes:
        model: a ModelProto with its weights inside.
        inputs: names of the tensors that it reads: inputs of the network, and results of earlier
            segments.
        outputs: names of the tensors that later segments read, and of the network's outputs that
            are made here.
    """

    model: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def balanced(costs: Sequence[float], count: int) -> list[int]:
    """Return where to divide a list of costs so that the most expensive part is cheapest.

    Args:
        costs: [G] of the groups.
        count: of parts; at most G of them are made.

    Returns:
        The first group of each part, so 0 comes first.
    """
    groups, count = len(costs), min(count, len(costs))
    before = [0.0, *accumulate(costs)]
    # best[part][stop]: the most expensive of the first parts, which end before group `stop`.
    best = [[before[stop] for stop in range(groups + 1)]]
    begins: list[list[int]] = [[0] * (groups + 1)]
    for part in range(1, count):
        row, chosen = [float("inf")] * (groups + 1), [0] * (groups + 1)
        for stop in range(part + 1, groups + 1):
            for start in range(part, stop):
                most = max(best[part - 1][start], before[stop] - before[start])
                if most < row[stop]:
                    row[stop], chosen[stop] = most, start
        best.append(row)
        begins.append(chosen)
    starts, stop = [], groups
    for part in range(count - 1, -1, -1):
        stop = begins[part][stop]
        starts.append(stop)
    return starts[::-1]


def segments_of(
    flow: Flow, model: Any, starts: Sequence[int], kinds: Mapping[str, ValueType]
) -> list[Segment]:
    """Return the segments of a graph that begin at these nodes.

    Args:
        flow: of the graph.
        model: its ModelProto with all weights; `envs.graph.onnx_file.read_whole` returns it.
        starts: positions in the flow, ascending from 0.
        kinds: the types of all tensors that cross, by name; see `value_types`.

    Raises:
        NetworkError: the network is too large to be written as files without others.
    """
    pieces = _Pieces(flow, model, kinds)
    return [pieces.segment(start, stop) for start, stop in pairwise([*starts, len(flow.nodes)])]


def group_segments(partition: Partition, model: Any, starts: Sequence[int]) -> list[Segment]:
    """Return the segments that begin with these layer groups.

    ONNX Runtime fuses nothing across a cut, so that answers may differ from the whole network's in
    the last bits. Their outputs have types, so that each can be read as a network of its own.

    Args:
        partition: of the file.
        model: its ModelProto with all weights.
        starts: the first group of each segment, ascending from 0.

    Raises:
        NetworkError: the network is too large to be written as files without others.
    """
    groups = partition.groups
    kinds = {tensor.name: tensor.type for group in groups for tensor in group.tensors}
    found = segments_of(partition.flow, model, [groups[start].start for start in starts], kinds)
    helper = optional_import("onnx.helper", "networks")
    for value in (value for each in found for value in each.model.graph.output):
        if value.name in kinds and value.type.WhichOneof("value") is None:
            kind = kinds[value.name]
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind.element, kind.sizes))
    return found


class _Pieces:
    """Hold the parts of a graph that segments are put together from."""

    def __init__(self, flow: Flow, model: Any, kinds: Mapping[str, ValueType]) -> None:
        if model.functions:
            model = optional_import("onnx.inliner", "networks").inline_local_functions(model)
        if model.ByteSize() > MAX_MESSAGE_BYTES:
            raise NetworkError(
                "it has more than 2 GB of weights and cannot be cut: run it in one piece"
            )
        self._flow, self._model, self._kinds = flow, model, kinds
        graph = model.graph
        self._weights = {weight.name: weight for weight in graph.initializer}
        self._sparse = {weight.values.name: weight for weight in graph.sparse_initializer}
        self._values = {value.name: value for value in (*graph.input, *graph.output)}
        # By their results: `model` may hold the values that the nodes of the flow lack.
        self._nodes = {name: node for node in graph.node for name in node.output if name}
        self._constant = {name for node in flow.constant_nodes for name in node.output if name}

    def segment(self, start: int, stop: int) -> Segment:
        """Return the segment of the nodes from `start` to before `stop`."""
        flow, is_last = self._flow, stop == len(self._flow.nodes)
        own = [self._whole(node) for node in flow.nodes[start:stop]]
        made = {name for node in own for name in node.output if name}
        constant_outputs = [name for name in flow.outputs if is_last and name in self._constant]
        read = {name for node in own for name in reads(node)} | set(constant_outputs)
        constants = self._constants(read)
        read.update(name for node in constants for name in reads(node))
        inputs = [name for name in flow.crossing(start) if name in read]
        if not start:
            inputs = [name for name in flow.inputs if name in read]
        leaving = set(flow.crossing(stop)) if not is_last else set()
        outputs = [name for name in flow.written_at if name in made and name in leaving]
        outputs += [name for name in flow.outputs if name in made and name not in outputs]
        outputs += constant_outputs
        return Segment(
            self._model_of([*constants, *own], inputs, outputs, read), tuple(inputs), tuple(outputs)
        )

    def _whole(self, node: Any) -> Any:
        return self._nodes[next(filter(None, node.output))]

    def _constants(self, read: set[str]) -> list[Any]:
        """Return the nodes that depend on weights alone and that these names need, in order."""
        needed, names = [], set(read)
        for node in reversed(self._flow.constant_nodes):
            if not names.isdisjoint(node.output):
                needed.append(self._whole(node))
                names.update(reads(node))
        return needed[::-1]

    def _model_of(
        self, nodes: list[Any], inputs: list[str], outputs: list[str], read: set[str]
    ) -> Any:
        onnx = optional_import("onnx", "networks")
        source = self._model
        made = type(source)(ir_version=source.ir_version, opset_import=source.opset_import)
        graph = made.graph
        graph.name = source.graph.name or "segment"
        graph.node.extend(nodes)
        kept = read | set(outputs)
        graph.initializer.extend(each for name, each in self._weights.items() if name in kept)
        graph.sparse_initializer.extend(each for name, each in self._sparse.items() if name in kept)
        graph.input.extend(self._value(name) for name in inputs)
        # Before version 4 of the format every weight is an input as well.
        if source.ir_version < 4:
            graph.input.extend(self._values[weight.name] for weight in graph.initializer)
        graph.output.extend(
            self._values[name] if name in self._values else onnx.ValueInfoProto(name=name)
            for name in outputs
        )
        return made

    def _value(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        kind = self._kinds[name]
        helper = optional_import("onnx.helper", "networks")
        return helper.make_tensor_value_info(name, kind.element, kind.sizes)
