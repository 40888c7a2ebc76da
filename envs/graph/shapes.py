"""Check that a graph can be served in batches, and infer its shapes."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.errors import NetworkError, one_line
from envs.graph.cost import Shapes, computed_nodes
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
        shapes: of every tensor whose shape is known, at a batch of `samples`.
        inputs: names of the inputs that are not weights.
        fixed_batch: the only batch size it runs with; None if it runs with any.
        float_types: element types of weights; indices and shapes have other types.
    """

    graph: Any
    shapes: Shapes
    inputs: list[str]
    fixed_batch: int | None
    float_types: frozenset[int]

    @property
    def samples(self) -> int:
        """The batch that the shapes are for."""
        return self.fixed_batch or 1


def shape_graph(model: Any, path: Path) -> ShapedGraph:
    """Infer the shapes in a ModelProto and return its graph; the model is changed.

    Args:
        model: the ModelProto.
        path: its name in errors.

    Raises:
        NetworkError: the model cannot be served in batches.
    """
    onnx = optional_import("onnx", "networks")
    float_types = frozenset(
        onnx.TensorProto.DataType.Value(kind) for kind in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
    )
    inputs = served_inputs(model)
    fixed_batch = check_batch(inputs, model.graph.output, path)
    if model.functions:
        model = optional_import("onnx.inliner", "networks").inline_local_functions(model)
    _drop_values(model, float_types, drop_output_batch=fixed_batch is None)
    names = [value.name for value in inputs]
    shapes = _infer(onnx, model, names, fixed_batch or 1, path)
    with file_in_errors(path):
        computed_nodes(model.graph, shapes, names)
    if fixed_batch is None:
        _check_output_batch(_infer(onnx, model, names, 2, path), shapes, model.graph.output, path)
    return ShapedGraph(model.graph, shapes, names, fixed_batch, float_types)


@contextlib.contextmanager
def file_in_errors(path: Path) -> Iterator[None]:
    """Add the file's name and what to do to an error about one of its nodes."""
    try:
        yield
    except NetworkError as error:
        raise NetworkError(
            f"{path}: {error}; export it with fixed shapes and without control flow"
        ) from None


def served_inputs(model: Any) -> list[Any]:
    """Return the inputs of a ModelProto that are not weights."""
    weights = {weight.name for weight in model.graph.initializer}
    weights |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    # Up to IR version 3 every weight is listed among the inputs.
    return [value for value in model.graph.input if value.name not in weights]


def check_batch(inputs: list[Any], outputs: Any, path: Path) -> int | None:
    """Return the batch that all inputs are fixed to; None if any batch can be used.

    Args:
        inputs: ValueInfoProtos of the inputs that are not weights.
        outputs: those of the outputs.
        path: the file's name in errors.

    Raises:
        NetworkError: an input has no batch in front, or another dimension is dynamic.
    """
    if not inputs or not outputs:
        raise NetworkError(
            f"{path} has no {'outputs' if inputs else 'inputs'}, so there is nothing to serve: "
            "export it again"
        )
    batches = {_input_batch(value, path) for value in inputs}
    if len(batches) > 1:
        raise NetworkError(
            f"{path}: the first dimensions of its inputs differ: "
            "export them all with the same batch dimension in front"
        )
    return batches.pop()


def _input_batch(value: Any, path: Path) -> int | None:
    where = f"{path}: input {value.name!r}"
    if value.type.WhichOneof("value") != "tensor_type":
        raise NetworkError(f"{where} is not a tensor: export the network with tensors as inputs")
    shape = value.type.tensor_type.shape
    if not value.type.tensor_type.HasField("shape") or not shape.dim:
        raise NetworkError(f"{where} has no shape with a batch in front: export it as [batch, ...]")
    first, *rest = shape.dim
    for position, size in enumerate(rest, start=1):
        if size.dim_value < 1:
            label = f" ({size.dim_param})" if size.dim_param else ""
            raise NetworkError(
                f"{path}: dimension {position}{label} of input {value.name!r} is dynamic: "
                "fix all but the batch"
            )
    if not first.HasField("dim_value"):
        return None
    if first.dim_value < 1:
        raise NetworkError(
            f"{where} has a batch of {first.dim_value}: export it with a named batch dimension"
        )
    return int(first.dim_value)


def _drop_values(model: Any, float_types: frozenset[int], drop_output_batch: bool) -> None:
    """Remove large weights and recorded shapes, so that shapes are inferred quickly and anew."""
    for weight in model.graph.initializer:
        if weight.data_type in float_types and math.prod(weight.dims) > MAX_KEPT_ELEMENTS:
            for field in ("raw_data", "float_data", "int32_data", "double_data"):
                weight.ClearField(field)
    del model.graph.value_info[:]
    for value in model.graph.output if drop_output_batch else ():
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].Clear()


def _infer(onnx: Any, model: Any, inputs: list[str], batch: int, path: Path) -> Shapes:
    """Return all known shapes at a batch size; the model's inputs keep that batch."""
    for value in model.graph.input:
        if value.name in inputs:
            value.type.tensor_type.shape.dim[0].dim_value = batch
    try:
        graph = onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        ).graph
    except (
        onnx.shape_inference.InferenceError,
        onnx.checker.ValidationError,
        RuntimeError,
        ValueError,
    ) as error:
        raise NetworkError(
            f"{path} does not fit together at batch {batch} ({one_line(error)}): export it again"
        ) from error
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(
            size.HasField("dim_value") for size in tensor.shape.dim
        ):
            shapes[value.name] = tuple(size.dim_value for size in tensor.shape.dim)
    for name, shape in shapes.items():
        if math.prod(shape) > MAX_ELEMENTS:
            raise NetworkError(
                f"{path} has a tensor that no memory holds ({str(name)[:80]!r}): export it again"
            )
    return shapes


def _check_output_batch(doubled: Shapes, single: Shapes, outputs: Any, path: Path) -> None:
    for value in outputs:
        one, two = single.get(value.name), doubled.get(value.name)
        if not one or not two or one[0] != 1 or two != (2, *one[1:]):
            raise NetworkError(
                f"{path}: the first dimension of output {value.name!r} is not the batch: "
                "export it as [batch, ...]"
            )
