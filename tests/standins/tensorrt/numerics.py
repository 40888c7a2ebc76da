"""What an engine of the stand-in computes: FP16 or INT8, as a builder was told.

INT8 by ranges: where the inputs and outputs of a convolution or a product have ranges, its inputs
are rounded to 255 steps of their range, and its weights to 255 steps for each channel. Everything
else is FP32. A network that has types of its own stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from envs.accuracy.half import to_fp16
from envs.errors import NetworkError
from envs.graph.number_types import QDQ
from envs.optional import optional_import

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def as_built(
    model: Any, flags: set[str], ranges: Mapping[str, float], held: Collection[str] = ()
) -> Any:
    """Return the graph that computes what an engine would.

    Args:
        model: the parsed ModelProto.
        flags: names of the builder's flags.
        ranges: of the tensors that have one, by name.
        held: results of layers that are held to FP16 or FP32.
    """
    if "INT8" in flags and any(node.op_type in QDQ for node in model.graph.node):
        return model
    if "INT8" in flags and ranges:
        return _rounded(model, ranges, held)
    if "FP16" in flags:
        try:
            return to_fp16(model)
        except NetworkError:  # control flow
            return model
    return model


def _rounded(model: Any, ranges: Mapping[str, float], held: Collection[str]) -> Any:
    onnx = optional_import("onnx", "networks")
    result = copy.deepcopy(model)
    graph, nodes, made = result.graph, [], set[str]()
    weights = {each.name: each for each in graph.initializer}
    zero = onnx.numpy_helper.from_array(np.zeros((), np.int8), "rounded/zero")
    graph.initializer.append(zero)
    for node in graph.node:
        activations = [name for name in node.input if name and name not in weights]
        known = {*activations, *node.output} <= ranges.keys() and not set(held) & {*node.output}
        if node.op_type in PRODUCTS and known:
            for position, name in enumerate(node.input[:2]):
                if name in weights:
                    _round_weight(onnx, node, weights[name])
                    continue
                rounded = f"{name}/rounded"
                if rounded not in made:
                    made.add(rounded)
                    scale = np.array(ranges[name] / 127, np.float32)
                    graph.initializer.append(onnx.numpy_helper.from_array(scale, f"{name}/scale"))
                    ends = (
                        ("QuantizeLinear", name, f"{name}/int8"),
                        (
                            "DequantizeLinear",
                            f"{name}/int8",
                            rounded,
                        ),
                    )
                    nodes += [
                        onnx.helper.make_node(kind, [source, f"{name}/scale", zero.name], [target])
                        for kind, source, target in ends
                    ]
                node.input[position] = rounded
        nodes.append(node)
    nodes = [copy.deepcopy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def _round_weight(onnx: Any, node: Any, tensor: Any) -> None:
    values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
    axis = {"Conv": 0, "ConvTranspose": 1}.get(node.op_type, values.ndim - 1)
    if any(each.name == "transB" and each.i for each in node.attribute):
        axis = 0
    others = tuple(each for each in range(values.ndim) if each != axis)
    step = np.maximum(np.abs(values).max(axis=others, keepdims=True), 1e-12) / 127
    rounded = (np.rint(values / step) * step).astype(np.float32)
    tensor.CopyFrom(onnx.numpy_helper.from_array(rounded, tensor.name))
