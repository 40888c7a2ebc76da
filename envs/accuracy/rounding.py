"""FP32 graphs that round every result to FP16: what an FP16 engine computes, on a processor.

ONNX Runtime's kernels for processors compute an FP16 graph in FP32 and take out the casts between
them, so that nothing would overflow there.
"""

from typing import Any

import numpy as np

from envs.accuracy.single import to_fp32
from envs.errors import NetworkError
from envs.graph.editing import rename
from envs.graph.number_types import QDQ
from envs.graph.onnx_file import every_graph
from envs.optional import optional_import

#: Behind the name of a result before it is rounded, and while it is FP16; of a rounded input.
WIDE, HALF, ROUNDED = "/wide", "/half", "/rounded"

#: Operators whose results are as they were, or belong to quantised numbers.
EXACT = QDQ | {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity"}


def rounded_to_fp16(model: Any) -> Any:
    """Return an FP32 copy whose weights and results are numbers of FP16, infinity included.

    Args:
        model: a ModelProto with its weights inside.

    Raises:
        NetworkError: the graph has control flow, whose subgraphs would need the same.
    """
    onnx = optional_import("onnx", "networks")
    if model.functions:
        model = optional_import("onnx.inliner", "networks").inline_local_functions(model)
    if len(list(every_graph(model))) > 1:
        raise NetworkError("a graph with control flow has no FP16 copy here: export it without")
    result = to_fp32(model)
    graph, float32 = result.graph, onnx.TensorProto.FLOAT
    scales = {name for node in graph.node if node.op_type in QDQ for name in node.input[1:]}
    for weight in graph.initializer:
        if weight.data_type == float32 and weight.name not in scales:
            weight.CopyFrom(_rounded(onnx, weight))
    inferred = onnx.shape_inference.infer_shapes(result).graph
    floats = {
        value.name
        for value in (*inferred.value_info, *inferred.output)
        if value.type.tensor_type.elem_type == float32
    }
    nodes = []
    weights = {weight.name for weight in graph.initializer}
    for value in graph.input:
        name = value.name
        if value.type.tensor_type.elem_type == float32 and name not in weights:
            rename(graph, name, name + ROUNDED, outputs=False)
            nodes += _casts(onnx, name, name + ROUNDED)
    for node in graph.node:
        nodes.append(node)
        if node.op_type in EXACT:
            continue
        for position, name in enumerate(node.output):
            if name in floats:
                node.output[position] = name + WIDE
                nodes += _casts(onnx, name + WIDE, name)
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def _rounded(onnx: Any, tensor: Any) -> Any:
    values = np.asarray(onnx.numpy_helper.to_array(tensor))
    with np.errstate(over="ignore"):
        return onnx.numpy_helper.from_array(
            values.astype(np.float16).astype(np.float32), tensor.name
        )


def _casts(onnx: Any, source: str, target: str) -> list[Any]:
    """Return nodes that round `source` to FP16 and call the result `target`."""
    kinds, half = onnx.TensorProto, target + HALF
    steps = ((source, half, kinds.FLOAT16), (half, target, kinds.FLOAT))
    return [
        onnx.helper.make_node("Cast", [first], [second], name=f"{second}/cast", to=kind)
        for first, second, kind in steps
    ]
