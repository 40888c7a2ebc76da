"""Say why the size of a result is not known, with the operator's name and what can be done."""

import re
from pathlib import Path
from typing import Any

from envs.errors import NetworkError
from envs.graph.batch_rules import described
from envs.graph.onnx_file import every_graph
from envs.optional import optional_import

#: Operators whose results have as many rows as the data give.
RAGGED = frozenset({"NonZero", "NonMaxSuppression", "Unique", "Compress", "StringSplit"})

CONTROL_FLOW = frozenset({"Loop", "If", "Scan"})

#: Both names of ONNX's own operators.
ONNX_DOMAINS = ("", "ai.onnx")

#: What can be done about an operator that only another runtime knows.
REMEDY = (
    "serve the network without it, or export it for TensorRT, which needs no shapes "
    "(python -m tuner.export --target trtexec)"
)

#: ONNX Runtime's message for an operator that it does not have: `domain:Type(version)`.
_UNKNOWN_OPERATOR = re.compile(r"(\S*?):?(\w+)\(-?\d+\) is not a registered function/op")


class UnknownShapeError(NetworkError):
    """The size of a result is not known.

    Attributes:
        reason: why, without the file's name and without what can be done.
    """

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}: {remedy}")
        self.reason = reason


def shape_error(node: Any, path: Path, loading_error: str | None, model: Any) -> UnknownShapeError:
    """Return the error about a node whose result has no known shape.

    Args:
        node: the first such node in the order of the graph.
        path: the file's name in errors.
        loading_error: what ONNX Runtime says if it cannot load the file.
        model: the ModelProto.
    """
    if loading_error is not None:
        if unknown := _unknown_operator(model, loading_error):
            return UnknownShapeError(
                path,
                f"ONNX Runtime does not know the operator {described(unknown)}, so that its cost "
                "is not known",
                REMEDY,
            )
        if node.op_type not in RAGGED | CONTROL_FLOW:
            return UnknownShapeError(
                path,
                f"the shapes behind {described(node)} are not known, because ONNX Runtime cannot "
                f"load the file ({loading_error})",
                "export it again",
            )
    return UnknownShapeError(path, *_reason(node))


def refuse_unknown(model: Any, path: Path) -> None:
    """Refuse an operator that claims to be one of ONNX and is none, such as a plugin of TensorRT.

    ONNX's checker would call the whole file invalid.

    Raises:
        UnknownShapeError: there is one.
    """
    defs = optional_import("onnx.defs", "networks")
    own = {function.name for function in model.functions if function.domain in ONNX_DOMAINS}
    for graph in every_graph(model):
        for node in graph.node:
            is_plain = node.domain in ONNX_DOMAINS and node.op_type not in own
            # Protobuf returns bytes for a text that is not UTF-8: the checker refuses that.
            if is_plain and isinstance(node.op_type, str) and not defs.has(node.op_type):
                raise UnknownShapeError(
                    path,
                    f"ONNX has no operator {described(node)}, which stands in its own domain"
                    " ai.onnx, so that its cost is not known",
                    REMEDY,
                )


def _reason(node: Any) -> tuple[str, str]:
    """Return why the size of the result is not known, and what can be done."""
    if node.op_type in RAGGED:
        return (
            f"{described(node)} gives as many rows as its data hold, so that the cost depends on "
            "the data",
            "end the network before it and do this step outside",
        )
    if node.op_type in CONTROL_FLOW:
        return (
            f"{described(node)} repeats or leaves out layers as its data say, so that the cost "
            "depends on the data",
            "export it without control flow",
        )
    return (
        f"the size of the result of {described(node)} depends on the data",
        "export it with fixed shapes, or end the network before it",
    )


def _unknown_operator(model: Any, message: str) -> Any:
    found = _UNKNOWN_OPERATOR.search(message)
    if not found:
        return None
    domain, operator = found.groups()
    for node in model.graph.node:
        if node.op_type == operator and str(node.domain) in (domain, ""):
            return node
    return None
