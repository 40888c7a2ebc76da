"""Open ONNX files from any source; refuse damaged, unsafe and training files with one sentence."""

import hashlib
import heapq
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envs.errors import NetworkError, one_line, printable
from envs.graph.external_data import digest_of, files_of, load_tensors
from envs.optional import optional_import

#: A ModelProto cannot be serialised beyond 2 GiB; a little less leaves room for the nodes.
MAX_MESSAGE_BYTES = 2_000_000_000

#: Most nodes after every call of a local function is replaced, and how deep calls may go: a few
#: functions that each call the next ten times make more nodes than any memory holds.
MAX_NODES, MAX_CALLS = 200_000, 64


def network_name(path: str | Path) -> str:
    """Return the name of the network in a file: printable text on one line."""
    return printable(Path(path).stem)


def open_model(path: Path) -> tuple[Any, str, bytes | None]:
    """Return a ModelProto without its external data, the SHA-256 of all its files, and its content.

    The content is that of the file, for `check_model`; None if part of the model lies in other
    files, or if its nodes had to be put in order.

    Raises:
        NetworkError: the file is missing, is not an ONNX file, was made for training, or refers to
            files outside its folder.
        DependencyError: onnx is not installed.
    """
    onnx = optional_import("onnx", "networks")
    decode_error = optional_import("google.protobuf.message", "networks").DecodeError
    # Python represents bytes that are not UTF-8 as surrogates; ONNX accepts no such name.
    if any("\ud800" <= character <= "\udfff" for character in str(path)):
        raise NetworkError(f"the name of {path} is not UTF-8: rename it")
    if not path.is_file():
        raise NetworkError(
            f"{path} {'is not a file' if path.exists() else 'does not exist'}: "
            "give the path of an ONNX file"
        )
    try:
        content = path.read_bytes()
        digest = hashlib.sha256()
        # Hash while decoding: a large network takes a tenth of a second.
        hashing = threading.Thread(target=digest.update, args=(content,))
        hashing.start()
        try:
            model = onnx.ModelProto.FromString(content)
        finally:
            hashing.join()
    except OSError as error:
        raise NetworkError(
            f"{path} cannot be read ({error.strerror or error}): "
            "give an ONNX file that you may read"
        ) from error
    except decode_error as error:
        raise NetworkError(
            f"{path} is not an ONNX file, or is cut short: copy or export it again"
        ) from error
    # An empty file, and some files of other formats, decode to a message without these fields.
    if not model.ir_version or not model.HasField("graph"):
        raise NetworkError(f"{path} is not an ONNX file, or is cut short: copy or export it again")
    _refuse_endless(model, path)
    _refuse_training(model, path)
    is_sorted = in_order(model)
    external = external_files(model, path)
    for location in external:
        digest.update(digest_of(location, path))
    return model, digest.hexdigest(), content if is_sorted and not external else None


def in_order(model: Any) -> bool:
    """Put each node behind those that it reads from; return False if some were not.

    ONNX demands it and ONNX Runtime does not: its converter to FP16 appends casts of the inputs.
    A graph with a loop is left as it is, for the checker.
    """
    nodes = list(model.graph.node)
    made = {name for node in nodes for name in node.output if name}
    missing = [made & set(_read(node)) for node in nodes]
    ready, seen = list[int](), set[str]()
    for position, node in enumerate(nodes):
        if missing[position] <= seen:
            seen.update(node.output)
            ready.append(position)
    if len(ready) == len(nodes):
        return True
    readers: dict[str, list[int]] = {}
    for position, names in enumerate(missing):
        for name in names:
            readers.setdefault(name, []).append(position)
    waiting = [position for position, names in enumerate(missing) if not names]
    heapq.heapify(waiting)
    order = list[int]()
    while waiting:  # the first in the file of those that can come next
        order.append(position := heapq.heappop(waiting))
        for name in nodes[position].output:
            for reader in readers.pop(name, ()):
                missing[reader].discard(name)
                if not missing[reader]:
                    heapq.heappush(waiting, reader)
    if len(order) < len(nodes):
        return True
    del model.graph.node[:]
    model.graph.node.extend([nodes[position] for position in order])
    return False


def _read(node: Any) -> Iterator[str]:
    """Yield the names that a node reads, also inside its graphs."""
    yield from node.input
    for inner in subgraphs(node):
        for each in inner.node:
            yield from each.input
        yield from (output.name for output in inner.output)


def read_whole(path: Path) -> Any:
    """Return the ModelProto in a file with the weights that lie in other files.

    The errors are those of `open_model`. ONNX's own reader refuses links among those files, which
    ONNX Runtime takes.
    """
    model, _, _ = open_model(path)
    load_weights(model, path)
    return model


def load_weights(model: Any, path: Path, max_elements: float = math.inf) -> None:
    """Take weights that lie in other files into a ModelProto; `load_tensors` says more."""
    load_tensors(_tensors(model), path, max_elements)


