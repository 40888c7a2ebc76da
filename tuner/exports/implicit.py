"""Quantised files as a DLA takes them before TensorRT 11: without Q and DQ nodes, with a cache.

Sources: NVIDIA/Model-Optimizer, pull request 1661 (DLAs take scales of a calibration cache alone,
and leave Q and DQ nodes to the GPU); NVIDIA/Deep-Learning-Accelerator-SW, tools/qdq-translator
(the same translation).
"""

import copy
from typing import Any

import numpy as np

from envs.accuracy.half import rename
from envs.graph.number_types import QDQ
from envs.graph.onnx_file import graphs
from envs.optional import optional_import


def without_qdq(model: Any) -> Any | None:
    """Return a copy of a quantised ModelProto in floating point; None if it has none.

    A tensor between Q and DQ becomes the tensor before Q, and a weight behind DQ is calculated. A
    graph that does anything else with quantised numbers has no such copy.
    """
    plain = copy.deepcopy(model)
    graph = plain.graph
    if len(list(graphs(graph))) > 1 or plain.functions:
        return None
    weights = {weight.name: weight for weight in graph.initializer}
    sources = {
        node.output[0]: node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"
    }
    dequantising = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    if any(
        name in sources for node in graph.node if node.op_type not in QDQ for name in node.input
    ):
        return None
    kept = [node for node in graph.node if node.op_type not in QDQ]
    for node in dequantising:
        if node.input[0] not in sources:
            value = _dequantised(node, weights)
            if value is None:
                return None
            graph.initializer.append(value)
    del graph.node[:]
    graph.node.extend(kept)
    outputs = {output.name for output in graph.output}
    fixed = outputs | {value.name for value in graph.input}
    for node in dequantising:
        source, result = sources.get(node.input[0]), node.output[0]
        if source is None:
            continue
        if result not in outputs:
            rename(graph, result, source, outputs=False)
            continue
        if source in fixed:
            return None
        rename(graph, source, result)  # the output keeps its name
        fixed.add(result)
        sources = {key: result if name == source else name for key, name in sources.items()}
    _drop_unread_weights(graph)
    del graph.value_info[:]
    return plain


def _dequantised(node: Any, weights: dict[str, Any]) -> Any | None:
    """Return the result of a DequantizeLinear of a weight; None if it is no weight."""
    helper = optional_import("onnx.numpy_helper", "networks")
    if any(name and name not in weights for name in node.input):
        return None
    values, scale, *points = (helper.to_array(weights[name]) for name in node.input if name)
    attributes = {each.name: each.i for each in node.attribute}
    if attributes.get("block_size"):
        return None
    numbers = values.astype(np.float32)
    shape = [1] * numbers.ndim
    if scale.size > 1:
        shape[attributes.get("axis", 1)] = -1
    point = points[0].astype(np.float32).reshape(shape) if points else np.float32(0)
    found = (numbers - point) * scale.astype(np.float32).reshape(shape)
    return helper.from_array(found.astype(scale.dtype), node.output[0])


def _drop_unread_weights(graph: Any) -> None:
    read = {name for node in graph.node for name in node.input}
    read |= {output.name for output in graph.output}
    kept = [weight for weight in graph.initializer if weight.name in read]
    inputs = [
        value
        for value in graph.input
        if value.name in read or value.name not in {each.name for each in graph.initializer}
    ]
    del graph.initializer[:], graph.input[:]
    graph.initializer.extend(kept)
    graph.input.extend(inputs)
