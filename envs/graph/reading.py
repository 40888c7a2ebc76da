"""Read an ONNX file as a graph with shapes, and describe it as a network."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.errors import NetworkError, one_line
from envs.graph.cost import computed, cost
from envs.graph.onnx_file import check_model, open_with_content
from envs.optional import optional_import
from envs.spec.network import Network, TensorSpec

#: What is larger is no tensor, and no number to calculate with.
MAX_ELEMENTS = 2**62


def read_network(path: str | Path, name: str | None = None) -> Network:
    """Describes the ONNX file in `path`; its name is that of the file where none is given.

    Raises:
        NetworkError: the file is missing, damaged, unsafe, made for training, or cannot be served in batches.
        DependencyError: onnx is not installed.
    """
    path = Path(path)
    return described(*read_graph(path), path, name)


def described(graph: ShapedGraph, sha256: str, path: Path, name: str | None = None) -> Network:
    """What `read_network` says of a graph that was read from `path`."""
    with naming(path):
        total = cost(graph.graph, graph.shapes, graph.inputs, graph.float_types)
    inputs = {value.name: value for value in graph.graph.input}
    return Network(
        name=path.stem if name is None else name,
        sha256=sha256,
        macs=total.macs // graph.samples,
        weight_bytes=total.weight_bytes,
        activation_bytes=math.ceil(total.activation_bytes / graph.samples),
        layers=total.layers,
        inputs=tuple(
            _spec(inputs[name], graph.shapes, graph.samples, path) for name in graph.inputs
        ),
        outputs=tuple(
            _spec(value, graph.shapes, graph.samples, path) for value in graph.graph.output
        ),
        fixed_batch=graph.fixed_batch,
    )


@dataclass(frozen=True)
class ShapedGraph:
    """A graph that can be served, with its shapes.

    Attributes:
        graph: a GraphProto without model-local functions; its large weights may have lost their values.
        shapes: of every tensor whose shape is known, at a batch of `samples`.
        inputs: names of the inputs that are no weights.
        fixed_batch: the only batch size it can be run with; None where any can.
        float_types: element types that are weights (indices and shapes are not).
    """

    graph: Any
    shapes: dict[str, tuple[int, ...]]
    inputs: list[str]
    fixed_batch: int | None
    float_types: frozenset[int]

    @property
    def samples(self) -> int:
        """The batch that the shapes are for."""
        return self.fixed_batch or 1


def read_graph(path: Path) -> tuple[ShapedGraph, str]:
    """The graph in an ONNX file, checked, and the SHA-256 of all that it is made of; the errors are those of `read_network`."""
    model, sha256, content = open_with_content(path)
    _batch_of(
        _inputs(model), model.graph.output, path
    )  # says what to change where the checker would only say that it is invalid
    check_model(path, content)
    del content
    return shape_graph(model, path), sha256


def shape_graph(model: Any, path: Path) -> ShapedGraph:
    """Infers the shapes in a ModelProto, which is used up; errors call it `path`."""
    onnx = optional_import("onnx", "networks")
    floats = frozenset(
        onnx.TensorProto.DataType.Value(kind) for kind in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
    )
    inputs = _inputs(model)
    fixed_batch = _batch_of(inputs, model.graph.output, path)
    if model.functions:
        model = optional_import("onnx.inliner", "networks").inline_local_functions(model)
    _forget_values(model, floats, outputs=fixed_batch is None)
    names = [value.name for value in inputs]
    shapes = _infer(onnx, model, names, fixed_batch or 1, path)
    with naming(path):
        computed(model.graph, shapes, names)
    if fixed_batch is None:
        _demand_batch(_infer(onnx, model, names, 2, path), shapes, model.graph.output, path)
    return ShapedGraph(model.graph, shapes, names, fixed_batch, floats)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the file and what to do to an error about one of its nodes."""
    try:
        yield
    except NetworkError as error:
        raise NetworkError(
            f"{path}: {error}; export it with fixed shapes and without control flow"
        ) from None


