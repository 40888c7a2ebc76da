"""Fold what is constant once the batch is known, with ONNX Runtime's own optimiser.

Exporters calculate shapes from shapes (`x.view(x.size(0), -1)`): Shape, Gather, Concat, Reshape.
The shape inference of ONNX follows few of them. ONNX Runtime calculates them when it loads a model;
here the results are taken over into the graph, whose other nodes and names stay as they are.
"""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envs.errors import one_line
from envs.graph.branches import inline_branches
from envs.graph.cost import Shapes, needed_nodes, reads
from envs.optional import optional_import

#: Weights with more elements are hidden from ONNX Runtime: no shape is calculated from them.
MAX_KEPT_ELEMENTS = 1 << 16

#: Larger results are not folded (ONNX Runtime's option of this name): a file of a few bytes could
#: otherwise ask for any amount of memory.
MAX_FOLDED_BYTES = 1 << 26

#: The optimisers of ONNX Runtime's first level besides constant folding. They replace nodes
#: (onnxruntime 1.31, optimizer/graph_transformer_utils.cc).
OTHER_OPTIMIZERS = [
    "Level1_RuleBasedTransformer",
    "CommonSubexpressionElimination",
    "ConstantSharing",
    "MatMulAddFusion",
    "ReshapeFusion",
    "GeluFusionL1",
    "LayerNormFusionL1",
    "QDQPropagationTransformer",
    "EnsureUniqueDQForNodeUnit",
    "DoubleQDQPairsRemover",
    "WeightBiasQuantization",
    "TransposeOptimizer",
]

#: Versions of the ONNX file format that every ONNX Runtime of the last years loads; weights are
#: not inputs from the first of them on.
MIN_IR_VERSION, MAX_IR_VERSION = 4, 10

#: How deep constant branches may be nested.
MAX_NESTED_BRANCHES = 16

#: Fields of a TensorProto that hold its values.
VALUES = (
    "raw_data",
    "float_data",
    "int32_data",
    "int64_data",
    "uint64_data",
    "double_data",
    "string_data",
)


class LoadingError(Exception):
    """ONNX Runtime cannot load the model; the message is its own."""


def folded(model: Any) -> Any:
    """Return a copy of a ModelProto without the nodes that depend on constants and shapes alone.

    An `If` whose condition is constant is replaced by its branch.

    Args:
        model: the ModelProto; its inputs may have a batch or not. Weights without values stay so.

    Raises:
        LoadingError: ONNX Runtime cannot load it.
        DependencyError: onnxruntime is not installed.
    """
    result = type(model)()
    result.CopyFrom(model)
    for _ in range(MAX_NESTED_BRANCHES):
        _replace(result.graph, _conditions(result))
        if not inline_branches(result.graph):
            break
    _replace(result.graph, _constants(without_weights(result)))
    remove_unused(result.graph)
    return result


def runtime_shapes(model: Any, names: list[str]) -> Shapes:
    """Return the shapes of these tensors as ONNX Runtime infers them; unknown ones are left out.

    It also knows its own operators, those of com.microsoft.

    Raises:
        LoadingError: ONNX Runtime cannot load the model.
        DependencyError: onnxruntime is not installed.
    """
    session = loaded(with_outputs(without_weights(model), names))
    # An unknown number of axes looks like a single number there: neither is taken.
    return {
        output.name: tuple(output.shape)
        for output in session.get_outputs()
        if output.shape and all(isinstance(size, int) for size in output.shape)
    }


def known_shapes(values: Any) -> Shapes:
    """Return the shapes of ValueInfoProtos by name; those with an unknown size are left out."""
    shapes = {}
    for value in values:
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(
            size.HasField("dim_value") and size.dim_value >= 0 for size in tensor.shape.dim
        ):
            shapes[value.name] = tuple(size.dim_value for size in tensor.shape.dim)
    return shapes


def remove_unused(graph: Any) -> None:
    """Remove nodes and weights of a GraphProto that no output depends on."""
    nodes = needed_nodes(graph)
    used = {name for node in nodes for name in reads(node)}
    used |= {output.name for output in graph.output}
    weights = [weight for weight in graph.initializer if weight.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)


