"""Open ONNX files from any source; refuse damaged, unsafe and training files with one sentence."""

import hashlib
import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from envs.errors import NetworkError, one_line
from envs.files import sha256_of
from envs.optional import optional_import

#: A location with this text makes ONNX Runtime read the offset as a memory address (onnxruntime,
#: tensorprotoutils.h); older versions accept it from a file.
MEMORY = "_ORT_MEM_ADDR_"

#: Most nodes after every call of a local function is replaced, and how deep calls may go: a few
#: functions that each call the next ten times make more nodes than any memory holds.
MAX_NODES, MAX_CALLS = 200_000, 64


def open_model(path: Path) -> tuple[Any, str, bytes | None]:
    """Return a ModelProto without its external data, the SHA-256 of all its files, and its content.

    The content is that of the file, for `check_model`; None if part of the model lies in other
    files.

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
    external = external_files(model, path)
    for location in external:
        digest.update(_digest(location, path))
    return model, digest.hexdigest(), None if external else content


def read_whole(path: Path) -> Any:
    """Return the ModelProto in a file with the weights that lie in other files.

    The errors are those of `open_model`. ONNX's own reader refuses links among those files, which
    ONNX Runtime takes.
    """
    model, _, _ = open_model(path)
    load_weights(model, path)
    return model


def load_weights(model: Any, path: Path, max_elements: float = math.inf) -> None:
    """Take weights that lie in other files into a ModelProto.

    Args:
        model: the ModelProto, from `open_model`, which has checked where its weights lie.
        path: its file.
        max_elements: a tensor with more elements stays where it is.

    Raises:
        NetworkError: such a file cannot be read.
    """
    for tensor in _tensors(model):
        if not tensor.external_data or math.prod(tensor.dims) > max_elements:
            continue
        entries = {str(entry.key): str(entry.value) for entry in tensor.external_data}
        target = _target(entries.get("location", ""), path)
        try:
            with target.open("rb") as file:
                file.seek(int(entries.get("offset", "0")))
                tensor.raw_data = file.read(int(entries.get("length", "0")) or -1)
        except OSError as error:
            raise _unreadable(target, path, error) from error
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


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
        checker.check_model(_checkable(model, path) if content is None else content)
    except (checker.ValidationError, RuntimeError, ValueError) as error:
        raise NetworkError(
            f"{path} is not a valid ONNX model ({one_line(error)}): export it again"
        ) from error


def _checkable(model: Any, path: Path) -> bytes:
    """Return the model with inputs in place of weights in other files.

    `open_model` has checked those files; the checker takes no links, which ONNX Runtime takes.
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
    return bytes(copy.SerializeToString())


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


def external_files(model: Any, path: Path) -> list[Path]:
    """Return the files that hold the model's weights, sorted; all must lie in its folder.

    As ONNX Runtime takes them (onnxruntime 1.31): a location is relative to the folder that the
    path names, and may be a link; where it ends must lie below that folder, or below the folder in
    which the model itself lies if its path is a link.

    Raises:
        NetworkError: a file lies elsewhere, is missing, or is too short.
    """
    folders = [path.parent.resolve(), path.resolve().parent]
    found = set()
    for tensor in _tensors(model):
        for entry in tensor.external_data:
            if entry.key != "location":
                continue
            # protobuf returns bytes for a text that is not UTF-8, here and in names of nodes.
            location = str(entry.value)
            posix, windows = PurePosixPath(location), PureWindowsPath(location)
            target = _target(location, path)
            unsafe = (
                posix.anchor
                or windows.root
                or ".." in (*posix.parts, *windows.parts)
                or "\0" in location
                or MEMORY in location
            )
            if unsafe or not any(target.resolve().is_relative_to(folder) for folder in folders):
                raise NetworkError(
                    f"{path} keeps weights outside its own folder ({location!r}): "
                    "put them beside it and save it again"
                )
            if not target.is_file():
                raise NetworkError(
                    f"{path} needs the file of weights {location!r}, which is missing: "
                    "copy it beside the model"
                )
            found.add(target)
            _check_extent(tensor, target, path)
    return sorted(found)


def _target(location: str, path: Path) -> Path:
    return path.parent.resolve() / location


def _check_extent(tensor: Any, target: Path, path: Path) -> None:
    entries = {str(entry.key): str(entry.value) for entry in tensor.external_data}
    offset, length = (entries.get(key, "0") for key in ("offset", "length"))
    is_valid = len(entries) == len(tensor.external_data) and all(
        re.fullmatch("[0-9]{1,18}", number) for number in (offset, length)
    )
    if not is_valid or int(offset) + int(length) > target.stat().st_size:
        raise NetworkError(
            f"{path} looks for weights beyond the end of {target.name!r}: "
            "copy that file again, or export both again"
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


def _digest(location: Path, path: Path) -> bytes:
    try:
        return sha256_of(location)
    except OSError as error:
        raise _unreadable(location, path, error) from error


def _unreadable(location: Path, path: Path, error: OSError) -> NetworkError:
    return NetworkError(
        f"{path} needs {location.name}, which cannot be read ({error.strerror or error}): "
        "make it readable"
    )
