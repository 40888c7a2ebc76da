"""INT8 for TensorRT: ranges found on the processor, as nodes in the graph or set on tensors."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from envs.accuracy.preparation import opset_of
from envs.accuracy.quantization import (
    Int8Copy,
    copy_of_ranges,
    int8_copy,
    uncalibrated_copy,
)
from envs.accuracy.samples import Samples
from envs.accuracy.schemes import TENSORRT
from envs.accuracy.single import SUFFIX
from envs.accuracy.store import UNCALIBRATED
from envs.files import check_fields
from envs.optional import optional_import
from envs.spec import Network

#: From this opset on scales may be FP16.
QDQ_OPSET = 19


@dataclass(frozen=True)
class Calibration:
    """Describe how a graph is quantised.

    Attributes:
        method: how its ranges were found, see `envs.accuracy.calibration.METHODS`; `uncalibrated`
            for invented samples.
        samples: how many samples calibrated.
        agreement: of the INT8 copy with FP32 on these samples, on the processor.
        ranges: largest magnitude of each FP32 tensor, by name, above zero.
        excluded: names of nodes that stay in floating point.
        floating: names of the tensors that stay in floating point.
        per_channel: True if weights have a scale for each channel.
        complete: True if every tensor was measured; False for ranges of a quantised file, in which
            tensors without one stay in floating point.
    """

    method: str
    samples: int
    agreement: float
    ranges: Mapping[str, float]
    excluded: tuple[str, ...] = ()
    floating: tuple[str, ...] = ()
    per_channel: bool = True
    complete: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Calibration":
        """Return what `to_dict` wrote; KeyError, TypeError or ValueError for anything else."""
        ranges = {str(name): float(limit) for name, limit in data["ranges"].items()}
        if not ranges or not all(0 < limit < math.inf for limit in ranges.values()):
            raise ValueError("ranges must be above zero")
        names = {key: tuple(map(str, data[key])) for key in ("excluded", "floating")}
        found = cls(**data | names | {"ranges": ranges})
        check_fields(found)
        return found


def calibrate(model: Any, network: Network, samples: Samples | int) -> Calibration:
    """Return how a graph is quantised best, as judged on the processor.

    Args:
        model: an FP32 graph.
        network: gives the inputs.
        samples: to calibrate on, or a number of invented ones.

    Raises:
        NetworkError: the graph is quantised already, does not run, or cannot be quantised.
        DependencyError: onnxruntime is not installed.
    """
    network = at_batch_of(model, network)
    if isinstance(samples, int):
        copy, count = uncalibrated_copy(model, network, samples, TENSORRT), samples
    else:
        copy, count = int8_copy(model, network, samples, TENSORRT), len(samples)
    return Calibration(
        UNCALIBRATED if isinstance(samples, int) else copy.method,
        count,
        copy.agreement.value,
        _magnitudes(copy),
        copy.excluded,
        copy.floating,
        copy.per_channel,
    )


def _magnitudes(copy: Int8Copy) -> dict[str, float]:
    limits = {name: max(map(abs, each)) for name, each in copy.limits.items()}
    # The inputs and outputs of an FP16 file have the ranges of their FP32 twins.
    limits |= {
        name.removesuffix(SUFFIX): limit for name, limit in limits.items() if name.endswith(SUFFIX)
    }
    return {name: limit or 1.0 for name, limit in limits.items() if math.isfinite(limit)}


def quantize(model: Any, network: Network, calibration: Calibration) -> Any:
    """Return a copy with symmetric INT8 quantisation of weights and activations.

    TensorRT reads it as its developer guide says ("Explicit Quantization").

    Args:
        model: an FP32 graph, at any batch.
        network: its name in errors.
        calibration: of this graph.

    Raises:
        NetworkError: the graph is quantised already, or cannot be.
        DependencyError: onnxruntime is not installed.
    """
    limits = {name: (-limit, limit) for name, limit in calibration.ranges.items()}
    found = calibration
    made = copy_of_ranges(model, network, limits, TENSORRT, found.excluded, found.per_channel)
    return with_new_opset(made)


def with_new_opset(model: Any) -> Any:
    """Return a graph with quantised nodes at an opset whose scales may be FP16."""
    converter = optional_import("onnx.version_converter", "networks")
    version = opset_of(model)
    return model if version >= QDQ_OPSET else converter.convert_version(model, QDQ_OPSET)


def at_batch_of(model: Any, network: Network) -> Network:
    """Return the network with the batch that the graph is fixed to, if it is."""
    weights = {weight.name for weight in model.graph.initializer}
    first = next(value for value in model.graph.input if value.name not in weights)
    batch = first.type.tensor_type.shape.dim[0].dim_value
    return replace(network, fixed_batch=batch or None)


def set_ranges(trt: Any, network: Any, calibration: Calibration) -> None:
    """Give the tensors of an INetworkDefinition symmetric ranges, without a calibrator.

    A constant gets its own range. Another tensor whose name was not measured gets the range of the
    tensor before it. What stays in floating point gets none: TensorRT then computes the layers that
    give and read it in FP16 or FP32. All inputs and outputs of a pool or a concatenation get one
    range, the largest: otherwise no DLA takes it in INT8, and the GPU gets it without an error
    (TensorRT documentation, "DLA Supported Layers and Restrictions").
    """
    ranges = calibration.ranges
    median = sorted(ranges.values())[len(ranges) // 2]
    floating = set(calibration.floating)
    layers = [network.get_layer(position) for position in range(network.num_layers)]
    for position in range(network.num_inputs):
        tensor = network.get_input(position)
        if calibration.complete or tensor.name in ranges:
            _set_range(tensor, ranges, median)
        else:
            floating.add(tensor.name)
    for layer in layers:
        constant = layer.type == trt.LayerType.CONSTANT
        known = calibration.complete or constant
        default = _default(trt, layer, floating, median) if known else None
        for position in range(layer.num_outputs):
            tensor = layer.get_output(position)
            if tensor is None or tensor.name in floating:
                continue
            if default is None and tensor.name not in ranges:
                floating.add(tensor.name)
            else:
                _set_range(tensor, ranges, median if default is None else default)
    tied = [
        _ranged(layer)
        for layer in layers
        if layer.type in (trt.LayerType.POOLING, trt.LayerType.CONCATENATION)
    ]
    # Forwards and backwards, until nothing changes, since one of them may feed another.
    while sum(_tie(tensors) for tensors in (*tied, *reversed(tied))):
        pass


def _default(trt: Any, layer: Any, floating: set[str], median: float) -> float | None:
    """Return the range of a layer's outputs that were not measured; None for floating point."""
    if layer.type == trt.LayerType.CONSTANT:
        return largest_constant(trt, layer)
    inputs = [layer.get_input(position) for position in range(layer.num_inputs)]
    first = next((tensor for tensor in inputs if tensor is not None), None)
    if first is not None and first.name in floating:
        return None
    before = next((each for each in inputs if each is not None and each.dynamic_range), None)
    if before is None or layer.type == trt.LayerType.CONCATENATION:
        return median
    return float(before.dynamic_range[1])


