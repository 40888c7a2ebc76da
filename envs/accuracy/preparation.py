"""Bring an FP32 graph into the form that ONNX Runtime's quantiser takes."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from envs.accuracy.calibration import quiet
from envs.accuracy.single import to_fp32
from envs.errors import DependencyError, NetworkError, one_line
from envs.graph.number_types import number_types
from envs.optional import optional_import
from envs.spec import Network

#: From this opset on a scale may belong to a channel (ONNX operators, DequantizeLinear).
CHANNEL_OPSET = 13

#: From this version on initializers need not be among the inputs.
SEPARATE_WEIGHTS_IR = 8


@dataclass(frozen=True)
class PreparedGraph:
    """A graph that the quantiser takes.

    Attributes:
        path: an ONNX file with its weights inside.
        per_channel: True if its opset allows a scale for each channel.
    """

    path: Path
    per_channel: bool


def prepare(model: Any, network: Network, folder: Path) -> PreparedGraph:
    """Write a copy of a graph in which the quantiser finds what it needs.

    What is FP16 or BF16 becomes FP32, weights leave the inputs, biases of Gemm become [N], an old
    opset is converted, constants are folded, and every node has a name.

    Args:
        model: a ModelProto with its weights inside.
        network: its name in errors.
        folder: where the file is written.

    Raises:
        NetworkError: ONNX Runtime cannot optimise the graph.
    """
    onnx = optional_import("onnx", "networks")
    preprocess = optional_import(
        "onnxruntime.quantization.shape_inference", "networks"
    ).quant_pre_process
    graph = to_fp32(model) if number_types(model).halves else copy.deepcopy(model)
    _separate_weights(graph)
    graph = _converted(onnx, graph)
    _flatten_biases(onnx, graph)
    source, prepared = folder / "source.onnx", folder / "prepared.onnx"
    try:
        with quiet():
            onnx.save(graph, str(source))
            # Symbolic inference needs sympy and adds nothing here: only types must be known.
            preprocess(str(source), str(prepared), skip_symbolic_shape=True)
            result = onnx.load(str(prepared))
    except (OSError, DependencyError):
        raise
    except Exception as error:  # the library's errors have no common base
        raise NetworkError(
            f"{network.name} cannot be prepared for INT8 ({one_line(error)}): serve it in FP32"
        ) from error
    _name_nodes(result)
    onnx.save(result, str(prepared))
    return PreparedGraph(prepared, opset_of(result) >= CHANNEL_OPSET)


def opset_of(model: Any) -> int:
    """Return the version of ONNX's own operators that a model uses."""
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    return int(max(versions, default=1))


def _separate_weights(model: Any) -> None:
    """Take weights off the inputs: a weight that may be overridden is not constant."""
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, SEPARATE_WEIGHTS_IR)


def _converted(onnx: Any, model: Any) -> Any:
    """Return the model at an opset with scales for channels, if it can be converted."""
    if opset_of(model) >= CHANNEL_OPSET:
        return model
    try:
        converted = onnx.version_converter.convert_version(model, CHANNEL_OPSET)
        converted.ir_version = max(converted.ir_version, SEPARATE_WEIGHTS_IR)
        onnx.checker.check_model(converted)
    except Exception:  # the converter lacks some operators; one scale for a tensor will do
        return model
    return converted


def _flatten_biases(onnx: Any, model: Any) -> None:
    """Make [N] of biases [1, N] and of single numbers of Gemm: the quantiser takes no other."""
    weights = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Gemm" or len(node.input) < 3:
            continue
        factor, bias = (weights.get(name) for name in node.input[1:3])
        if bias is None or factor is None or len(factor.dims) != 2:
            continue
        transposed = any(each.name == "transB" and each.i for each in node.attribute)
        length = factor.dims[0 if transposed else 1]
        if list(bias.dims) == [length] or math.prod(bias.dims) not in (1, length):
            continue
        values = onnx.numpy_helper.to_array(bias).reshape(-1)
        name = f"{bias.name}/flat{length}"
        if name not in weights:
            flat = np.array(np.broadcast_to(values, length))
            weights[name] = onnx.numpy_helper.from_array(flat, name)
            model.graph.initializer.append(weights[name])
        node.input[2] = name


def _name_nodes(model: Any) -> None:
    """Give every node a name of its own: nodes are kept in floating point by name."""
    used = {node.name for node in model.graph.node}
    if len(used) == len(model.graph.node) and "" not in used:
        return
    for position, node in enumerate(model.graph.node):
        node.name = f"node_{position}"
