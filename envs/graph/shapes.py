"""Infer the shapes of a graph, and check that it can be served in batches."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.errors import NetworkError, one_line
from envs.graph.batch_rules import (
    check_batch,
    check_outputs,
    check_recurrent,
    forget_negative_sizes,
    served_inputs,
)
from envs.graph.cost import RECURRENT, Shapes, computed_nodes, needed_nodes, needed_tensors, reads
from envs.graph.folding import LoadingError, folded, known_shapes, runtime_shapes, value_of
from envs.graph.number_types import float_type, number_types
from envs.graph.onnx_file import load_weights
from envs.graph.unknown_shapes import shape_error
from envs.optional import optional_import

#: Upper bound for the elements of a tensor: no memory holds more.
MAX_ELEMENTS = 2**62

#: Weights with more elements lose their values before shapes are inferred.
MAX_KEPT_ELEMENTS = 1024


@dataclass(frozen=True)
class ShapedGraph:
    """A graph that can be served, with its shapes.

    Attributes:
        graph: a GraphProto without model-local functions; large weights may have lost their values.
            Where shapes are calculated from shapes, they are constants for a batch of `samples`.
        shapes: of every tensor whose shape is known, at a batch of `samples`.
        inputs: names of the inputs that are not weights.
        fixed_batch: the only batch size it runs with; None if it runs with any.
        float_types: element types of weights; indices and shapes have other types.
        float_type: the type that most weights have: `float32`, `float16` or `bfloat16`.
        quantised: True if the file itself has quantised nodes.
        shared: names of the outputs without a batch, which do not depend on the inputs.
        single_reason: why a file with a free batch is served with a batch of 1 alone, as a part of
            a sentence; None otherwise.
    """

    graph: Any
    shapes: Shapes
    inputs: list[str]
    fixed_batch: int | None
    float_types: frozenset[int]
    float_type: str = "float32"
    quantised: bool = False
    shared: frozenset[str] = frozenset()
    single_reason: str | None = None

    @property
    def samples(self) -> int:
        """Return the batch that the shapes are for."""
        return self.fixed_batch or 1


def shape_graph(model: Any, path: Path) -> ShapedGraph:
    """Infer the shapes in a ModelProto and return its graph; the model is changed.

    Args:
        model: the ModelProto.
        path: its name in errors; small weights outside the file are read from its folder.

    Raises:
        NetworkError: the model cannot be served in batches, or the size of a tensor depends on the
            data.
        DependencyError: onnx is not installed, or onnxruntime is needed and not installed.
    """
    onnx = optional_import("onnx", "networks")
    float_types = frozenset(
        onnx.TensorProto.DataType.Value(kind) for kind in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
    )
    names = [value.name for value in served_inputs(model)]
    fixed_batch = check_batch(model, path)
    if model.functions:
        model = optional_import("onnx.inliner", "networks").inline_local_functions(model)
    kind, quantised = float_type(model), bool(number_types(model).quantised)
    if quantised:  # its weights are integers
        float_types |= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    load_weights(model, path, MAX_KEPT_ELEMENTS)
    _drop_values(model, float_types, drop_output_batch=fixed_batch is None)
    constant = _constant_outputs(model.graph, names)
    single, shapes = _shaped(model, names, fixed_batch or 1, path, fold=bool(constant))
    if fixed_batch is None:
        doubled = _, others = _shaped(model, names, 2, path, fold=bool(constant))
        check_recurrent(single, shapes, others, path)
        shared = _shared(names, (single, shapes), doubled)
        batched = [output.name for output in single.output if output.name not in shared]
        reason = check_outputs(shapes, others, batched, path)
    else:
        constants, reason = _constant_outputs(single, names), None
        shared = frozenset(name for name in constants if shapes[name][:1] != (fixed_batch,))
        if fixed_batch > 1:
            _check_fixed_recurrent(model, names, fixed_batch, shapes, path)
    return ShapedGraph(
        graph=single,
        shapes=shapes,
        inputs=names,
        fixed_batch=1 if reason else fixed_batch,
        float_types=float_types,
        float_type=kind,
        quantised=quantised,
        shared=shared,
        single_reason=reason,
    )


@contextlib.contextmanager
def file_in_errors(path: Path) -> Iterator[None]:
    """Add the file's name and what to do to an error about one of its nodes."""
    try:
        yield
    except NetworkError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise NetworkError(
            f"{path}: {error}; export it with fixed shapes and without control flow"
        ) from None


def _drop_values(model: Any, float_types: frozenset[int], drop_output_batch: bool) -> None:
    """Remove large weights and recorded shapes, so that shapes are inferred quickly and anew."""
    for weight in model.graph.initializer:
        if weight.data_type in float_types and math.prod(weight.dims) > MAX_KEPT_ELEMENTS:
            for field in ("raw_data", "float_data", "int32_data", "double_data"):
                weight.ClearField(field)
    del model.graph.value_info[:]
    forget_negative_sizes(model)
    if drop_output_batch:
        _forget_output_batch(model)