def largest_constant(trt: Any, layer: Any) -> float:
    """Return the largest magnitude in a constant layer, above zero."""
    # TensorRT gives every layer as an ILayer, which does not show its weights.
    layer.__class__ = trt.IConstantLayer
    weights = layer.weights
    values = np.asarray(weights.numpy() if hasattr(weights, "numpy") else weights)
    largest = float(np.abs(values.astype(np.float64)).max(initial=0.0))
    return largest if 0 < largest < math.inf else 1.0


def _ranged(layer: Any) -> list[Any]:
    """Return the inputs and outputs that have a range."""
    tensors = [layer.get_input(position) for position in range(layer.num_inputs)] + [
        layer.get_output(position) for position in range(layer.num_outputs)
    ]
    return [tensor for tensor in tensors if tensor is not None and tensor.dynamic_range]


def _tie(tensors: list[Any]) -> bool:
    """Give all of them the largest of their ranges; return True if that changed one."""
    limit = max((tensor.dynamic_range[1] for tensor in tensors), default=0.0)
    smaller = [tensor for tensor in tensors if tensor.dynamic_range[1] < limit]
    for tensor in smaller:
        tensor.dynamic_range = (-limit, limit)
    return bool(smaller)


def _set_range(tensor: Any, ranges: Mapping[str, float], default: float) -> None:
    if tensor is not None and not tensor.dynamic_range:
        limit = ranges.get(tensor.name, default)
        tensor.dynamic_range = (-limit, limit)
