"""Prepares an ONNX graph for a DLA.

A DLA takes no dynamic batch; a global pool must be a pool with a window, and a fully connected
layer a convolution. Source of the rewriting: NVIDIA/Deep-Learning-Accelerator-SW,
operators/README.md and scripts/prepare_models; limits: `envs.graph.dla_rules`. The result computes
the same numbers. A softmax, or another operator that a DLA does not take, stays and runs on the
GPU.
"""

import contextlib
import copy
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs.errors import NetworkError, one_line
from envs.graph.dla_rules import CONV_KERNEL, POOL_WINDOW
from envs.graph.folding import LoadingError, folded
from envs.graph.onnx_file import MAX_MESSAGE_BYTES, read_whole
from envs.optional import optional_import
from envs.runtimes.tensorrt.flatten import Tail

Shape = tuple[int, ...]


@dataclass
class Prepared:
    """A changed graph.

    Attributes:
        model: a ModelProto with its weights inside.
        changes: one sentence per change.
    """

    model: Any
    changes: list[str] = field(default_factory=list)


def read(path: Path) -> Any:
    """Read a ModelProto with its external weights; NetworkError if it is too large to rewrite."""
    model = read_whole(path)
    if model.ByteSize() > MAX_MESSAGE_BYTES:
        raise NetworkError(
            f"{path} has more than 2 GB of weights, which no DLA takes and no INT8 or FP16 copy "
            "can be made of: serve it on cuda"
        )
    return model


def with_batch(model: Any, batch: int) -> Prepared:
    """Return a copy whose inputs have exactly this batch, and which lists no weight among them."""
    result = copy.deepcopy(model)
    weights = {weight.name for weight in result.graph.initializer}
    inputs = [value for value in result.graph.input if value.name not in weights]
    del result.graph.input[:]
    result.graph.input.extend(inputs)
    # Up to IR version 3 every weight is an input as well (ONNX specification).
    result.ir_version = max(4, result.ir_version)
    for value in result.graph.input:
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_value = batch
    if any(node.op_type == "Shape" for node in result.graph.node):
        with contextlib.suppress(LoadingError):  # an operator that only TensorRT knows
            result = folded(result)
    _forget_shapes(result)
    shapes_of(result)  # raises if the graph does not fit together at this batch
    return Prepared(result, [f"the batch is {batch}, fixed"])


def for_dla(model: Any, batch: int) -> Prepared:
    """Return a copy of which a DLA takes as much as possible.

    A global average over at most 8 x 8 pixels becomes an average pool with that window, and a fully
    connected layer behind it a convolution. An output [batch, features] may become
    [batch, features, 1, 1], which has the same numbers in the same order.
    """
    prepared = with_batch(model, batch)
    _pools(prepared)
    tail = Tail(prepared.model.graph, shapes_of(prepared.model), CONV_KERNEL)
    prepared.changes += tail.rewrite()
    _forget_shapes(prepared.model)
    shapes_of(prepared.model)
    try:
        optional_import("onnx.checker", "networks").check_model(prepared.model, full_check=True)
    except Exception as error:  # the checker's errors have no common base
        raise NetworkError(f"the graph cannot be prepared for a DLA ({one_line(error)})") from error
    return prepared


def save(prepared: Any, path: Path) -> None:
    """Write a ModelProto."""
    optional_import("onnx", "networks").save(prepared, str(path))


def shapes_of(model: Any) -> dict[str, Shape]:
    """Return the known shapes of tensors; NetworkError if the graph does not fit together."""
    onnx = optional_import("onnx", "networks")
    try:
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise NetworkError(
            f"the graph does not fit together with a fixed batch ({one_line(error)}): "
            "export it without a batch inside"
        ) from error
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(
            size.HasField("dim_value") for size in tensor.shape.dim
        ):
            shapes[value.name] = tuple(size.dim_value for size in tensor.shape.dim)
    return shapes


def _pools(prepared: Prepared) -> None:
    """Replace global averages by pools with a window, where a DLA has one as large."""
    helper = optional_import("onnx.helper", "networks")
    graph, shapes = prepared.model.graph, shapes_of(prepared.model)
    for position, node in enumerate(graph.node):
        window = _averaged(node, graph, shapes)
        if window is None:
            continue
        if max(window) > POOL_WINDOW:
            prepared.changes.append(
                f"{node.op_type} {node.name or node.output[0]} over {window[0]} x {window[1]} "
                "stays, and falls to the GPU"
            )
            continue
        kept = len(shapes[node.output[0]]) == 4
        pooled = node.output[0] if kept else f"{node.output[0]}/pooled"
        pool = helper.make_node(
            "AveragePool",
            [node.input[0]],
            [pooled],
            name=node.name,
            kernel_shape=window,
            strides=[1, 1],
            pads=[0, 0, 0, 0],
        )
        result = node.output[0]
        prepared.changes.append(
            f"{node.op_type} {node.name or result} became AveragePool {window[0]} x {window[1]}"
        )
        graph.node[position].CopyFrom(pool)
        if not kept:
            graph.node.insert(
                position + 1,
                helper.make_node("Flatten", [pooled], [result], name=f"{result}/flat", axis=1),
            )


def _averaged(node: Any, graph: Any, shapes: dict[str, Shape]) -> list[int] | None:
    """Return height and width if this node averages each channel over all of its pixels."""
    source = shapes.get(node.input[0]) if node.input else None
    if source is None or len(source) != 4 or math.prod(source[2:]) == 1:
        return None
    if node.op_type == "GlobalAveragePool":
        return list(source[2:])
    if node.op_type == "ReduceMean" and sorted(axis % 4 for axis in _axes(node, graph)) == [2, 3]:
        return list(source[2:])
    return None


def _axes(node: Any, graph: Any) -> list[int]:
    """Return the axes of a reduction: an attribute until opset 17, an input from then on."""
    for attribute in node.attribute:
        if attribute.name == "axes":
            return list(attribute.ints)
    to_array = optional_import("onnx.numpy_helper", "networks").to_array
    tensors = {weight.name: weight for weight in graph.initializer}
    tensors |= {
        each.output[0]: attribute.t
        for each in graph.node
        if each.op_type == "Constant"
        for attribute in each.attribute
        if attribute.name == "value"
    }
    axes = tensors.get(node.input[1]) if len(node.input) > 1 else None
    return [] if axes is None else [int(axis) for axis in to_array(axes)]


def _forget_shapes(model: Any) -> None:
    """Drop every shape except those of the inputs, and infer those of the outputs."""
    del model.graph.value_info[:]
    weights = {weight.name for weight in model.graph.initializer}
    for value in model.graph.output:
        if value.name not in weights:
            value.type.tensor_type.ClearField("shape")
    inferred = (
        optional_import("onnx.shape_inference", "networks")
        .infer_shapes(model, data_prop=True)
        .graph
    )
    outputs = {value.name: value for value in inferred.output}
    for value in model.graph.output:
        value.CopyFrom(outputs[value.name])