def _forget_output_batch(model: Any) -> None:
    for value in model.graph.output:
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].Clear()


def _check_fixed_recurrent(
    model: Any, inputs: list[str], batch: int, shapes: Shapes, path: Path
) -> None:
    """Refuse a recurrent layer along the first axis, as far as the file fits another size of it."""
    if not any(node.op_type in RECURRENT for node in model.graph.node):
        return
    graph, others = model.graph, shapes
    _forget_output_batch(model)
    with contextlib.suppress(NetworkError):
        graph, others = _shaped(model, inputs, 2 * batch, path, fold=False)
    check_recurrent(graph, shapes, others, path)


def _constant_outputs(graph: Any, inputs: list[str]) -> set[str]:
    """Return the outputs that depend on weights or shapes alone."""
    computed = {name for node in computed_nodes(graph, inputs) for name in node.output}
    return {output.name for output in graph.output} - computed - set(inputs)


def _shared(
    inputs: list[str], single: tuple[Any, Shapes], doubled: tuple[Any, Shapes]
) -> frozenset[str]:
    """Return the constant outputs that are the same at both batch sizes."""
    (graph, shapes), (other, others) = single, doubled
    return frozenset(
        name
        for name in _constant_outputs(graph, inputs)
        if shapes[name] == others[name] and _value(graph, name) == _value(other, name)
    )


def _value(graph: Any, name: str) -> bytes | None:
    """Return the value of a constant; None if it was not calculated, for it depends on weights."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    tensors |= {each: tensor for node in graph.node for each, tensor in value_of(node)}
    return tensors[name].SerializeToString(deterministic=True) if name in tensors else None


def _shaped(
    model: Any, inputs: list[str], batch: int, path: Path, fold: bool
) -> tuple[Any, Shapes]:
    """Return the graph and all shapes at a batch size.

    Shapes that are calculated from shapes are folded by ONNX Runtime, but only if `fold` or if the
    inference of ONNX leaves a shape unknown that is needed.

    Raises:
        NetworkError: a shape stays unknown; the message names the operator.
    """
    graph = model.graph
    for value in graph.input:
        if value.name in inputs:
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_value = batch
    shapes = _infer(model, batch, path)
    unknown, message = _first_unknown(graph, inputs, shapes), None
    if fold or unknown is not None:
        try:
            changed = folded(model)
            graph, shapes = changed.graph, _infer(changed, batch, path)
            if _first_unknown(graph, inputs, shapes) is not None:
                asked = _needed(graph, inputs) - shapes.keys()
                shapes |= runtime_shapes(changed, sorted(asked))
        except LoadingError as error:
            message = str(error)
        unknown = _first_unknown(graph, inputs, shapes)
    if unknown is not None:
        raise shape_error(unknown, path, message, model)
    _check_sizes(shapes, path)
    _forget_unread(graph, shapes)
    return graph, shapes


def _needed(graph: Any, inputs: list[str]) -> set[str]:
    return needed_tensors(graph, computed_nodes(graph, inputs))


def _first_unknown(graph: Any, inputs: list[str], shapes: Shapes) -> Any:
    """Return the first node in order with a result whose shape is needed and unknown, or None."""
    missing = _needed(graph, inputs) - shapes.keys()
    return next((node for node in needed_nodes(graph) if not missing.isdisjoint(node.output)), None)


def _forget_unread(graph: Any, shapes: Shapes) -> None:
    """Leave out results of unknown shape that nobody reads: they have no cost that is known."""
    read = {name for node in graph.node for name in reads(node)}
    read |= {output.name for output in graph.output}
    for node in graph.node:
        for position, name in enumerate(node.output):
            if name not in shapes and name not in read:
                node.output[position] = ""


def _infer(model: Any, batch: int, path: Path) -> Shapes:
    """Return all shapes that the inference of ONNX knows.

    Where the shapes of the outputs that the file declares do not fit, they are forgotten, as ONNX
    Runtime does with a warning.
    """
    try:
        return _inferred(model)
    except MemoryError:
        raise NetworkError(
            f"{path} has shapes whose calculation needs more memory than there is: export it again"
        ) from None
    except Exception as error:  # the errors of ONNX have no common base
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
        with contextlib.suppress(Exception):
            return _inferred(model)
        raise NetworkError(
            f"{path} does not fit together at batch {batch} ({one_line(error)}): export it again"
        ) from error


def _inferred(model: Any) -> Shapes:
    graph = (
        optional_import("onnx.shape_inference", "networks")
        .infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        .graph
    )
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    return shapes | known_shapes((*graph.input, *graph.value_info, *graph.output))


def _check_sizes(shapes: Shapes, path: Path) -> None:
    for name, shape in shapes.items():
        if math.prod(shape) > MAX_ELEMENTS:
            raise NetworkError(
                f"{path} has a tensor that no memory holds ({str(name)[:80]!r}): export it again"
            )
