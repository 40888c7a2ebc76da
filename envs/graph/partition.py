"""Layer groups: the parts that a network may be cut into, and the tensors that cross the cuts.

A cut lies between two nodes. No kernel of `fusion` is on both sides, so that the groups' layers
together are the network's. Cuts that one tensor crosses are all taken; ones that more tensors cross
only divide a stretch that would be a large share of the network otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from envs.arrays import FloatArray
from envs.graph.flow import Flow, flow_of
from envs.graph.folding import LoadingError
from envs.graph.fusion import fuse, operations
from envs.graph.layer_table import LayerTable, part_of
from envs.graph.layers import table_of
from envs.graph.onnx_file import network_name, open_model
from envs.graph.reading import read_graph
from envs.graph.shapes import ShapedGraph, file_in_errors
from envs.graph.value_types import ValueType, value_types

#: Most tensors that cross a cut.
MAX_TENSORS = 3

#: A stretch without a cut that one tensor crosses is divided while it is a larger share of the
#: network's cost.
LARGE_SHARE = 1 / 16

#: Multiply-accumulates that a processor's core does while it moves an FP32 number from or to
#: memory: about 40 a nanosecond (two vector units of eight lanes at 2.5 GHz) against 10 bytes. It
#: only weighs layers against each other.
MACS_PER_ELEMENT = 16


@dataclass(frozen=True)
class CrossingTensor:
    """A tensor that one part of a network hands to a later one.

    Attributes:
        name: in the ONNX graph.
        shape: at a batch of the network's fixed size, or of 1.
        type: of its elements, with its sizes as far as ONNX Runtime knows them for any batch.
        bytes_per_sample: its size for one sample.
    """

    name: str
    shape: tuple[int, ...]
    type: ValueType
    bytes_per_sample: float


@dataclass(frozen=True)
class LayerGroup:
    """A part of a network between two cuts.

    Attributes:
        start, stop: positions of its nodes in the flow; `stop` is the first one behind it.
        tensors: those that cross its beginning, also on their way to later groups; of the first
            group the network's inputs.
        layers: its layers. Their `inputs` and `outputs` are the elements for one sample that cross
            its beginning, and its end or leave the network here.
    """

    start: int
    stop: int
    tensors: tuple[CrossingTensor, ...]
    layers: LayerTable

    @property
    def bytes_in(self) -> float:
        """Return the bytes for one sample that cross the beginning of the group."""
        return sum(tensor.bytes_per_sample for tensor in self.tensors)

    @property
    def cost(self) -> float:
        """Return its cost in multiply-accumulates; see `layer_costs`."""
        return float(layer_costs(self.layers).sum())


@dataclass(frozen=True)
class Partition:
    """The layer groups of an ONNX file, in the order in which they run.

    Attributes:
        flow: the nodes of the file; large weights in other files stay there.
        groups: at least one.
    """

    flow: Flow
    groups: tuple[LayerGroup, ...]


def partition_of(path: str | Path, max_tensors: int = MAX_TENSORS) -> Partition:
    """Return the layer groups of the ONNX file in `path`.

    A network that cannot be cut has one group, and so has one that draws random numbers.

    Args:
        path: the file.
        max_tensors: how many tensors may cross a cut.

    Raises:
        NetworkError: as `read_network_and_layers`.
        DependencyError: onnx or onnxruntime is not installed.
    """
    path = Path(path)
    graph, _ = read_graph(path)
    flow = flow_of(open_model(path)[0])
    with file_in_errors(path):
        return partition_graph(flow, graph, network_name(path), max_tensors)


def partition_graph(
    flow: Flow, graph: ShapedGraph, name: str, max_tensors: int = MAX_TENSORS
) -> Partition:
    """Return the layer groups of a graph, whose weights may lack their values.

    Args:
        flow: its nodes in order.
        graph: the same with its shapes.
        name: of the network.
        max_tensors: how many tensors may cross a cut.

    Raises:
        NetworkError: as `table_of`.
        DependencyError: onnx or onnxruntime is not installed.
    """
    table = table_of(graph, name)
    possible = _possible_cuts(flow, graph, max_tensors)
    inputs = _cut(0, 0, flow, graph, _types(flow, flow.inputs))
    first = inputs or Cut(0, 0, ())
    cuts = [first, *_chosen(possible, layer_costs(table)), Cut(len(flow.nodes), len(table), ())]
    groups = [_group(flow, graph, table, *pair) for pair in pairwise(cuts)]
    return Partition(flow, tuple(groups))


def layer_costs(table: LayerTable) -> FloatArray:
    """Return the cost of each layer [L] in multiply-accumulates, those of moving numbers included.

    It weighs layers against each other on a processor; it is no time.
    """
    moved = table.reads + table.writes + table.weights
    return np.asarray(table.macs + MACS_PER_ELEMENT * moved, dtype=np.float64)


@dataclass(frozen=True)
class Cut:
    """A place between two nodes.

    Attributes:
        position: of the first node behind it.
        layers: the number of layers before it.
        tensors: those that cross it.
    """

    position: int
    layers: int
    tensors: tuple[CrossingTensor, ...]


def _possible_cuts(flow: Flow, graph: ShapedGraph, max_tensors: int) -> list[Cut]:
    """Return the cuts with a layer on either side, at most one for each number of layers before it.

    Between two layers lie nodes that compute nothing, and as many places: the one that fewest
    tensors and bytes cross is taken.
    """
    if flow.draws:
        return []  # a part may draw other numbers than the whole: by its place, or by its seed
    steps = operations(graph)
    kernels = fuse(steps, {output.name for output in graph.graph.output})
    spans = [[flow.home_of(name) for step in kernel for name in step.outputs] for kernel in kernels]
    if any(position is None for span in spans for position in span):
        return []  # the file's nodes are not those that run: nobody knows where to cut
    ranges = [
        (min(known), max(known))
        for known in ([each for each in span if each is not None] for span in spans)
    ]
    count = len(flow.nodes)
    if not flow.makes_outputs or ranges != sorted(ranges):
        return []
    inside = {at for first, last in ranges for at in range(first + 1, last + 1)}
    crossing = {
        position: names
        for position in range(1, count)
        if position not in inside and len(names := flow.crossing(position)) <= max_tensors
    }
    types = _types(flow, [name for names in crossing.values() for name in names])
    best: dict[int, Cut] = {}
    for position in crossing:
        before = sum(last < position for _, last in ranges)
        cut = _cut(position, before, flow, graph, types)
        if cut is None or not 0 < before < len(ranges):
            continue
        if before not in best or _size(cut) < _size(best[before]):
            best[before] = cut
    return [best[before] for before in sorted(best)]


def _size(cut: Cut) -> tuple[int, float]:
    return len(cut.tensors), sum(tensor.bytes_per_sample for tensor in cut.tensors)


def _types(flow: Flow, names: Sequence[str]) -> dict[str, ValueType]:
    try:
        return value_types(flow.model, list(dict.fromkeys(names)))
    except LoadingError:  # nothing is known, so that nothing is cut
        return {}


def _cut(
    position: int, layers: int, flow: Flow, graph: ShapedGraph, types: dict[str, ValueType]
) -> Cut | None:
    """Return a cut, or None if the type or size of a tensor that crosses is unknown."""
    tensors = []
    for name in flow.crossing(position):
        kind = types.get(name)
        shape = graph.shapes.get(name, kind.known_shape if kind else None)
        if kind is None or shape is None:
            return None
        size = math.prod(shape) * kind.dtype.itemsize
        tensors.append(CrossingTensor(name, shape, kind, size / graph.samples))
    return Cut(position, layers, tuple(tensors))


def _chosen(cuts: list[Cut], costs: FloatArray) -> list[Cut]:
    """Return all cuts that one tensor crosses, and those that divide what is large between them."""
    before = np.concatenate([[0.0], np.cumsum(costs)])
    chosen = [cut for cut in cuts if len(cut.tensors) <= 1]
    ends = [0, *(cut.layers for cut in chosen), len(costs)]
    open_stretches = list(pairwise(ends))
    while open_stretches:
        start, stop = open_stretches.pop()
        inner = [cut for cut in cuts if start < cut.layers < stop]
        if not inner or before[stop] - before[start] <= LARGE_SHARE * before[-1]:
            continue
        middle = (before[start] + before[stop]) / 2
        fewest = min(len(cut.tensors) for cut in inner)
        best = min(
            (cut for cut in inner if len(cut.tensors) == fewest),
            key=lambda cut: abs(float(before[cut.layers] - middle)),
        )
        chosen.append(best)
        open_stretches += [(start, best.layers), (best.layers, stop)]
    return sorted(chosen, key=lambda cut: cut.layers)


def _group(flow: Flow, graph: ShapedGraph, table: LayerTable, cut: Cut, end: Cut) -> LayerGroup:
    names = {tensor.name for tensor in end.tensors}
    made = {name for node in flow.nodes[cut.position : end.position] for name in node.output}
    leaving = names | (made & set(flow.outputs))
    if end.position == len(flow.nodes):
        leaving |= set(flow.outputs) - flow.written_at.keys()
    sizes = {tensor.name: math.prod(tensor.shape) for tensor in end.tensors}
    layers = replace(
        part_of(table, cut.layers, end.layers),
        inputs=sum(math.prod(tensor.shape) for tensor in cut.tensors) / graph.samples,
        outputs=sum(sizes.get(name) or math.prod(graph.shapes[name]) for name in leaving)
        / graph.samples,
    )
    return LayerGroup(cut.position, end.position, cut.tensors, layers)
