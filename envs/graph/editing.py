"""Changes of an ONNX graph."""

from typing import Any


def rename(graph: Any, old: str, new: str, outputs: bool = True) -> None:
    """Rename a tensor where nodes read it, and where it is made unless `outputs` is False."""
    for weight in graph.initializer if outputs else ():
        if weight.name == old:
            weight.name = new
    for node in graph.node:
        for names in (node.input, node.output) if outputs else (node.input,):
            for position, name in enumerate(names):
                if name == old:
                    names[position] = new
