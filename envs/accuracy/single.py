"""FP32 copies of graphs in FP16 or BF16, of which INT8 copies can be made."""

import copy
from typing import Any

import numpy as np

from envs.errors import NetworkError
from envs.graph.editing import rename
from envs.graph.number_types import TYPED
from envs.graph.onnx_file import every_graph
from envs.optional import optional_import

#: Part of the name of an FP32 tensor that stands beside an input or output of another type.
SUFFIX = "/float"


def to_fp32(model: Any) -> Any:
    """Return a copy that computes in FP32; inputs and outputs keep their types.

    Every number of FP16 and BF16 is one of FP32 too.

    Raises:
        NetworkError: the graph has control flow, whose subgraphs would need the same.
    """
    onnx = optional_import("onnx", "networks")
    if len(list(every_graph(model))) > 1:
        raise NetworkError(
            "a graph in FP16 with control flow or local functions has no FP32 copy here: give the"
            " FP32 file"
        )
    result = copy.deepcopy(model)
    graph = result.graph
    halves = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    weights = {weight.name for weight in graph.initializer}
    for weight in graph.initializer:
        if weight.data_type in halves:
            weight.CopyFrom(_single(onnx, weight))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == TYPED.get(node.op_type) and attribute.i in halves:
                attribute.i = onnx.TensorProto.FLOAT
            elif attribute.HasField("t") and attribute.t.data_type in halves:
                attribute.t.CopyFrom(_single(onnx, attribute.t))
    first, last = [], []
    for value in graph.input:
        kind = value.type.tensor_type.elem_type
        if kind in halves and value.name in weights:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        elif kind in halves:
            rename(graph, value.name, value.name + SUFFIX, outputs=False)
            first.append(_cast(onnx, value.name, value.name + SUFFIX, onnx.TensorProto.FLOAT))
    for value in graph.output:
        kind = value.type.tensor_type.elem_type
        if kind in halves:
            rename(graph, value.name, value.name + SUFFIX)
            last.append(_cast(onnx, value.name + SUFFIX, value.name, kind))
    nodes = [*first, *graph.node, *last]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return result


def _single(onnx: Any, tensor: Any) -> Any:
    values = np.asarray(onnx.numpy_helper.to_array(tensor)).astype(np.float32)
    return onnx.numpy_helper.from_array(values, tensor.name)


def _cast(onnx: Any, source: str, target: str, kind: int) -> Any:
    return onnx.helper.make_node("Cast", [source], [target], name=f"{target}/cast", to=kind)
