"""Small graphs in ONNX files, and why one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.errors import NetworkError
from envs.graph.reading import read_network

helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT


def value(name: str, shape: list[Any] | None, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name: str, *shape: int) -> Any:
    return onnx.numpy_helper.from_array(np.full(shape, 0.1, np.float32), name)


def node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes)


def save(
    folder: Path,
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    weights: tuple[Any, ...] = (),
    opset: int = 17,
    **more: Any,
) -> Path:
    graph = helper.make_graph(nodes, "net", inputs, outputs, initializer=list(weights))
    opsets = [helper.make_opsetid("", opset), *more.pop("domains", [])]
    path = folder / "net.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8, **more).SerializeToString()
    )
    return path


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
    return save(folder, nodes, [value("x", [batch, 3, 8, 8])], [value("y", [batch, 10])], weights)


def refusal(path: Path) -> str:
    with pytest.raises(NetworkError) as caught:
        read_network(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message
