"""Networks of every number type as files: FP32, FP16, BF16, a mixture, and quantised ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

KINDS = {
    "float32": (TensorProto.FLOAT, np.dtype(np.float32)),
    "float16": (TensorProto.FLOAT16, np.dtype(np.float16)),
    "bfloat16": (TensorProto.BFLOAT16, np.dtype(ml_dtypes.bfloat16)),
}

NODE = helper.make_node

ZERO = np.int8(0)


def write_typed(path: Path, kind: str = "float32", opset: int = 17, ir: int = 8) -> Path:
    """Write a convolution, a pool and a classifier; up to IR 3 the weights are inputs as well."""
    element, dtype = KINDS[kind]
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array((rng.standard_normal(shape) / 5).astype(dtype), name)
        for name, shape in (("w", (8, 3, 3, 3)), ("v", (8, 10)))
    ]
    nodes = [
        NODE("Conv", ["picture", "w"], ["c"], pads=[1, 1, 1, 1]),
        NODE("Relu", ["c"], ["r"]),
        NODE("GlobalAveragePool", ["r"], ["p"]),
        NODE("Flatten", ["p"], ["f"]),
        NODE("MatMul", ["f", "v"], ["logits"]),
    ]
    return _save(path, nodes, weights, element, opset, ir)


def write_mixed(path: Path, half: int = TensorProto.FLOAT16) -> Path:
    """Write an FP32 network of which one operator computes in FP16 or BF16."""
    weights = [
        numpy_helper.from_array(np.ones((8, 3, 1, 1), np.float32), "w"),
        numpy_helper.from_array(np.ones((8, 10), np.float32), "v"),
    ]
    nodes = [
        NODE("Conv", ["picture", "w"], ["c"]),
        NODE("Cast", ["c"], ["h"], to=half),
        NODE("Relu", ["h"], ["r"]),
        NODE("Cast", ["r"], ["s"], to=TensorProto.FLOAT),
        NODE("GlobalAveragePool", ["s"], ["p"]),
        NODE("Flatten", ["p"], ["f"]),
        NODE("MatMul", ["f", "v"], ["logits"]),
    ]
    return _save(path, nodes, weights)


def write_qdq(path: Path, point: Any = ZERO) -> Path:
    """Write a network that somebody quantised: Q and DQ before a convolution, DQ at its weight."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(np.float32(0.03), "s"),
        numpy_helper.from_array(np.asarray(point), "z"),
        numpy_helper.from_array(np.float32(0.01), "sw"),
        numpy_helper.from_array(np.int8(0), "zw"),
        numpy_helper.from_array(rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8), "w"),
        numpy_helper.from_array(rng.standard_normal((8, 10)).astype(np.float32), "v"),
    ]
    nodes = [
        NODE("QuantizeLinear", ["picture", "s", "z"], ["q"]),
        NODE("DequantizeLinear", ["q", "s", "z"], ["d"]),
        NODE("DequantizeLinear", ["w", "sw", "zw"], ["dw"]),
        NODE("Conv", ["d", "dw"], ["c"], pads=[1, 1, 1, 1]),
        NODE("Relu", ["c"], ["r"]),
        NODE("GlobalAveragePool", ["r"], ["p"]),
        NODE("Flatten", ["p"], ["f"]),
        NODE("MatMul", ["f", "v"], ["logits"]),
    ]
    return _save(path, nodes, weights)


def write_integer(path: Path) -> Path:
    """Write a network of QLinearConv, as ONNX Runtime's QOperator format has it."""
    weights = [
        numpy_helper.from_array(np.float32(0.03), "s"),
        numpy_helper.from_array(np.uint8(128), "z"),
        numpy_helper.from_array(np.ones((8, 3, 1, 1), np.int8), "w"),
        numpy_helper.from_array(np.int8(0), "zw"),
        numpy_helper.from_array(np.ones((8, 10), np.float32), "v"),
    ]
    nodes = [
        NODE("QuantizeLinear", ["picture", "s", "z"], ["q"]),
        NODE("QLinearConv", ["q", "s", "z", "w", "s", "zw", "s", "z"], ["c"]),
        NODE("DequantizeLinear", ["c", "s", "z"], ["r"]),
        NODE("GlobalAveragePool", ["r"], ["p"]),
        NODE("Flatten", ["p"], ["f"]),
        NODE("MatMul", ["f", "v"], ["logits"]),
    ]
    return _save(path, nodes, weights)


def _save(
    path: Path,
    nodes: list[Any],
    weights: list[Any],
    element: int = TensorProto.FLOAT,
    opset: int = 17,
    ir: int = 8,
) -> Path:
    first = helper.make_tensor_value_info("picture", element, ["n", 3, 8, 8])
    last = helper.make_tensor_value_info("logits", element, ["n", 10])
    listed = [
        helper.make_tensor_value_info(each.name, each.data_type, each.dims)
        for each in (weights if ir <= 3 else [])
    ]
    graph = helper.make_graph(nodes, "g", [first, *listed], [last], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
