"""A quantised graph as TensorRT takes it where it has no quantised nodes: FP32, and ranges.

Before version 11 a DLA takes INT8 from the ranges of tensors only (NVIDIA,
Deep-Learning-Accelerator-SW, "Q/DQ Translator Toolkit"), and no version takes zero points. The
ranges are those of the file; TensorRT quantises the weights again, with the same largest numbers.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import NetworkError
from envs.graph.editing import rename
from envs.graph.number_types import QDQ
from envs.optional import optional_import
from envs.runtimes.tensorrt.ranges import Calibration

#: Operators that TensorRT fuses with the layer before (developer guide, "Layer Fusion").
FUSED = frozenset({"BatchNormalization", "Clip", "LeakyRelu", "Relu"})
#: Operators whose results are numbers of their input.
SAME = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
#: Operators whose results have no larger magnitude than their input.
BOUNDED = frozenset({"AveragePool", "GlobalAveragePool", "LeakyRelu", "MaxPool", "Relu"})

Array = npt.NDArray[Any]


def dequantised(model: Any) -> tuple[Any, Calibration]:
    """Return a copy without quantise and dequantise nodes, and the ranges that these had.

    Raises:
        NetworkError: a node quantises in a way that no range can hold.
    """
    result = copy.deepcopy(model)
    graph = result.graph
    constants = _constants(graph)
    instead: dict[str, str] = {}
    ranges: dict[str, float] = {}
    kept = []
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = instead.get(name, name)
        if node.op_type not in QDQ:
            kept.append(node)
            continue
        source, target = node.input[0], node.output[0]
        if source in constants and node.op_type == "DequantizeLinear":
            weight = optional_import("onnx", "networks").numpy_helper.from_array(
                _values(node, constants), target
            )
            graph.initializer.append(weight)
            continue
        instead[target] = source
        if source not in constants and node.op_type == "QuantizeLinear":
            ranges[source] = max(ranges.get(source, 0.0), _range(node, constants))
    if not ranges:
        raise NetworkError("its quantised nodes have no ranges of activations")
    del graph.node[:]
    graph.node.extend(kept)
    _restore_outputs(graph, instead, ranges)
    del graph.value_info[:]
    _spread(graph, ranges)
    return result, Calibration("", 0, math.nan, ranges, complete=False)


def _spread(graph: Any, ranges: dict[str, float]) -> None:
    """Give ranges to the tensors beside those that have one, where that is right.

    TensorRT fuses an activation with the layer before it, whose own result is then never rounded.
    """
    readers = Counter(name for node in graph.node for name in node.input)
    for node in reversed(graph.node):
        source = node.input[0] if node.input else ""
        if node.op_type in FUSED | SAME and readers[source] == 1 and node.output[0] in ranges:
            ranges.setdefault(source, ranges[node.output[0]])
    for node in graph.node:
        if node.op_type in BOUNDED | SAME and node.input[0] in ranges:
            ranges.setdefault(node.output[0], ranges[node.input[0]])


def _constants(graph: Any) -> dict[str, Array]:
    to_array = optional_import("onnx.numpy_helper", "networks").to_array
    found = {weight.name: np.asarray(to_array(weight)) for weight in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                found[node.output[0]] = np.asarray(to_array(attribute.t))
    return found


def _parameters(node: Any, constants: dict[str, Array]) -> tuple[Array, Array]:
    """Return the scale and the zero point of a node."""
    if any(attribute.name == "block_size" and attribute.i for attribute in node.attribute):
        raise NetworkError(f"{node.op_type} {node.name or node.output[0]} has scales of blocks")
    names = [name for name in node.input[1:] if name]
    if not names or not all(name in constants for name in names):
        raise NetworkError(f"{node.op_type} {node.name or node.output[0]} has no constant scale")
    kinds = [each.i for each in node.attribute if each.name == "output_dtype" and each.i]
    int8 = optional_import("onnx", "networks").TensorProto.INT8
    # ONNX operator reference, QuantizeLinear: unsigned unless something says otherwise.
    default = np.zeros((), np.int8 if kinds == [int8] else np.uint8)
    zero = constants[names[1]] if len(names) > 1 else default
    return constants[names[0]].astype(np.float32), zero


def _values(node: Any, constants: dict[str, Array]) -> Array:
    """Return the real numbers of quantised weights."""
    scale, zero = _parameters(node, constants)
    numbers = constants[node.input[0]].astype(np.float32)
    zero = zero.astype(np.float32)
    if scale.ndim and scale.size > 1:
        axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
        shape = [1] * numbers.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape if zero.size > 1 else [])
    return np.asarray((numbers - zero) * scale, np.float32)


def _range(node: Any, constants: dict[str, Array]) -> float:
    """Return the largest magnitude that a quantised activation can have."""
    scale, zero = _parameters(node, constants)
    if zero.dtype.kind not in "iu" or zero.dtype.itemsize > 1:
        raise NetworkError(f"{node.op_type} {node.name or node.output[0]} is not of eight bits")
    limits = np.iinfo(zero.dtype)
    steps = np.maximum(np.abs(limits.max - zero.astype(int)), np.abs(limits.min - zero.astype(int)))
    # -128 is no number of a symmetric range.
    found = float((scale * np.where(zero.astype(int) == 0, limits.max, steps)).max())
    return found if 0 < found < math.inf else 1.0


def _restore_outputs(graph: Any, instead: dict[str, str], ranges: dict[str, float]) -> None:
    """Give the outputs of the graph their names again."""
    outputs = {value.name for value in graph.output}
    given = {name for node in graph.node for name in node.output}
    for value in graph.output:
        source = instead.get(value.name)
        if source is None:
            continue
        if source in given and source not in outputs:
            rename(graph, source, value.name)
            given.add(value.name)
            if source in ranges:
                ranges[value.name] = ranges.pop(source)
        else:
            make_node = optional_import("onnx.helper", "networks").make_node
            graph.node.append(make_node("Identity", [source], [value.name], name=value.name))
