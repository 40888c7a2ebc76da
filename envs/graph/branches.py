"""Replace an `If` whose condition is constant by the branch that is taken."""

from collections import Counter
from typing import Any

from envs.graph.onnx_file import graphs
from envs.optional import optional_import


def inline_branches(graph: Any) -> bool:
    """Replace each `If` of a GraphProto whose condition is constant; return True if there was one.

    Names of a branch that another part of the graph has as well get the name of the `If` in front.
    """
    conditions = _constant_bools(graph)
    if not any(_is_constant(node, conditions) for node in graph.node):
        return False
    nodes: list[Any] = []
    for node in list(graph.node):
        if _is_constant(node, conditions):
            nodes += _taken(node, conditions[node.input[0]], graph)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return True


def _is_constant(node: Any, conditions: dict[str, bool]) -> bool:
    return node.op_type == "If" and node.input[0] in conditions


def _constant_bools(graph: Any) -> dict[str, bool]:
    """Return the value of each constant that is one bool."""
    onnx = optional_import("onnx", "networks")
    tensors = {each.name: each for each in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                tensors[node.output[0]] = attribute.t
    return {
        name: bool(onnx.numpy_helper.to_array(tensor).item())
        for name, tensor in tensors.items()
        if tensor.data_type == onnx.TensorProto.BOOL and list(tensor.dims) in ([], [1])
    }


def _taken(node: Any, condition: bool, graph: Any) -> list[Any]:
    """Return the nodes of the branch; its weights are added to the graph."""
    onnx = optional_import("onnx", "networks")
    wanted = "then_branch" if condition else "else_branch"
    branch = next(attribute.g for attribute in node.attribute if attribute.name == wanted)
    count = Counter(name for each in graphs(graph) for name in _defined(each))
    prefix = node.name or node.output[0]
    renamed = {name: f"{prefix}/{name}" for name in _defined(branch) if count[name] > 1}
    for inner in graphs(branch):
        _rename(inner, renamed)
    graph.initializer.extend(branch.initializer)
    graph.sparse_initializer.extend(branch.sparse_initializer)
    results = [
        onnx.helper.make_node("Identity", [value.name], [name], name=f"{name}/branch")
        for value, name in zip(branch.output, node.output, strict=True)
        if name
    ]
    return [*branch.node, *results]


def _defined(graph: Any) -> list[str]:
    """Return the names of everything that a graph computes or holds."""
    return [
        *(value.name for value in graph.input),
        *(weight.name for weight in graph.initializer),
        *(sparse.values.name for sparse in graph.sparse_initializer),
        *(name for node in graph.node for name in node.output if name),
    ]


def _rename(graph: Any, names: dict[str, str]) -> None:
    for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        for listed in (node.input, node.output):
            listed[:] = [names.get(name, name) for name in listed]
    for value in graph.output:
        value.name = names.get(value.name, value.name)
