"""The ranges that implicit INT8 scales by: measured on the processor, then set on the tensors."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from envs.accuracy.preparation import opset_of
from envs.accuracy.quantization import TENSORRT, Int8Copy, int8_copy
from envs.accuracy.samples import Samples
from envs.optional import optional_import
from envs.spec import Network

#: From this opset on scales may be FP16.
QDQ_OPSET = 19


def activation_ranges(model: Any, network: Network, samples: Samples) -> dict[str, float]:
    """Return the largest magnitude of every FP32 tensor over samples, by name, above zero.

    The ranges are those of the INT8 copy that agrees best with FP32.

    Raises:
        NetworkError: the graph is quantised already, or does not run.
        DependencyError: onnxruntime is not installed.
    """
    copy = int8_copy(model, at_batch_of(model, network), samples, TENSORRT)
    magnitudes = {name: max(map(abs, limits)) for name, limits in copy.limits.items()}
    return {name: limit if 0 < limit < math.inf else 1.0 for name, limit in magnitudes.items()}


def quantize(model: Any, network: Network, samples: Samples) -> Any:
    """Return a copy with symmetric INT8 quantisation of weights and activations.

    TensorRT reads it as its developer guide says ("Explicit Quantization").

    Args:
        model: an FP32 graph.
        network: gives the inputs of the calibration.
        samples: to calibrate on.

    Raises:
        NetworkError: the graph is quantised already, or cannot be.
        DependencyError: onnxruntime is not installed.
    """
    return with_new_opset(int8_copy(model, at_batch_of(model, network), samples, TENSORRT))


def with_new_opset(copy: Int8Copy) -> Any:
    """Return the graph of an INT8 copy at an opset whose scales may be FP16."""
    converter = optional_import("onnx.version_converter", "networks")
    return converter.convert_version(copy.model, max(QDQ_OPSET, opset_of(copy.model)))


def at_batch_of(model: Any, network: Network) -> Network:
    """Return the network with the batch that the graph is fixed to, if it is."""
    weights = {weight.name for weight in model.graph.initializer}
    first = next(value for value in model.graph.input if value.name not in weights)
    batch = first.type.tensor_type.shape.dim[0].dim_value
    return replace(network, fixed_batch=batch or None)


def set_ranges(trt: Any, network: Any, ranges: Mapping[str, float]) -> None:
    """Give every tensor of an INetworkDefinition a symmetric range, without a calibrator.

    A tensor whose name was not measured gets the range of the tensor before it. All inputs and
    outputs of a pool or a concatenation get one range, the largest: otherwise no DLA takes it in
    INT8, and the GPU gets it without an error (TensorRT documentation, "DLA Supported Layers and
    Restrictions").
    """
    median = sorted(ranges.values())[len(ranges) // 2]
    layers = [network.get_layer(position) for position in range(network.num_layers)]
    for position in range(network.num_inputs):
        _set_range(network.get_input(position), ranges, median)
    for layer in layers:
        inputs = [layer.get_input(position) for position in range(layer.num_inputs)]
        before = next(
            (tensor for tensor in inputs if tensor is not None and tensor.dynamic_range), None
        )
        default = (
            before.dynamic_range[1]
            if before is not None and layer.type != trt.LayerType.CONCATENATION
            else median
        )
        for position in range(layer.num_outputs):
            _set_range(layer.get_output(position), ranges, default)
    tied = [
        _tensors_of(layer)
        for layer in layers
        if layer.type in (trt.LayerType.POOLING, trt.LayerType.CONCATENATION)
    ]
    # Forwards and backwards, until nothing changes, since one of them may feed another.
    while sum(_tie(tensors) for tensors in (*tied, *reversed(tied))):
        pass


def _tensors_of(layer: Any) -> list[Any]:
    tensors = [layer.get_input(position) for position in range(layer.num_inputs)] + [
        layer.get_output(position) for position in range(layer.num_outputs)
    ]
    return [tensor for tensor in tensors if tensor is not None]


def _tie(tensors: list[Any]) -> bool:
    """Give all of them the largest of their ranges; return True if that changed one."""
    limit = max(tensor.dynamic_range[1] for tensor in tensors)
    smaller = [tensor for tensor in tensors if tensor.dynamic_range[1] < limit]
    for tensor in smaller:
        tensor.dynamic_range = (-limit, limit)
    return bool(smaller)


def _set_range(tensor: Any, ranges: Mapping[str, float], default: float) -> None:
    if tensor is not None and not tensor.dynamic_range:
        limit = ranges.get(tensor.name, default)
        tensor.dynamic_range = (-limit, limit)
