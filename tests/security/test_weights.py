"""Weights of ONNX files from an attacker are read from the file's own folder alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.errors import NetworkError
from envs.graph.layers import read_network_and_layers
from envs.graph.reading import read_network
from tests.commands import call
from tests.security.attacks import little_memory, refused, untouched
from tests.security.graphs import DEFAULT, saved, value


def kept_apart(location: str, name: str = "w", **more: str) -> Any:
    """Return a tensor of 16 numbers whose values are in another file."""
    tensor = numpy_helper.from_array(np.zeros(16, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=text)
    return tensor


ADD = helper.make_node("Add", ["x", "w"], ["y"])


def in_weights(folder: Path, tensor: Any) -> Path:
    return saved(folder / "net.onnx", [ADD], [tensor])


def in_constant(folder: Path, tensor: Any) -> Path:
    return saved(folder / "net.onnx", [helper.make_node("Constant", [], ["w"], value=tensor), ADD])


def in_branch(folder: Path, tensor: Any) -> Path:
    branch = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["z"])], "branch", [], [value("z")], [tensor]
    )
    condition = numpy_helper.from_array(np.array(True), "c")
    return saved(
        folder / "net.onnx",
        [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)],
        [condition],
    )


def in_function(folder: Path, tensor: Any) -> Path:
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("Add", ["a", "w"], ["b"]),
    ]
    body = helper.make_function("local", "F", ["a"], ["b"], nodes, [DEFAULT])
    return saved(
        folder / "net.onnx",
        [helper.make_node("F", ["x"], ["y"], domain="local")],
        functions=[body],
        domains=["local"],
    )


def in_sparse(folder: Path, tensor: Any) -> Path:
    sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.arange(16), "i"), [16])
    return saved(folder / "net.onnx", [ADD], sparse=[sparse])


@pytest.mark.parametrize("attack", [in_weights, in_constant, in_branch, in_function, in_sparse])
@pytest.mark.parametrize(
    "location",
    [
        "../secret",
        "/etc/passwd",
        "deep/../../secret",
        "linked/secret",
        "linked",
        "file:///etc/passwd/..",
        "..\\secret",
    ],
)
def test_no_part_of_a_model_reads_outside_its_folder(
    folder: Path, location: str, attack: Callable[[Path, Any], Path]
) -> None:
    (folder / "deep").mkdir()
    (folder / "linked").symlink_to(
        folder.parent if location == "linked/secret" else folder.parent / "secret"
    )
    path = attack(folder, kept_apart(location))
    for read in (read_network, read_network_and_layers):
        with (
            untouched(folder.parent),
            refused("keeps weights outside its own folder", NetworkError),
        ):
            read(path)


def test_a_memory_address_is_not_read_as_weights(folder: Path) -> None:
    """ONNX Runtime uses this location for tensors in memory; some versions accept it from files."""
    secret = np.full(16, 42.0, np.float32)
    location = "*/_ORT_MEM_ADDR_/*"
    (folder / "*" / "_ORT_MEM_ADDR_").mkdir(parents=True)
    (folder / location).write_bytes(bytes(64))
    with refused("outside its own folder", NetworkError):
        read_network(
            in_weights(folder, kept_apart(location, offset=str(secret.ctypes.data), length="64"))
        )


def test_a_pipe_or_a_folder_in_place_of_weights_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    for location in ("pipe", "folder", ".", "", "nothing", "new\nline", "\x1b[2J"):
        path = in_weights(folder, kept_apart(location))
        with untouched(folder), refused("which is missing", NetworkError):
            read_network(path)


@pytest.mark.parametrize(
    "more",
    [
        {"offset": "-8"},
        {"offset": "9" * 30},
        {"length": "-1"},
        {"length": "9" * 18},
        {"offset": "60", "length": "64"},
        {"offset": "x"},
    ],
)
def test_offsets_beyond_the_end_of_weights_are_refused(
    folder: Path, more: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX and ONNX Runtime read weights; nothing may be exported or read from elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
    (folder / "weights").write_bytes(b"\x01" * 64)
    path = in_weights(folder, kept_apart("weights", **more))
    for target, accelerator in (("trtexec", "cuda"), ("triton", "cpu_int8")):
        with untouched(folder.parent, (folder.parent / "cache",)), little_memory(1000):
            result = call(
                "export",
                *("--target", target, "--network", path, "--out", folder.parent / "out"),
                *("--configuration", f"{accelerator}=1x1"),
            )
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert "weights" in result.stderr
