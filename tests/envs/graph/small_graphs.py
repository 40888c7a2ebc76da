"""Small graphs in ONNX files, and why one is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.errors import NetworkError
from envs.graph.reading import read_network

FLOAT = TensorProto.FLOAT
RNG = np.random.default_rng(0)


def held(name: str, *shape: int) -> Any:
    return numpy_helper.from_array(RNG.normal(size=shape).astype(np.float32), name)


def whole(name: str, numbers: list[int]) -> Any:
    return numpy_helper.from_array(np.asarray(numbers, np.int64), name)


def weight(name: str, *shape: int) -> Any:
    return numpy_helper.from_array(np.full(shape, 0.1, np.float32), name)


def tensor(name: str, shape: list[Any] | None, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    """Return a node that is named after its output."""
    return helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes)


def saved(
    path: Path,
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    weights: Sequence[Any],
    *,
    opset: int = 13,
    domains: Sequence[Any] = (),
    ir: int = 8,
    **more: Any,
) -> Path:
    graph = helper.make_graph(nodes, "net", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", opset), *domains]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir, **more)
    path.write_bytes(model.SerializeToString())
    return path


def save(
    folder: Path,
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    weights: Sequence[Any] = (),
    opset: int = 17,
    **more: Any,
) -> Path:
    return saved(folder / "net.onnx", nodes, inputs, outputs, weights, opset=opset, **more)


def small(folder: Path, batch: Any = "batch") -> Path:
    """Conv [4, 3, 3, 3] on 8 x 8 pixels, Relu, Flatten, Gemm [10, 256]."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("Flatten", ["b"], ["c"]),
        node("Gemm", ["c", "v"], ["y"], transB=1),
        node("Relu", ["unused_source"], ["unused"]),
    ]
    weights = (weight("w", 4, 3, 3, 3), weight("v", 10, 256), weight("unused_source", 1000))
    return save(folder, nodes, [tensor("x", [batch, 3, 8, 8])], [tensor("y", [batch, 10])], weights)


def runs(path: Path, rows: int = 3) -> None:
    """ONNX Runtime runs the file with a free batch, and the shapes are those that were read."""
    network = read_network(path)
    assert network.fixed_batch is None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {each.name: np.ones((rows, *each.shape), each.dtype) for each in network.inputs}
    for spec, output in zip(network.outputs, session.run(None, feed), strict=True):
        assert output.shape == (rows, *spec.shape)
        assert output.dtype == spec.dtype


def refusal(path: Path) -> str:
    """Return the sentence that refuses a file; it names the file."""
    with pytest.raises(NetworkError) as caught:
        read_network(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def reason_of(path: Path) -> str:
    """Return why a file is refused, behind its path."""
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")
