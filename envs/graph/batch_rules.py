"""Check that the inputs and outputs of a network have the batch in front."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from envs.errors import NetworkError
from envs.graph.cost import RECURRENT, Shapes, needed_nodes
from envs.graph.onnx_file import every_graph

#: Names of inputs that carry something from one call to the next.
STATE_NAME = re.compile(
    r"state|hidden|cell|cache|memory|(^|[^a-z])[hc](_?\d+|_?n|_?x|_?in|_?prev)?$", re.IGNORECASE
)

#: Sizes in an example of the option `shape`: of images, and of anything else.
EXAMPLE_PIXELS, EXAMPLE_LENGTH = 640, 128


def served_inputs(model: Any) -> list[Any]:
    """Return the inputs of a ModelProto that are not weights."""
    weights = {weight.name for weight in model.graph.initializer}
    weights |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    # Up to IR version 3 every weight is listed among the inputs.
    return [value for value in model.graph.input if value.name not in weights]


def declared(value: Any) -> tuple[int | str | None, ...] | None:
    """Return the shape of a ValueInfoProto as its file gives it; None if it gives none.

    A free dimension is its name, or None without a name. Some exporters write -1 for it.
    """
    if value.type.WhichOneof("value") != "tensor_type":
        return None
    if not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(
        int(size.dim_value)
        if size.HasField("dim_value") and size.dim_value >= 0
        else size.dim_param or None
        for size in value.type.tensor_type.shape.dim
    )


def forget_negative_sizes(model: Any) -> None:
    """Clear the dimensions of inputs and outputs that an exporter has written as -1: free ones."""
    for value in (*model.graph.input, *model.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.HasField("dim_value") and size.dim_value < 0:
                size.Clear()


def as_text(shape: Iterable[int | str | None]) -> str:
    """Return a shape for a sentence, such as [batch, 3, ?]."""
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


def check_batch(model: Any, path: Path) -> int | None:
    """Return the batch that all inputs of a ModelProto are fixed to; None if any can be used.

    Args:
        model: the ModelProto.
        path: the file's name in errors.

    Raises:
        NetworkError: an input has no batch in front, another dimension is dynamic, or an input or
            output is not a tensor.
    """
    inputs, outputs = served_inputs(model), model.graph.output
    if not inputs or not outputs:
        raise NetworkError(
            f"{path} has no {'outputs' if inputs else 'inputs'}, so there is nothing to serve: "
            "export it again"
        )
    for value in inputs:
        if value.type.WhichOneof("value") != "tensor_type":
            raise NetworkError(
                f"{path}: input {value.name!r} is not a tensor: "
                "export the network with tensors as inputs"
            )
    for value in outputs:
        _check_output_type(value, model.graph, path)
    shapes = {value.name: declared(value) for value in inputs}
    _refuse_states(shapes, model, path)
    for name, shape in shapes.items():
        _check_dimensions(name, shape, path)
    batches = {
        shape[0] if isinstance(shape[0], int) else None for shape in shapes.values() if shape
    }
    if len(batches) > 1:
        listed = ", ".join(f"{name} {as_text(shape or ())}" for name, shape in shapes.items())
        raise NetworkError(
            f"{path}: the first dimensions of its inputs differ ({listed}): "
            "export them all with the same batch dimension in front"
        )
    return batches.pop()


def check_outputs(single: Shapes, doubled: Shapes, outputs: list[str], path: Path) -> str | None:
    """Check the batch of the outputs that depend on the inputs.

    Args:
        single: all shapes at batch 1.
        doubled: those at batch 2.
        outputs: names of the outputs.
        path: the file's name in errors.

    Returns:
        The reason why only a batch of 1 can be served, that an output has the same shape for two
        requests as for one; None if every output has the batch in front.

    Raises:
        NetworkError: the batch changes another axis of an output than the first.
    """
    reason = None
    for name in outputs:
        one, two = single[name], doubled[name]
        if one == two:
            reason = reason or (
                f"output {name!r} is one for the whole batch ({as_text(one)} for any number of "
                "requests)"
            )
        elif one[:1] != (1,) or two != (2, *one[1:]):
            raise NetworkError(f"{path}: {_misplaced(name, one, two)}")
    return reason


def check_recurrent(graph: Any, single: Shapes, doubled: Shapes, path: Path) -> None:
    """Refuse a recurrent layer that runs along the batch of the inputs.

    Raises:
        NetworkError: there is one; samples of a batch would be steps of one sequence.
    """
    for node in needed_nodes(graph):
        if node.op_type not in RECURRENT or any(
            attribute.name == "layout" and attribute.i for attribute in node.attribute
        ):
            continue
        # X [steps, batch, features] (ONNX operators, LSTM, GRU and RNN).
        one, two = (shapes.get(node.input[0], ()) for shapes in (single, doubled))
        if one[:1] != two[:1]:
            raise NetworkError(
                f"{path}: {node.op_type} {node.name or node.output[0]!r} runs along the first axis "
                "of the inputs, so that answers depend on what else is in the batch: its first "
                "axis is time, not the batch; export it with the batch in front (batch_first=True "
                "in PyTorch)"
            )


def _misplaced(name: str, one: tuple[int, ...], two: tuple[int, ...]) -> str:
    seen = f"{as_text(one)} for one request, {as_text(two)} for two"
    if one and len(one) == len(two) and one[1:] == two[1:] and two[0] == 2 * one[0]:
        return (
            f"output {name!r} has {one[0]} rows for each request ({seen}): "
            f"export it as {as_text(('batch', *one))}"
        )
    changed = [axis for axis, sizes in enumerate(zip(one, two, strict=False)) if len({*sizes}) > 1]
    axis = f"changes axis {changed[0]}" if changed else "changes the number of axes"
    return (
        f"the first dimension of output {name!r} is not the batch, which {axis} ({seen}): "
        "export it as [batch, ...]"
    )


def _check_output_type(value: Any, graph: Any, path: Path) -> None:
    kind = value.type.WhichOneof("value")
    if kind in ("tensor_type", None):
        return
    node = next((node for node in graph.node if value.name in node.output), None)
    what = f"{path}: output {value.name!r} is not a tensor, but a {kind.removesuffix('_type')}"
    if node is None:
        raise NetworkError(f"{what}: export the network with tensors as outputs")
    remedy = (
        "export it with zipmap=False (skl2onnx: options={'zipmap': False})"
        if node.op_type == "ZipMap"
        else "export the network with tensors as outputs"
    )
    raise NetworkError(f"{what}, which {described(node)} gives: {remedy}")


def described(node: Any) -> str:
    """Return an operator with its domain and the name of its node, for a sentence."""
    domain = "" if node.domain in ("", "ai.onnx") else f" of domain {node.domain}"
    name = node.name or next(filter(None, node.output), "")
    return f"{node.op_type}{domain} (node {name!r})"


def _refuse_states(
    shapes: dict[str, tuple[int | str | None, ...] | None], model: Any, path: Path
) -> None:
    """Refuse an input whose batch is on another axis than the first, as those of states are."""
    initial = {
        name
        for graph in every_graph(model)
        for node in graph.node
        if node.op_type in RECURRENT
        for name in node.input[5:7]
    }
    suspects = {
        name
        for name, shape in shapes.items()
        if name in initial or (shape and len(shape) > 2 and STATE_NAME.search(str(name)))
    }
    firsts = {shape[0] for name, shape in shapes.items() if shape and name not in suspects}
    batches = {first for first in firsts if isinstance(first, str)}
    for name, shape in shapes.items():
        if not shape:
            continue
        known, later = isinstance(shape[0], int), not batches.isdisjoint(shape[1:])
        is_apart = bool(firsts) and shape[0] not in firsts
        if name in suspects and is_apart and (known or later):
            raise NetworkError(
                f"{path}: input {name!r} {as_text(shape)} is a state without the batch in front, "
                "which a caller carries from one request to the next: requests are independent "
                "here, so export the network without it, or with the batch in front"
            )
        if known and later:
            raise NetworkError(
                f"{path}: input {name!r} {as_text(shape)} has the batch behind its first "
                "dimension: export it as [batch, ...]"
            )


def _check_dimensions(name: str, shape: tuple[int | str | None, ...] | None, path: Path) -> None:
    where = f"{path}: input {name!r}"
    if shape is None:
        raise NetworkError(
            f"{where} has no shape with a batch in front: "
            f"give it one, for example shape={name}:1x3x{EXAMPLE_PIXELS}x{EXAMPLE_PIXELS}"
        )
    if not shape:
        raise NetworkError(
            f"{where} is a scalar, which has no shape with a batch in front: "
            f"give its value (fix={name}:VALUE)"
        )
    dynamic = [
        f"{axis} ({size})" if isinstance(size, str) else str(axis)
        for axis, size in enumerate(shape)
        if axis and (not isinstance(size, int) or size < 1)
    ]
    if dynamic:
        many = len(dynamic) > 1
        listed = f"{', '.join(dynamic[:-1])} and {dynamic[-1]}" if many else dynamic[0]
        raise NetworkError(
            f"{path}: dimension{'s' if many else ''} {listed} of input {name!r} "
            f"{'are' if many else 'is'} dynamic: name the whole shape, for example "
            f"shape={name}:{_example(shape)}"
        )
    if shape[0] == 0:
        raise NetworkError(f"{where} has a batch of 0: export it with a named batch dimension")


def _example(shape: tuple[int | str | None, ...]) -> str:
    unknown = EXAMPLE_PIXELS if len(shape) == 4 else EXAMPLE_LENGTH
    sizes = [size if isinstance(size, int) and size > 0 else unknown for size in shape[1:]]
    first = shape[0] if isinstance(shape[0], int) and shape[0] else 1
    return "x".join(map(str, [first, *sizes]))