def external_files(model: Any, path: Path) -> list[Path]:
    """Return the files that hold weights of a ModelProto; `files_of` says more."""
    return files_of(_tensors(model), path)


def check_model(model: Any, path: Path, content: bytes | None = None) -> None:
    """Run the ONNX checker.

    Args:
        model: the ModelProto, from `open_model`.
        path: its file.
        content: of the file, if the model has no other files; it saves time.

    Raises:
        NetworkError: the checker finds the model invalid.
    """
    checker = optional_import("onnx.checker", "networks")
    try:
        is_whole = content is not None and all(map(_has_shape, model.graph.output))
        checker.check_model(content if is_whole else _checkable(model, path))
    except (checker.ValidationError, RuntimeError, ValueError) as error:
        raise NetworkError(
            f"{path} is not a valid ONNX model ({one_line(error)}): export it again"
        ) from error


def _checkable(model: Any, path: Path) -> bytes:
    """Return the model as the checker takes it, which is stricter than ONNX Runtime.

    Inputs take the place of weights in other files, which the checker refuses if they are links
    (`open_model` has checked them), and outputs without a shape get one.
    """
    onnx = optional_import("onnx", "networks")
    copy = type(model)()
    copy.CopyFrom(model)
    inputs = {value.name for value in copy.graph.input}
    kept = [weight for weight in copy.graph.initializer if not weight.external_data]
    copy.graph.input.extend(
        onnx.helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims))
        for weight in copy.graph.initializer
        if weight.external_data and weight.name not in inputs
    )
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(kept)
    load_weights(copy, path)  # of constants and branches, which are few
    for value in copy.graph.output:
        if not _has_shape(value):
            value.type.tensor_type.shape.SetInParent()
    return bytes(copy.SerializeToString())


def _has_shape(value: Any) -> bool:
    is_tensor = value.type.WhichOneof("value") == "tensor_type"
    return not is_tensor or value.type.tensor_type.HasField("shape")


def graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph or local function and every graph in its nodes (of If, Loop and Scan)."""
    yield graph
    for node in graph.node:
        yield from subgraphs(node)


def subgraphs(node: Any) -> Iterator[Any]:
    """Yield every graph inside a node, at any depth."""
    for attribute in node.attribute:
        for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            yield from graphs(inner)


def every_graph(model: Any) -> Iterator[Any]:
    """Yield all graphs of a model and of its local functions."""
    for root in (model.graph, *model.functions):
        yield from graphs(root)


def _refuse_endless(model: Any, path: Path) -> None:
    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[Any, Any], int] = {}

    def size(graph: Any, depth: int) -> int:
        calls = [(node.domain, node.op_type) for each in graphs(graph) for node in each.node]
        for call in set(calls) & functions.keys() - sizes.keys():
            if depth == MAX_CALLS:  # also reached by a function that calls itself
                raise NetworkError(
                    f"{path} has local functions that call each other more than {MAX_CALLS} deep: "
                    "inline them and export it again"
                )
            sizes[call] = size(functions[call], depth + 1)
        return sum(sizes.get(call, 1) for call in calls)

    if size(model.graph, 0) > MAX_NODES:
        raise NetworkError(f"{path} has more than {MAX_NODES:,} nodes: serve a smaller network")


def _refuse_training(model: Any, path: Path) -> None:
    reason = "training information" if model.training_info else ""
    for graph in every_graph(model):
        constants = {tensor.name: tensor for tensor in getattr(graph, "initializer", ())}
        for node in graph.node:
            attributes = {attribute.name: attribute for attribute in node.attribute}
            if node.op_type == "Constant" and "value" in attributes:
                constants |= dict.fromkeys(node.output, attributes["value"].t)
            elif str(node.domain).startswith("ai.onnx.preview.training") or str(
                node.op_type
            ).endswith(("Grad", "Gradient")):
                reason = f"the operator {node.op_type}"
            elif node.op_type == "BatchNormalization":
                # Before opset 14, outputs for new statistics mean training.
                trains = "training_mode" in attributes and attributes["training_mode"].i
                reason = (
                    "a BatchNormalization in training mode"
                    if trains or sum(map(bool, node.output)) > 1
                    else reason
                )
            elif node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in constants:
                mode = constants[node.input[2]]
                reason = (
                    "a Dropout in training mode"
                    if any(mode.raw_data) or any(mode.int32_data)
                    else reason
                )
    if reason:
        raise NetworkError(
            f"{path} is a training graph (it has {reason}): "
            "export the network for inference (model.eval() in PyTorch)"
        )


def _tensors(model: Any) -> Iterator[Any]:
    for graph in every_graph(model):
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        sparse = [*getattr(graph, "sparse_initializer", ())]
        for attribute in attributes:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
            sparse += [
                *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
                *attribute.sparse_tensors,
            ]
        yield from getattr(graph, "initializer", ())
        for tensor in sparse:
            yield from (tensor.values, tensor.indices)
