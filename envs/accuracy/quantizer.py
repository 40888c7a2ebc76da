"""ONNX Runtime's quantiser: from ranges to a graph with quantise and dequantise nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs.accuracy.calibration import Limits, quiet
from envs.accuracy.schemes import Scheme
from envs.errors import DependencyError, NetworkError, one_line
from envs.optional import optional_import


def without_range(prepared: Path, limits: Limits) -> list[str]:
    """Return names of nodes at tensors without a finite range, such as sums with a mask of -inf."""
    endless = {name for name, limit in limits.items() if not np.isfinite(limit).all()}
    if not endless:
        return []
    graph = optional_import("onnx", "networks").load(str(prepared)).graph
    return [node.name for node in graph.node if endless & {*node.input, *node.output}]


def floating(prepared: Path, made: Any, excluded: Sequence[str]) -> tuple[str, ...]:
    """Return the tensors that stay in floating point because of the nodes that give them.

    Args:
        prepared: the file of the graph.
        made: its INT8 copy.
        excluded: names of the nodes that are not quantised.
    """
    if not excluded:
        return ()
    graph = optional_import("onnx", "networks").load(str(prepared)).graph
    names = set(excluded)
    quantised_tensors = {
        node.input[0] for node in made.graph.node if node.op_type == "QuantizeLinear"
    }
    return tuple(
        output
        for node in graph.node
        if node.name in names
        for output in node.output
        if output and output not in quantised_tensors
    )


def quantised(
    prepared: Path, limits: Limits, scheme: Scheme, per_channel: bool, excluded: list[str]
) -> Any:
    """Return a prepared graph with quantise and dequantise nodes.

    Args:
        prepared: the file of the graph.
        limits: the range of every tensor, by name.
        scheme: how to quantise.
        per_channel: True for a scale for each channel of weights.
        excluded: names of nodes that stay in floating point.

    Raises:
        NetworkError: the library cannot quantise it.
    """
    library = optional_import("onnxruntime.quantization", "networks")
    calibrate = optional_import("onnxruntime.quantization.calibrate", "networks")
    registry = optional_import("onnxruntime.quantization.registry", "networks")
    quantizer = optional_import("onnxruntime.quantization.qdq_quantizer", "networks").QDQQuantizer
    onnx = optional_import("onnx", "networks")
    kinds = library.QuantType
    ranges = calibrate.TensorsData(
        library.CalibrationMethod.MinMax,
        {
            name: (np.array(low, np.float32), np.array(high, np.float32))
            for name, (low, high) in limits.items()
            if math.isfinite(low) and math.isfinite(high)
        },
    )
    try:
        with quiet():
            made = quantizer(
                onnx.load(str(prepared)),
                per_channel,
                scheme.seven_bits,
                kinds.QInt8,
                kinds.QUInt8 if scheme.unsigned else kinds.QInt8,
                ranges,
                [],
                excluded,
                sorted({*registry.QLinearOpsRegistry, *registry.QDQRegistry}),
                {
                    "ActivationSymmetric": not scheme.unsigned,
                    "WeightSymmetric": True,
                    "QuantizeBias": scheme.bias,
                },
            )
            made.quantize_model()
            made.model.topological_sort()  # ONNX's checker, and other readers, demand it
            return made.model.model
    except (OSError, DependencyError):
        raise
    except Exception as error:  # the library's errors have no common base
        raise NetworkError(f"onnxruntime's quantiser refuses it: {one_line(error)}") from error
