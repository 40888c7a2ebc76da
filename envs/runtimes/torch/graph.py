"""An ONNX graph as PyTorch runs it: read node by node, without anything that could run code from the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from envs.errors import NetworkError
from envs.network import Network
from envs.onnx_file import check_model, one_line, open_model
from envs.optional import optional_import
from envs.runtimes.torch.operators import HOST, OPERATORS

#: The oldest set of operators whose meaning `operators` follows.
OLDEST_OPSET = 11

#: They look at the shape of what they get, not at its values.
_LOOKING = frozenset({"Shape"})


@dataclass(frozen=True)
class Step:
    """One node.

    Attributes:
        compute: takes the inputs, None for one that is left out, and lists or numbers at the `numbers` positions.
        inputs, outputs: names of tensors, "" for one that is left out.
        numbers: positions of inputs that say what to do.
        on_host: it computes what such an input says.
        spent: tensors that nobody needs afterwards.
    """

    label: str
    compute: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: tuple[int, ...]
    on_host: bool
    spent: tuple[str, ...]


@dataclass(frozen=True)
class TorchGraph:
    """Steps and their weights: `weights` on the device, `host` those that steps need as numbers, on the processor."""

    steps: tuple[Step, ...]
    weights: dict[str, Any]
    host: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def to(self, device: Any) -> TorchGraph:
        """The same graph with its weights on another device."""
        return TorchGraph(self.steps, {name: weight.to(device) for name, weight in self.weights.items()}, self.host, self.inputs, self.outputs)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Output tensors [b, ...] for input tensors [b, ...] on the device of the weights, in the network's order."""
        values = {**self.weights, **dict(zip(self.inputs, inputs, strict=True))}
        host = dict(self.host)
        device = inputs[0].device
        for step in self.steps:
            near, far = (host, values) if step.on_host else (values, host)
            arguments: list[Any] = []
            for position, name in enumerate(step.inputs):
                if not name:
                    arguments.append(None)
                elif position in step.numbers:
                    arguments.append(host[name].tolist())
                else:
                    found = near.get(name)
                    arguments.append(found if found is not None else far[name] if step.on_host else far[name].to(device))
            try:
                made = step.compute(*arguments)
            except NetworkError as error:
                raise NetworkError(f"{step.label} asks for {error}, which the PyTorch runtime does not do") from None
            for name, tensor in zip(step.outputs, made if isinstance(made, (tuple, list)) else (made,), strict=True):
                near[name] = tensor if step.on_host else tensor.to(device)
            for name in step.spent:
                values.pop(name, None)
        return [values[name] for name in self.outputs]


def read_torch_graph(path: Path, network: Network) -> TorchGraph:
    """The graph in the ONNX file at `path`, which `network` describes, on the processor.

    Raises:
        NetworkError: the file has changed, uses an operator that is not supported (named in the message), is not FP32, or lets data decide a shape.
    """
    onnx, torch = optional_import("onnx", "networks"), optional_import("torch", "train")
    model, sha256 = open_model(path)
    if sha256 != network.sha256:
        raise NetworkError(f"{path} has changed since it was read: start again")
    check_model(path)
    optional_import("onnx.external_data_helper", "networks").load_external_data_for_model(model, str(path.parent))
    if model.functions:
        model = optional_import("onnx.inliner", "networks").inline_local_functions(model)
    try:
        graph = _translate(onnx, torch, model)
        _try_shapes(torch, graph, network)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}; serve it with another runtime, or export it differently") from None
    return graph