def _conditions(model: Any) -> dict[str, Any]:
    """Return the TensorProtos by name that the conditions of branches are, where they are constant.

    ONNX Runtime is given nothing else: where it knows a condition it takes the branch itself, and
    some versions crash over that (1.31.1 over that of silero-vad 6).
    """
    results = {name for node in model.graph.node for name in node.output if name}
    conditions = [node.input[0] for node in model.graph.node if node.op_type == "If"]
    if results.isdisjoint(conditions):
        return {}
    lean = without_weights(model)
    del lean.graph.output[:]
    asked = with_outputs(lean, [name for name in conditions if name in results])
    nodes = needed_nodes(asked.graph)
    del asked.graph.node[:]
    asked.graph.node.extend(nodes)
    return _constants(asked)


def _constants(asked: Any) -> dict[str, Any]:
    """Return the TensorProtos by name that ONNX Runtime makes of the results of nodes."""
    results = {name for node in asked.graph.node for name in node.output if name}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "folded.onnx"
        loaded(asked, target)
        saved = optional_import("onnx", "networks").load(str(target))
    return {each.name: each for each in saved.graph.initializer if each.name in results}


def _replace(graph: Any, constants: dict[str, Any]) -> None:
    helper = optional_import("onnx.helper", "networks")
    nodes, outputs = [], {output.name for output in graph.output}
    for node in graph.node:
        names = list(filter(None, node.output))
        if node.op_type == "Constant" or not all(name in constants for name in names):
            nodes.append(node)
            continue
        for name in names:
            if name in outputs:  # no inference gives a weight that is an output its shape
                nodes.append(helper.make_node("Constant", [], [name], value=constants[name]))
            else:
                graph.initializer.append(constants[name])
    del graph.node[:]
    graph.node.extend(nodes)


def with_outputs(model: Any, names: list[str]) -> Any:
    """Add tensors of any type to the outputs of a ModelProto, and return it."""
    onnx = optional_import("onnx", "networks")
    present = {value.name for value in model.graph.output}
    added = [name for name in dict.fromkeys(names) if name not in present]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in added)
    return model


def without_weights(model: Any) -> Any:
    """Return a copy whose large weights are inputs, so that their values are not needed."""
    onnx = optional_import("onnx", "networks")
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    constants = {name: tensor for node in graph.node for name, tensor in value_of(node)}
    large = {
        name: tensor
        for name, tensor in (weights | constants).items()
        if not has_values(tensor) or math.prod(tensor.dims) > MAX_KEPT_ELEMENTS
    }
    lean = type(model)(
        ir_version=min(max(model.ir_version, MIN_IR_VERSION), MAX_IR_VERSION),
        opset_import=model.opset_import,
        functions=model.functions,
    )
    lean.graph.name = graph.name
    lean.graph.node.extend(node for node in graph.node if large.keys().isdisjoint(node.output))
    lean.graph.initializer.extend(each for name, each in weights.items() if name not in large)
    lean.graph.sparse_initializer.extend(graph.sparse_initializer)
    lean.graph.input.extend(value for value in graph.input if value.name not in weights)
    lean.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims))
        for name, tensor in large.items()
    )
    lean.graph.output.extend(graph.output)
    return lean


def value_of(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and TensorProto of a Constant."""
    for attribute in node.attribute if node.op_type == "Constant" else ():
        if attribute.name == "value":
            yield node.output[0], attribute.t


def has_values(tensor: Any) -> bool:
    """Return True if a TensorProto holds its values itself."""
    return not tensor.external_data and (
        any(len(getattr(tensor, field)) for field in VALUES) or 0 in tensor.dims
    )


def loaded(model: Any, folded: Path | None = None) -> Any:
    """Return a session of ONNX Runtime; it writes the folded model, if it is told where."""
    onnxruntime = optional_import("onnxruntime", "networks")
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised; without this they are printed too
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = levels.ORT_DISABLE_ALL
    if folded is not None:
        options.graph_optimization_level = levels.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        options.add_session_config_entry(
            "optimization.constant_folding_max_output_size_in_bytes", str(MAX_FOLDED_BYTES)
        )
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(),  # from memory, so that it looks for no other file
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=OTHER_OPTIMIZERS,
        )
    except Exception as error:  # the errors of ONNX Runtime have no common base
        raise LoadingError(one_line(error, 400)) from error
