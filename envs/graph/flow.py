"""The order in which a graph's nodes run, and the tensors that are alive between two of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from envs.graph.batch_rules import served_inputs
from envs.graph.cost import needed_nodes, reads
from envs.graph.onnx_file import subgraphs
from envs.optional import optional_import

#: Operators whose results differ from run to run, also without inputs: they run in one place.
_DRAWING = ("Random", "Multinomial", "Bernoulli")


@dataclass(frozen=True)
class Flow:
    """The nodes of a graph in order; N of them depend on the network's inputs.

    Attributes:
        model: a ModelProto without model-local functions.
        nodes: [N] those that depend on the inputs, also through a shape alone.
        constant_nodes: those that depend on weights alone; whoever reads their results can repeat
            them.
        inputs: names of the network's inputs.
        outputs: names of its outputs.
    """

    model: Any
    nodes: list[Any]
    constant_nodes: list[Any]
    inputs: list[str]
    outputs: list[str]

    @cached_property
    def written_at(self) -> dict[str, int]:
        """Return the position of the node that writes each tensor; -1 for the inputs."""
        written = dict.fromkeys(self.inputs, -1)
        return written | {
            name: position
            for position, node in enumerate(self.nodes)
            for name in node.output
            if name
        }

    @cached_property
    def last_read(self) -> dict[str, int]:
        """Return the position of the last node that reads each tensor."""
        return {
            name: position
            for position, node in enumerate(self.nodes)
            for name in reads(node)
            if self.written_at.get(name, position) < position
        }

    @cached_property
    def draws(self) -> bool:
        """Return True if a node draws random numbers, in each run others."""
        return any(_draws(each) for node in self.nodes for each in _within(node))

    @property
    def makes_outputs(self) -> bool:
        """Return True if a node makes each output, so that none is an input or a plain weight."""
        constant = {name for node in self.constant_nodes for name in node.output}
        return all(self.written_at.get(name, -1) >= 0 or name in constant for name in self.outputs)

    def crossing(self, position: int) -> list[str]:
        """Return the tensors made before a position (from 0 to N) that are read from there on."""
        last_read = self.last_read
        return [
            name
            for name, written in self.written_at.items()
            if written < position <= last_read.get(name, -1)
        ]

    def home_of(self, name: str) -> int | None:
        """Return the position of the node that makes a tensor, by itself or in a graph inside it.

        Where a branch took the place of its `If`, names that were not unique have the name of the
        `If` in front. None if there is no such tensor.
        """
        found = self.written_at.get(name)
        return self._inside.get(name) if found is None else found

    @cached_property
    def _inside(self) -> dict[str, int]:
        return {
            name: position
            for position, node in enumerate(self.nodes)
            for inner in subgraphs(node)
            for made in inner.node
            for output in made.output
            for name in (output, f"{node.name or node.output[0]}/{output}")
        }


def flow_of(model: Any) -> Flow:
    """Return the flow of a ModelProto whose nodes are in order, as `open_model` leaves them."""
    if model.functions:
        model = optional_import("onnx.inliner", "networks").inline_local_functions(model)
    inputs = [value.name for value in served_inputs(model)]
    live, nodes, constant = set(inputs), [], []
    for node in needed_nodes(model.graph):
        if not live.isdisjoint(reads(node)) or any(_draws(each) for each in _within(node)):
            live.update(filter(None, node.output))
            nodes.append(node)
        else:
            constant.append(node)
    return Flow(model, nodes, constant, inputs, [value.name for value in model.graph.output])


def _within(node: Any) -> Iterator[Any]:
    yield node
    for inner in subgraphs(node):
        yield from inner.node


def _draws(node: Any) -> bool:
    return str(node.op_type).startswith(_DRAWING)
