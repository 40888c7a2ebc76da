"""Operators that multiply like a plain operator of ONNX, but quantised or fused."""

import re
from typing import Any

#: By domain and operator: the plain operator, and where its operands are among the inputs. Sources:
#: ONNX operator reference; onnxruntime, docs/ContribOperators.md.
EQUIVALENTS: dict[tuple[str, str], tuple[str, tuple[int, ...]]] = {
    ("", "ConvInteger"): ("Conv", (0, 1)),
    ("", "MatMulInteger"): ("MatMul", (0, 1)),
    ("", "QLinearConv"): ("Conv", (0, 3, 8)),
    ("", "QLinearMatMul"): ("MatMul", (0, 3)),
    ("com.microsoft", "QGemm"): ("Gemm", (0, 3, 6)),
    ("com.microsoft", "FusedConv"): ("Conv", (0, 1, 2)),
    ("com.microsoft.nchwc", "Conv"): ("Conv", (0, 1, 2)),
    ("com.microsoft", "FusedGemm"): ("Gemm", (0, 1, 2)),
    ("com.microsoft", "FusedMatMul"): ("MatMul", (0, 1)),
    ("com.microsoft", "MultiHeadAttention"): ("Attention", (0, 1, 2)),
    ("com.microsoft", "DynamicQuantizeMatMul"): ("MatMul", (0, 1)),
    ("com.microsoft", "MatMulIntegerToFloat"): ("MatMul", (0, 1)),
}


def plain(node: Any) -> Any:
    """Return the node, or its plain equivalent with the same attributes."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    found = EQUIVALENTS.get((domain, node.op_type))
    if found is None:
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    copy.op_type, copy.domain = found[0], ""
    del copy.input[:]
    copy.input.extend(node.input[place] for place in found[1] if place < len(node.input))
    return copy


def einsum_contracted(node: Any, shapes: list[tuple[int, ...]]) -> int:
    """Return the product of the sizes that an Einsum sums over; 1 if it sums over none.

    Args:
        node: the Einsum; its equation may have an ellipsis.
        shapes: of its inputs.
    """
    text = next(
        attribute.s.decode() for attribute in node.attribute if attribute.name == "equation"
    )
    terms, _, result = re.sub(r"\s", "", text).partition("->")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms.split(","), shapes, strict=True):
        front, dots, back = term.partition("...")
        sizes |= dict(zip(front, shape, strict=False))
        if dots and back:
            sizes |= dict(zip(back, shape[-len(back) :], strict=True))
    if "->" not in text:  # the labels that occur once are the result
        result = "".join(label for label in sizes if terms.count(label) == 1)
    contracted = 1
    for label, size in sizes.items():
        contracted *= 1 if label in result else size
    return contracted
