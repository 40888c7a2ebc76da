"""Graphs of an attacker in ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

DEFAULT, LOCAL = helper.make_opsetid("", 17), helper.make_opsetid("local", 1)
SHAPE = ["n", 16]


def value(name: str, shape: list[Any] | None = None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, SHAPE if shape is None else shape)


def saved(
    path: Path,
    nodes: list[Any],
    weights: list[Any] | None = None,
    shape: list[Any] | None = None,
    **more: Any,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", shape)],
        [value("y", shape)],
        weights or [],
        sparse_initializer=more.pop("sparse", None),
    )
    opsets = [DEFAULT, *(helper.make_opsetid(domain, 1) for domain in more.pop("domains", []))]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8, **more).SerializeToString()
    )
    return path
