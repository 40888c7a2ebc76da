"""Small ONNX networks for tests of answers: built by hand, or trained on scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from envs.accuracy.samples import Samples
from envs.graph.reading import read_network
from envs.spec import Network, TensorSpec

FLOAT = TensorProto.FLOAT

Ends = Mapping[str, Sequence[Any]]


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """Return a node; names are separated by spaces."""
    return helper.make_node(
        operator, inputs.split(), outputs.split(), name=f"{operator}_{outputs}", **attributes
    )


def model(
    nodes: Sequence[Any],
    inputs: Ends,
    outputs: Ends,
    weights: Mapping[str, Any] | None = None,
    opset: int = 17,
    ir: int = 8,
    kinds: Mapping[str, int] | None = None,
    weights_are_inputs: bool = False,
) -> Any:
    """Return a ModelProto; `kinds` has the types of ends that are not float."""
    kinds = kinds or {}
    tensors = [
        numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()
    ]

    def values(ends: Ends) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, kinds.get(name, FLOAT), shape)
            for name, shape in ends.items()
        ]

    more = [
        helper.make_tensor_value_info(each.name, each.data_type, each.dims)
        for each in tensors
        if weights_are_inputs
    ]
    graph = helper.make_graph(
        nodes, "net", [*values(inputs), *more], values(outputs), initializer=tensors
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def saved(folder: Path, made: Any, name: str = "net") -> tuple[Path, Network]:
    """Return the file of a model and its description."""
    path = folder / f"{name}.onnx"
    onnx.save(made, str(path))
    return path, read_network(path)


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> Any:
    """Return normal numbers."""
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def network(*inputs: TensorSpec, fixed_batch: int | None = None) -> Network:
    """Return the description of a network that is not there."""
    return Network("net", "0" * 64, 1000, 100, 100, 1, inputs, (), fixed_batch)


def given(**arrays: Any) -> Samples:
    """Return samples as a user gives them."""
    made = {name: np.asarray(each) for name, each in arrays.items()}
    return Samples(made, "given.npz", len(next(iter(made.values()))))


def convolution(opset: int = 17, ir: int = 8, **options: Any) -> Any:
    """Return Conv, Relu, GlobalAveragePool, Flatten, Gemm: a classifier of [3, 8, 8] pictures."""
    return model(
        [
            node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
            node("Relu", "c", "r"),
            node("GlobalAveragePool", "r", "p"),
            node("Flatten", "p", "f"),
            node("Gemm", "f v b", "y"),
        ],
        {"x": ["n", 3, 8, 8]},
        {"y": ["n", 5]},
        {"w": random(8, 3, 3, 3), "v": random(8, 5, seed=1), "b": random(5, seed=2)},
        opset,
        ir,
        **options,
    )


def npz(path: Path, **arrays: Any) -> Path:
    """Write arrays to a file and return it."""
    np.savez(path, **arrays)
    return path
