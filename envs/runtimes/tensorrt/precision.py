"""Copies of a graph in other types, for builders that read the precision off the file: FP16, and INT8 by quantise and dequantise nodes.

Also the ranges that implicit INT8 needs instead, measured on this processor.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import DependencyError, NetworkError, one_line
from envs.graph.onnx_file import every_graph
from envs.optional import optional_import
from envs.runtimes.onnxruntime.quantization import QUANTISED, CalibrationSamples, quiet
from envs.spec.network import Network

#: From this opset on scales may be FP16.
QDQ_OPSET = 19

#: Inputs that are FP32 whatever the data is, by operator (ONNX operator reference): regions and factors of a resize.
KEPT_FLOAT = {"Resize": (1, 2), "Upsample": (1,)}

#: Operators whose result type is an attribute.
TYPED = {"Cast": "to", "RandomNormal": "dtype", "RandomUniform": "dtype", "EyeLike": "dtype"}

HALF_MAX, HALF_LEAST = (
    float(np.finfo(np.float16).max),
    float(np.finfo(np.float16).smallest_subnormal),
)


def demand_fp32(model: Any) -> None:
    """NetworkError where a part of the graph is FP16 or quantised: what reads the types off the file would run it on Tensor cores."""
    _refuse_quantised(model)
    kinds = optional_import("onnx", "networks").TensorProto
    for graph in every_graph(model):
        tensors = [
            *getattr(graph, "initializer", ()),
            *(
                attribute.t
                for node in graph.node
                for attribute in node.attribute
                if attribute.HasField("t")
            ),
        ]
        ends = [
            value.type.tensor_type.elem_type
            for value in (*graph.input, *graph.output)
            if not isinstance(value, str)
        ]  # a function has but names
        casts = [
            attribute.i
            for node in graph.node
            for attribute in node.attribute
            if attribute.name == TYPED.get(node.op_type)
        ]
        if {kinds.FLOAT16, kinds.BFLOAT16} & {
            *(tensor.data_type for tensor in tensors),
            *ends,
            *casts,
        }:
            raise NetworkError(
                "a part of the network is FP16, which is no FP32 on CUDA cores: give the FP32 file"
            )


def to_fp16(model: Any, ends: bool = False) -> Any:
    """A copy that computes in FP16.

    Args:
        ends: whether inputs and outputs are FP16 as well; otherwise they stay as they are, and a cast stands at each FP32 one.

    Raises:
        NetworkError: the graph has control flow, whose insides would need the same.
    """
    onnx = optional_import("onnx", "networks")
    if len(list(every_graph(model))) > 1:
        raise NetworkError(
            "a graph with control flow or local functions has no FP16 copy here: export it without"
        )
    result = _copy(model)
    float32, float16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    kept = {
        node.input[position]
        for node in result.graph.node
        for position in KEPT_FLOAT.get(node.op_type, ())
        if position < len(node.input)
    }
    for weight in result.graph.initializer:
        if weight.data_type == float32 and weight.name not in kept:
            weight.CopyFrom(_halved(onnx, weight))
    for node in result.graph.node:
        if not (node.output and node.output[0] in kept):
            _halve_attributes(onnx, node)
    _keep_scales_positive(onnx, result.graph)
    del result.graph.value_info[:]
    if not ends:
        _cast_ends(onnx, result.graph, float32, float16)
        return result
    for value in (*result.graph.input, *result.graph.output):
        if value.type.tensor_type.elem_type == float32:
            value.type.tensor_type.elem_type = float16
    return result


def quantize(model: Any, network: Network, folder: Path, samples: int) -> Any:
    """A copy with symmetric INT8 quantisation of weights and activations, as TensorRT reads it (developer guide, "Explicit Quantization").

    Args:
        folder: where files may be left while this runs.

    Raises:
        NetworkError: the graph is quantised already, or cannot be.
        DependencyError: onnxruntime is not installed.
    """
    onnx = optional_import("onnx", "networks")
    library = optional_import("onnxruntime.quantization", "networks")
    prepare = optional_import(
        "onnxruntime.quantization.shape_inference", "networks"
    ).quant_pre_process
    _refuse_quantised(model)
    source, prepared, target = (folder / f"{name}.onnx" for name in ("source", "prepared", "int8"))
    try:
        with quiet():
            onnx.save(model, str(source))
            prepare(source, prepared, skip_symbolic_shape=True)
            library.quantize_static(
                prepared,
                target,
                CalibrationSamples(_at_batch(model, network), 0, samples),
                quant_format=library.QuantFormat.QDQ,
                activation_type=library.QuantType.QInt8,
                weight_type=library.QuantType.QInt8,
                per_channel=True,
                calibrate_method=library.CalibrationMethod.MinMax,
                # TensorRT has no zero points, and no quantised biases.
                extra_options={
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    "QuantizeBias": False,
                },
            )
            return onnx.version_converter.convert_version(
                onnx.load(str(target)), max(QDQ_OPSET, _opset(model))
            )
    except (OSError, DependencyError):
        raise
    except (
        Exception
    ) as error:  # the library raises whatever went wrong inside it, without a common base
        raise NetworkError(
            f"{network.name} cannot be quantised ({one_line(error)}): serve it in FP16"
        ) from error


def activation_ranges(model: Any, network: Network, samples: int) -> dict[str, float]:
    """Largest magnitude of every FP32 tensor over some random samples, by name, above zero: what implicit INT8 scales by.

    Raises:
        NetworkError: the graph is quantised already, or does not run.
        DependencyError: onnxruntime is not installed.
    """
    onnx, ort = optional_import("onnx", "networks"), optional_import("onnxruntime", "networks")
    _refuse_quantised(model)
    watched = _copy(model)
    inferred = onnx.shape_inference.infer_shapes(watched, data_prop=True).graph
    given = {value.name for value in watched.graph.output}
    floats = [
        value
        for value in inferred.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and value.name not in given
    ]
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, None)
        for value in floats
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Fused tensors would be missing, and a copy of each result costs more than fusing gains.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    ranges: dict[str, float] = {}
    try:
        session = ort.InferenceSession(
            watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        for feed in CalibrationSamples(_at_batch(model, network), 0, samples):
            for name, values in (*feed.items(), *zip(names, session.run(names, feed), strict=True)):
                if values.dtype == np.float32 and values.size:
                    ranges[name] = max(ranges.get(name, 0.0), float(np.abs(values).max()))
    except Exception as error:  # ONNX Runtime raises a family of its own without a common base
        raise NetworkError(
            f"{network.name} cannot be run to find its INT8 ranges ({one_line(error)}): serve it in FP16"
        ) from error
    return {name: limit if 0 < limit < math.inf else 1.0 for name, limit in ranges.items()}


def _at_batch(model: Any, network: Network) -> Network:
    """The network as the graph has it, with the batch that it is fixed to, if it is."""
    weights = {weight.name for weight in model.graph.initializer}
    first = next(
        value for value in model.graph.input if value.name not in weights
    ).type.tensor_type.shape.dim[0]
    return replace(network, fixed_batch=first.dim_value or None)


def _refuse_quantised(model: Any) -> None:
    if any(node.op_type in QUANTISED for graph in every_graph(model) for node in graph.node):
        raise NetworkError(
            "the network is quantised already: give the FP32 file, from which the INT8 one is made here"
        )


def _opset(model: Any) -> int:
    return next(int(each.version) for each in model.opset_import if each.domain in ("", "ai.onnx"))


def _halved(onnx: Any, tensor: Any) -> Any:
    values: npt.NDArray[Any] = onnx.numpy_helper.to_array(tensor)
    return onnx.numpy_helper.from_array(
        np.clip(values, -HALF_MAX, HALF_MAX).astype(np.float16), tensor.name
    )


def _halve_attributes(onnx: Any, node: Any) -> None:
    """Types and values that are said by an attribute, or are FP32 by saying nothing."""
    float32, float16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    named = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "Constant" and {"value_float", "value_floats"} & named.keys():
        values = next(onnx.helper.get_attribute_value(attribute) for attribute in node.attribute)
        del node.attribute[:]
        node.attribute.append(
            onnx.helper.make_attribute(
                "value", onnx.numpy_helper.from_array(np.array(values, np.float32))
            )
        )
    elif node.op_type == "ConstantOfShape" and not named:
        node.attribute.append(
            onnx.helper.make_attribute(
                "value", onnx.numpy_helper.from_array(np.zeros(1, np.float32))
            )
        )
    for attribute in node.attribute:
        if attribute.name == TYPED.get(node.op_type) and attribute.i == float32:
            attribute.i = float16
        elif attribute.HasField("t") and attribute.t.data_type == float32:
            attribute.t.CopyFrom(_halved(onnx, attribute.t))


def _keep_scales_positive(onnx: Any, graph: Any) -> None:
    """Scales of quantised tensors that are too small for FP16, as those of channels that training left dead, are the least there is and not zero."""
    scales = {
        node.input[1] for node in graph.node if node.op_type in QUANTISED and len(node.input) > 1
    }
    for weight in graph.initializer:
        if weight.name in scales and weight.data_type == onnx.TensorProto.FLOAT16:
            values = onnx.numpy_helper.to_array(weight)
            weight.CopyFrom(
                onnx.numpy_helper.from_array(
                    np.maximum(values, np.float16(HALF_LEAST)), weight.name
                )
            )


def _cast_ends(onnx: Any, graph: Any, float32: int, float16: int) -> None:
    weights = {weight.name for weight in graph.initializer}
    first, last = [], []
    for value in graph.input:
        if value.type.tensor_type.elem_type == float32 and value.name not in weights:
            _rename(graph, value.name, f"{value.name}/half", results=False)
            first.append(
                onnx.helper.make_node(
                    "Cast",
                    [value.name],
                    [f"{value.name}/half"],
                    name=f"{value.name}/to_half",
                    to=float16,
                )
            )
        elif value.name in weights and value.type.tensor_type.elem_type == float32:
            value.type.tensor_type.elem_type = float16
    for value in graph.output:
        if value.type.tensor_type.elem_type == float32:
            _rename(graph, value.name, f"{value.name}/half", results=True)
            last.append(
                onnx.helper.make_node(
                    "Cast",
                    [f"{value.name}/half"],
                    [value.name],
                    name=f"{value.name}/to_float",
                    to=float32,
                )
            )
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename(graph: Any, old: str, new: str, results: bool) -> None:
    for node in graph.node:
        for names in (node.input, node.output) if results else (node.input,):
            for position, name in enumerate(names):
                if name == old:
                    names[position] = new


def _copy(model: Any) -> Any:
    result = type(model)()
    result.CopyFrom(model)
    return result
