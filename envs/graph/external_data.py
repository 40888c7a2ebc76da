"""Find and read the weights of a model that lie in other files, as ONNX Runtime takes them."""

import math
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from envs.errors import NetworkError
from envs.files import sha256_of

#: A location with this text makes ONNX Runtime read the offset as a memory address (onnxruntime,
#: tensorprotoutils.h); older versions accept it from a file.
MEMORY = "_ORT_MEM_ADDR_"


def files_of(tensors: Iterable[Any], path: Path) -> list[Path]:
    """Return the files that hold the values of a model's tensors, sorted.

    As ONNX Runtime takes them (onnxruntime 1.31): a location is relative to the folder that the
    path names, and may be a link; where it ends must lie below that folder, or below the folder in
    which the model itself lies if its path is a link.

    Raises:
        NetworkError: a file lies elsewhere, is missing, or is too short.
    """
    folders = [path.parent.resolve(), path.resolve().parent]
    found = set()
    for tensor in tensors:
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


def load_tensors(tensors: Iterable[Any], path: Path, max_elements: float) -> None:
    """Take the values of TensorProtos in that lie in other files.

    Args:
        tensors: of a model; `files_of` has checked where their values lie.
        path: the model's file.
        max_elements: a tensor with more elements stays where it is.

    Raises:
        NetworkError: such a file cannot be read.
    """
    for tensor in tensors:
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


def digest_of(location: Path, path: Path) -> bytes:
    """Return the SHA-256 digest of a file of weights; NetworkError if it cannot be read."""
    try:
        return sha256_of(location)
    except OSError as error:
        raise _unreadable(location, path, error) from error


def _unreadable(location: Path, path: Path, error: OSError) -> NetworkError:
    return NetworkError(
        f"{path} needs {location.name}, which cannot be read ({error.strerror or error}): "
        "make it readable"
    )
