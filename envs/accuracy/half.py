"""Copies of a graph in FP16."""

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import NetworkError
from envs.graph.editing import rename
from envs.graph.number_types import QDQ, TYPED, number_types
from envs.graph.onnx_file import every_graph
from envs.optional import optional_import

#: Inputs that are FP32 whatever the type of the data, by operator (ONNX operator reference):
#: regions and factors of a resize.
KEPT_FLOAT = {"Resize": (1, 2), "Upsample": (1,)}

#: Names in messages of the types that are not FP32.
NAMES = {"float16": "FP16", "bfloat16": "BF16"}

HALF_MAX = float(np.finfo(np.float16).max)
HALF_MIN = np.finfo(np.float16).smallest_subnormal


def demand_fp32(model: Any) -> None:
    """Raise NetworkError if a part of the graph is FP16, BF16 or quantised.

    A strongly typed TensorRT would run that part on Tensor Cores.
    """
    types = number_types(model)
    if types.quantised:
        raise NetworkError(
            "the file is an INT8 network, which is no FP32 on CUDA cores: give the FP32 file"
        )
    if types.halves:
        names = " and ".join(NAMES[each] for each in sorted(types.halves))
        raise NetworkError(
            f"a part of the network is {names}, which is no FP32 on CUDA cores: give the FP32 file"
        )


def to_fp16(model: Any, ends: bool = False) -> Any:
    """Return a copy that computes in FP16.

    Args:
        model: an FP32 or quantised graph.
        ends: whether inputs and outputs are FP16 as well; otherwise they stay as they are, and
            each FP32 one gets a cast.

    Raises:
        NetworkError: the graph has control flow, whose subgraphs would need the same.
    """
    onnx = optional_import("onnx", "networks")
    if model.functions:
        result = optional_import("onnx.inliner", "networks").inline_local_functions(model)
    else:
        result = copy.deepcopy(model)
    if len(list(every_graph(result))) > 1:
        raise NetworkError("a graph with control flow has no FP16 copy here: export it without")
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


def _halved(onnx: Any, tensor: Any) -> Any:
    values: npt.NDArray[Any] = onnx.numpy_helper.to_array(tensor)
    return onnx.numpy_helper.from_array(
        np.clip(values, -HALF_MAX, HALF_MAX).astype(np.float16), tensor.name
    )


def _halve_attributes(onnx: Any, node: Any) -> None:
    """Make FP16 of the types and values in attributes, also of those that default to FP32."""
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
    """Replace scales that are zero in FP16 by its smallest number.

    Training leaves channels with such scales where they are dead.
    """
    scales = {node.input[1] for node in graph.node if node.op_type in QDQ and len(node.input) > 1}
    for weight in graph.initializer:
        if weight.name in scales and weight.data_type == onnx.TensorProto.FLOAT16:
            values = onnx.numpy_helper.to_array(weight)
            weight.CopyFrom(onnx.numpy_helper.from_array(np.maximum(values, HALF_MIN), weight.name))


def _cast_ends(onnx: Any, graph: Any, float32: int, float16: int) -> None:
    weights = {weight.name for weight in graph.initializer}
    first, last = [], []
    for value in graph.input:
        if value.type.tensor_type.elem_type == float32 and value.name not in weights:
            rename(graph, value.name, f"{value.name}/half", outputs=False)
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
            rename(graph, value.name, f"{value.name}/half")
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
