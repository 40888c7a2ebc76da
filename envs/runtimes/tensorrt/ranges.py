"""The ranges that implicit INT8 scales by: measured on the processor, then set on the tensors."""

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from envs.errors import NetworkError, one_line
from envs.optional import optional_import
from envs.runtimes.onnxruntime.quantization import CalibrationSamples, check_not_quantised
from envs.spec import Network


def activation_ranges(model: Any, network: Network, samples: int) -> dict[str, float]:
    """Return the largest magnitude of every FP32 tensor over random samples, by name, above zero.

    Raises:
        NetworkError: the graph is quantised already, or does not run.
        DependencyError: onnxruntime is not installed.
    """
    onnx, ort = optional_import("onnx", "networks"), optional_import("onnxruntime", "networks")
    check_not_quantised(model, "the network")
    watched = copy.deepcopy(model)
    _output_every_tensor(onnx, watched)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Fusing would remove tensors, and saves less than copying every result costs.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    ranges: dict[str, float] = {}
    try:
        session = ort.InferenceSession(
            watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        for feed in CalibrationSamples(at_batch_of(model, network), 0, samples):
            for name, values in (*feed.items(), *zip(names, session.run(names, feed), strict=True)):
                if values.dtype == np.float32 and values.size:
                    ranges[name] = max(ranges.get(name, 0.0), float(np.abs(values).max()))
    except Exception as error:  # the errors of ONNX Runtime have no common base
        raise NetworkError(
            f"{network.name} cannot be run to find its INT8 ranges ({one_line(error)}): "
            "serve it in FP16"
        ) from error
    return {name: limit if 0 < limit < math.inf else 1.0 for name, limit in ranges.items()}


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


def _output_every_tensor(onnx: Any, model: Any) -> None:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    outputs = {value.name for value in model.graph.output}
    floats = [
        value.name
        for value in inferred.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and value.name not in outputs
    ]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in floats
    )


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