def _translate(onnx: Any, torch: Any, model: Any) -> TorchGraph:
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < OLDEST_OPSET:
        raise NetworkError(f"it is of opset {opset}, the PyTorch runtime reads {OLDEST_OPSET} and later")
    weights = {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        attributes = {attribute.name: _attribute(onnx, torch, attribute) for attribute in node.attribute}
        if node.op_type == "Constant":
            weights[node.output[0]] = torch.as_tensor(next(iter(attributes.values())))
        else:
            nodes.append((node, attributes | {"opset": opset, "outputs": len(node.output)}))
    _demand_supported(node for node, _ in nodes)
    _demand_fp32(torch, weights)
    inputs = tuple(value.name for value in model.graph.input if value.name not in weights)
    outputs = tuple(value.name for value in model.graph.output)
    host = _host_names([node for node, _ in nodes])
    if told := sorted(host & set(inputs)):
        raise NetworkError(f"a shape depends on the values of its input {told[0]!r}")
    last = {name: position for position, (node, _) in enumerate(nodes) for name in node.input}
    steps = []
    for position, (node, attributes) in enumerate(nodes):
        if node.op_type == "Cast":
            attributes["to"] = getattr(torch, onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]).name)
        names = dict.fromkeys([*node.input, *node.output])
        spent = tuple(name for name in names if name and last.get(name, position) == position and name not in outputs and name not in weights)
        numbers = HOST.get(node.op_type, ())
        compute = partial(OPERATORS[node.op_type], torch, attributes)
        steps.append(Step(_label(node), compute, tuple(node.input), _outputs(node), numbers, bool(host & set(node.output)), spent))
    computed = {name for step in steps if not step.on_host for position, name in enumerate(step.inputs) if position not in step.numbers}
    kept = {name: weights[name] for name in (computed | set(outputs)) & weights.keys()}
    return TorchGraph(tuple(steps), kept, {name: weights[name] for name in host & weights.keys()}, inputs, outputs)


def _attribute(onnx: Any, torch: Any, attribute: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return torch.from_numpy(onnx.numpy_helper.to_array(value).copy())
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def _label(node: Any) -> str:
    return f"{node.op_type} {node.name or node.output[0]!r}"


def _outputs(node: Any) -> tuple[str, ...]:
    """Of all outputs where there are many to choose from, else of the first: those of training are left out by the check before."""
    return tuple(node.output) if node.op_type == "Split" else (node.output[0],)


def _demand_supported(nodes: Iterable[Any]) -> None:
    for node in nodes:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            where = f" of {node.domain}" if node.domain not in ("", "ai.onnx") else ""
            raise NetworkError(f"the PyTorch runtime does not have the operator {node.op_type}{where} (node {node.name or node.output[0]!r})")
        if node.op_type != "Split" and any(node.output[1:]):
            raise NetworkError(f"the PyTorch runtime gives only the first output of {_label(node)}")


def _demand_fp32(torch: Any, weights: dict[str, Any]) -> None:
    for name, weight in weights.items():
        if weight.is_floating_point() and weight.dtype is not torch.float32:
            raise NetworkError(f"the weight {name!r} is {str(weight.dtype).removeprefix('torch.')}: give the FP32 file")


def _host_names(nodes: Sequence[Any]) -> set[str]:
    """Tensors that say what to do, back to the shapes and constants that they are made from."""
    names: set[str] = set()
    for node in reversed(nodes):
        if names & set(node.output) and node.op_type not in _LOOKING:
            names |= set(node.input)
        names |= {node.input[position] for position in HOST.get(node.op_type, ()) if position < len(node.input)}
    return names - {""}


def _try_shapes(torch: Any, graph: TorchGraph, network: Network) -> None:
    """Run without computing: what a node asks for and cannot have comes out now, and not when somebody waits."""
    batch = network.fixed_batch or 1
    try:
        outputs = graph.to("meta")([torch.empty((batch, *spec.shape), dtype=getattr(torch, spec.dtype), device="meta") for spec in network.inputs])
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError) as error:
        raise NetworkError(f"PyTorch cannot run it ({one_line(error)})") from error
    for spec, output in zip(network.outputs, outputs, strict=True):
        if tuple(output.shape) not in ((batch, *spec.shape), spec.shape):
            raise NetworkError(f"PyTorch gives {list(output.shape)} for the output {spec.name!r}, not {[batch, *spec.shape]}")