def _inputs(model: Any) -> list[Any]:
    weights = {weight.name for weight in model.graph.initializer} | {
        sparse.values.name for sparse in model.graph.sparse_initializer
    }
    # Until IR 3 every weight had to be listed among the inputs.
    return [value for value in model.graph.input if value.name not in weights]


def _batch_of(inputs: list[Any], outputs: Any, path: Path) -> int | None:
    """The batch that all inputs are fixed to, or None where it is free."""
    if not inputs or not outputs:
        raise NetworkError(
            f"{path} has no {'outputs' if inputs else 'inputs'}, so there is nothing to serve: export it again"
        )
    batches: set[int | None] = set()
    for value in inputs:
        if value.type.WhichOneof("value") != "tensor_type":
            raise NetworkError(
                f"{path}: input {value.name!r} is no tensor: export the network with tensors as inputs"
            )
        if not value.type.tensor_type.HasField("shape") or not value.type.tensor_type.shape.dim:
            raise NetworkError(
                f"{path}: input {value.name!r} has no shape with a batch in front: export it as [batch, ...]"
            )
        first, *rest = value.type.tensor_type.shape.dim
        for position, size in enumerate(rest, start=1):
            if size.dim_value < 1:
                label = f" ({size.dim_param})" if size.dim_param else ""
                raise NetworkError(
                    f"{path}: dimension {position}{label} of input {value.name!r} is dynamic: fix all but the batch"
                )
        if first.HasField("dim_value") and first.dim_value < 1:
            raise NetworkError(
                f"{path}: input {value.name!r} has a batch of {first.dim_value}: export it with a named batch dimension"
            )
        batches.add(first.dim_value if first.HasField("dim_value") else None)
    if len(batches) > 1:
        raise NetworkError(
            f"{path}: the first dimensions of its inputs differ: export them all with the same batch dimension in front"
        )
    return batches.pop()


def _forget_values(model: Any, floats: frozenset[int], outputs: bool) -> None:
    """Makes the model cheap to infer shapes of: no large weights, and no batch that was written down (nor on `outputs` if so asked)."""
    for weight in model.graph.initializer:
        if weight.data_type in floats and math.prod(weight.dims) > 1024:
            for field in ("raw_data", "float_data", "int32_data", "double_data"):
                weight.ClearField(field)
    del model.graph.value_info[:]
    for value in model.graph.output if outputs else ():
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].Clear()


def _infer(
    onnx: Any, model: Any, inputs: list[str], batch: int, path: Path
) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors with a known shape, for one batch size; the model keeps that batch in its inputs."""
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


def _demand_batch(
    doubled: dict[str, tuple[int, ...]],
    single: dict[str, tuple[int, ...]],
    outputs: Any,
    path: Path,
) -> None:
    for value in outputs:
        one, two = single.get(value.name), doubled.get(value.name)
        if not one or not two or one[0] != 1 or two != (2, *one[1:]):
            raise NetworkError(
                f"{path}: the first dimension of output {value.name!r} is not the batch: export it as [batch, ...]"
            )


def _spec(value: Any, shapes: dict[str, tuple[int, ...]], batch: int, path: Path) -> TensorSpec:
    onnx = optional_import("onnx", "networks")
    shape = shapes.get(value.name)
    if not isinstance(value.name, str):  # protobuf gives bytes where a text is not UTF-8
        raise NetworkError(f"{path}: the name {value.name!r} is not text: export it again")
    if value.type.WhichOneof("value") != "tensor_type" or shape is None:
        raise NetworkError(
            f"{path}: {value.name!r} is no tensor of a known shape: export the network with fixed shapes"
        )
    if value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
        raise NetworkError(
            f"{path}: {value.name!r} holds text: export the network without its tokenizer"
        )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    # A network that is fixed to one batch may give one result for all of it.
    return TensorSpec(value.name, shape[1:] if shape[:1] == (batch,) else shape, dtype)
