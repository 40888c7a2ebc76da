"""The number types inside an ONNX graph, found in its weights, casts and quantised nodes."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from envs.graph.onnx_file import every_graph, open_model
from envs.optional import optional_import

#: Nodes that convert to and from INT8, which every runtime takes.
QDQ = frozenset({"QuantizeLinear", "DequantizeLinear"})

#: Nodes that compute in INT8 themselves, which ONNX Runtime takes and TensorRT does not; so are all
#: whose name starts with `QLinear`.
INTEGER = frozenset(
    {
        "DynamicQuantizeLinear",
        "ConvInteger",
        "MatMulInteger",
        # Of com.microsoft (onnxruntime, docs/ContribOperators.md).
        "DynamicQuantizeMatMul",
        "DynamicQuantizeLSTM",
        "MatMulIntegerToFloat",
        "QAttention",
        "QGemm",
    }
)

#: Operators whose result type is an attribute.
TYPED = {"Cast": "to", "RandomNormal": "dtype", "RandomUniform": "dtype", "EyeLike": "dtype"}


class NumberTypes(NamedTuple):
    """The number types in a file.

    Attributes:
        halves: `float16` and `bfloat16`, those of them that occur anywhere.
        quantised: the operators that convert to INT8 or compute in it (`QDQ`, `INTEGER`).
        asymmetric: True if a quantised tensor is unsigned or has a zero point other than zero.
    """

    halves: frozenset[str] = frozenset()
    quantised: frozenset[str] = frozenset()
    asymmetric: bool = False


def number_types(model: Any) -> NumberTypes:
    """Return the number types in a ModelProto, whose external data need not be loaded."""
    kinds = optional_import("onnx", "networks").TensorProto
    names = {kinds.FLOAT16: "float16", kinds.BFLOAT16: "bfloat16"}
    halves, quantised, asymmetric = set[str](), set[str](), False
    for graph in every_graph(model):
        halves |= {names[kind] for kind in _element_types(graph) if kind in names}
        found = {str(node.op_type) for node in graph.node if _is_quantised(node)}
        quantised |= found
        asymmetric = asymmetric or (bool(found) and _is_asymmetric(graph))
    return NumberTypes(frozenset(halves), frozenset(quantised), asymmetric)


def integer_operators(path: Path) -> list[str]:
    """Return the operators in an ONNX file that compute in INT8 themselves, sorted."""
    model, _, _ = open_model(path)
    return sorted(number_types(model).quantised - QDQ)


def float_type(model: Any) -> str:
    """Return the type that most weights of a ModelProto have; that of its inputs without weights.

    It is `float32`, `float16` or `bfloat16`; other types count as `float32`.
    """
    kinds = optional_import("onnx", "networks").TensorProto
    names = {
        kinds.FLOAT: "float32",
        kinds.DOUBLE: "float32",
        kinds.FLOAT16: "float16",
        kinds.BFLOAT16: "bfloat16",
    }
    counts: Counter[str] = Counter()
    for graph in every_graph(model):
        for tensor in _constants(graph):
            if tensor.data_type in names:
                counts[names[tensor.data_type]] += math.prod(tensor.dims)
    if not counts:
        types = (value.type.tensor_type.elem_type for value in model.graph.input)
        counts.update(names[kind] for kind in types if kind in names)
    return max(counts, key=lambda name: (counts[name], name), default="float32")


def _constants(graph: Any) -> Iterator[Any]:
    yield from getattr(graph, "initializer", ())
    for node in graph.node:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _is_quantised(node: Any) -> bool:
    return node.op_type in QDQ | INTEGER or str(node.op_type).startswith("QLinear")


def _element_types(graph: Any) -> Iterator[int]:
    """Yield the types of weights, constants, inputs, outputs and casts of one graph."""
    for tensor in getattr(graph, "initializer", ()):
        yield tensor.data_type
    for value in (*graph.input, *graph.output):
        if not isinstance(value, str):  # those of a function are names without types
            yield value.type.tensor_type.elem_type
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t.data_type
            elif attribute.name == TYPED.get(node.op_type):
                yield attribute.i


def _is_asymmetric(graph: Any) -> bool:
    """Return True if a zero point that is a constant of this graph is unsigned or not zero.

    Without a zero point a tensor is unsigned (ONNX operator reference, QuantizeLinear), unless
    `output_dtype` says its type.
    """
    onnx = optional_import("onnx", "networks")
    constants = {tensor.name: tensor for tensor in getattr(graph, "initializer", ())}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            constants[node.output[0]] = node.attribute[0].t
    for node in graph.node:
        if node.op_type not in QDQ:
            continue
        if len(node.input) < 3 or not node.input[2]:
            types = [each.i for each in node.attribute if each.name == "output_dtype"]
            if node.op_type == "QuantizeLinear" and not types:
                return True
            continue
        point = constants.get(node.input[2])
        if point is None:
            continue
        if point.data_type == onnx.TensorProto.UINT8:
            return True
        # A weight's own zero points are few; large ones in other files are not read here.
        if not point.external_data and onnx.numpy_helper.to_array(point).astype(float).any():
            return True
    return False
