"""Small random graphs for property tests: branches, residuals, several inputs and outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.envs.accuracy.graphs import model, node, random

#: Operators of one tensor, and of two; all keep the shape [n, 4, 6, 6].
ONE = ("Relu", "Sigmoid", "MaxPool", "AveragePool", "Conv", "BatchNormalization", "ByShape")
TWO = ("Add", "Mul", "Concat")


@st.composite
def graphs(draw: Any) -> Any:
    """Return a ModelProto whose nodes read any earlier tensors."""
    inputs = [f"x{at}" for at in range(draw(st.integers(1, 2)))]
    tensors, nodes = list(inputs), []
    weights: dict[str, Any] = {"scale": np.ones(4, np.float32), "mean": random(4, seed=3)}
    for at in range(draw(st.integers(2, 12))):
        # A graph that computes nothing is refused.
        kind, name = draw(st.sampled_from(ONE + TWO)) if at else "Relu", f"t{at}"
        # The last tensors more often, so that graphs become deep.
        first = draw(st.sampled_from([*tensors, tensors[-1], tensors[-1], tensors[-1]]))
        other = draw(st.sampled_from(tensors))
        if kind == "Conv":
            weights[f"w{at}"] = random(4, 4, 3, 3, seed=at, scale=0.2)
            nodes.append(node(kind, f"{first} w{at}", name, pads=[1, 1, 1, 1]))
        elif kind in ("MaxPool", "AveragePool"):
            nodes.append(node(kind, first, name, kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
        elif kind == "BatchNormalization":
            nodes.append(node(kind, f"{first} scale mean mean scale", name))
        elif kind == "ByShape":  # a shape that another node reads
            nodes += [node("Shape", other, f"s{at}"), node("Reshape", f"{first} s{at}", name)]
        elif kind == "Concat":
            weights[f"w{at}"] = random(4, 8, 1, 1, seed=at, scale=0.3)
            nodes.append(node(kind, f"{first} {other}", f"c{at}", axis=1))
            nodes.append(node("Conv", f"c{at} w{at}", name))
        else:
            nodes.append(node(kind, f"{first} {other}" if kind in TWO else first, name))
        tensors.append(name)
    made = [name for name in tensors if name not in inputs]
    more = draw(st.lists(st.sampled_from(made), max_size=1))
    outputs = list(dict.fromkeys([made[-1], *more]))
    read = {name for each in nodes for name in each.input}
    # What nobody reads comes together in the last output.
    loose = [name for name in (*inputs, *made) if name not in read and name not in outputs]
    if loose:
        nodes.append(node("Sum", " ".join([outputs[0], *loose]), "last"))
        outputs[0] = "last"
    size = ["n", 4, 6, 6]
    return model(nodes, dict.fromkeys(inputs, size), dict.fromkeys(outputs, size), weights)
