"""ONNX files from an attacker read and write nothing outside, and run no code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.accuracy.store import quantized
from envs.errors import NetworkError
from envs.graph.layers import read_network_and_layers
from envs.graph.onnx_file import MAX_CALLS
from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.spec import ConfigurationFailed, ConfigurationSpace, local_computer, workload_of
from tests.commands import call
from tests.security.attacks import little_memory, refused, tree, untouched

DEFAULT, LOCAL = helper.make_opsetid("", 17), helper.make_opsetid("local", 1)
SHAPE = ["n", 16]


def value(name: str, shape: list[Any] | None = None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, SHAPE if shape is None else shape)


def saved(
    path: Path,
    nodes: list[Any],
    weights: list[Any] | None = None,
    shape: list[Any] | None = None,
    **more: Any,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", shape)],
        [value("y", shape)],
        weights or [],
        sparse_initializer=more.pop("sparse", None),
    )
    opsets = [DEFAULT, *(helper.make_opsetid(domain, 1) for domain in more.pop("domains", []))]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8, **more).SerializeToString()
    )
    return path


def kept_apart(location: str, name: str = "w", **more: str) -> Any:
    """Return a tensor of 16 numbers whose values are in another file."""
    tensor = numpy_helper.from_array(np.zeros(16, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=text)
    return tensor


ADD = helper.make_node("Add", ["x", "w"], ["y"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the model; a secret of the right size lies outside."""
    (tmp_path / "secret").write_bytes(b"\x01" * 64)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


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


OPERATORS = [
    (
        "ai.onnx.contrib",
        "PyOp",
        {"module": "os", "func": "system", "code": "__import__('pathlib').Path('ran').touch()"},
    ),
    (
        "com.microsoft",
        "EPContext",
        {"ep_cache_context": "../secret", "embed_mode": 0, "source": "x"},
    ),
    ("com.evil", "Load", {"library": "./evil.so", "path": "evil.py"}),
    ("trt.plugins", "TRT_PluginV2", {"plugin_library": "./evil.so"}),
    ("os", "system", {"command": "touch ran"}),
]


@pytest.mark.parametrize(
    ("domain", "operator", "attributes"),
    OPERATORS,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_operator_of_another_domain_loads_and_runs_nothing(
    folder: Path,
    domain: str,
    operator: str,
    attributes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder / "evil.py").write_text("from pathlib import Path; Path('ran').touch()")
    (folder / "evil.so").write_bytes(b"\x7fELF")
    monkeypatch.chdir(folder)
    node = helper.make_node(operator, ["x"], ["y"], domain=domain, **attributes)
    free = saved(folder / "free.onnx", [node], domains=[domain])
    fixed = saved(folder / "fixed.onnx", [node], domains=[domain], shape=[2, 16])
    cache = folder.parent / "cache"
    with untouched(folder.parent, (cache,)):
        with refused("free.onnx", NetworkError):
            read_network(free)
        # All shapes are given, so that only the runtime can notice the unknown operator.
        network = read_network(fixed)
        space = ConfigurationSpace(local_computer(cores=1), workload_of([network]), 1, (2,))
        factory = OnnxEngineFactory(space, [fixed], cache)
        with refused("ONNX Runtime cannot load fixed.onnx", ConfigurationFailed):
            factory.load(0, 0, 1)
        with refused("cannot load fixed|cannot be quantised|cannot be prepared", NetworkError):
            factory.load(0, 1, 1)
    assert all(not name.startswith("evil") for name in sys.modules)


def calling(path: Path, bodies: dict[str, list[str]], top: str) -> Path:
    """Return a model whose local functions are chains of calls of each other or of Relu."""
    functions = []
    for name, calls in bodies.items():
        ends = ["a", *(f"t{position}" for position in range(1, len(calls))), "b"]
        nodes = [
            helper.make_node(
                each, [ends[i]], [ends[i + 1]], domain="local" if each in bodies else ""
            )
            for i, each in enumerate(calls)
        ]
        functions.append(helper.make_function("local", name, ["a"], ["b"], nodes, [DEFAULT, LOCAL]))
    return saved(
        path,
        [helper.make_node(top, ["x"], ["y"], domain="local")],
        functions=functions,
        domains=["local"],
    )


def test_endless_calls_of_functions_are_refused(
    tmp_path: Path,
) -> None:
    chain = {f"F{i}": [f"F{i + 1}"] for i in range(3000)} | {"F3000": ["Relu"]}
    for bodies, top in (
        ({"F": ["F"]}, "F"),
        ({"F": ["G"] * 9, "G": ["F"] * 9}, "F"),
        (chain, "F0"),
    ):
        with refused(f"call each other more than {MAX_CALLS} deep", NetworkError):
            read_network(calling(tmp_path / "net.onnx", bodies, top))
    assert (
        read_network(
            calling(
                tmp_path / "net.onnx",
                {f"F{i}": [f"F{i + 1}"] for i in range(20)} | {"F20": ["Relu"] * 3},
                "F0",
            )
        ).layers
        == 3
    )


def test_functions_that_grow_exponentially_are_not_inlined(tmp_path: Path) -> None:
    """Eight functions that each call the next one ten times: a hundred million nodes."""
    laughs = {f"F{i}": [f"F{i + 1}"] * 10 for i in range(8)} | {"F8": ["Relu"]}
    with little_memory(300), refused("has more than 200,000 nodes", NetworkError):
        read_network(calling(tmp_path / "net.onnx", laughs, "F0"))


def test_deeply_nested_graphs_are_refused(tmp_path: Path) -> None:
    """Deeper than protobuf allows: a graph in an attribute of a node of a graph, and so on."""
    content = b""
    for _ in range(2000):
        for field in (6, 5, 1):
            content = bytes([field << 3 | 2]) + varint(len(content)) + content
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08\x3a" + varint(len(content)) + content)
    with refused("is not an ONNX file", NetworkError):
        read_network(tmp_path / "net.onnx")


def varint(number: int) -> bytes:
    content = b""
    while number > 127:
        content, number = content + bytes([number & 127 | 128]), number >> 7
    return content + bytes([number])


@pytest.mark.parametrize(
    "shape",
    [
        ["n", 2**31, 2**31],
        ["n", *[2**62] * 4],
        ["n", *[2**62] * 30],
        ["n", 2**63 - 1],
        [2**62, 2**62],
        [2**40, 3],
        ["n", 2**50],
    ],
)
def test_huge_sizes_take_no_memory(
    tmp_path: Path, shape: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = saved(tmp_path / "net.onnx", [helper.make_node("Relu", ["x"], ["y"])], shape=shape)
    with untouched(tmp_path, (tmp_path / "cache",)), little_memory(500):
        result = call("tune", "--network", path, "--p99-ms", 50, "--max-instances", 1)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith((f"error: {path} ", "error: no configuration is valid"))


def test_a_network_beyond_the_memory_is_not_quantised(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "net.onnx", [helper.make_node("Relu", ["x"], ["y"])], shape=["n", 2**20, 2**20]
    )
    with little_memory(500), refused("to be quantised, more than there is here", NetworkError):
        quantized(path, read_network(path), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_names_inside_a_file_are_printed_on_one_line(tmp_path: Path) -> None:
    nasty = "two\nlines\x1b]0;owned\x07"
    relu = helper.make_node("Relu", [nasty], ["y"], name=nasty)
    graph = helper.make_graph([relu], nasty, [value(nasty, ["n", nasty])], [value("y")])
    cases = [helper.make_model(graph, opset_imports=[DEFAULT])]
    cases.append(
        helper.make_model(
            helper.make_graph(
                [helper.make_node(f"{nasty}Grad", ["x"], ["y"])], nasty, [value("x")], [value("y")]
            )
        )
    )
    cases.append(
        helper.make_model(
            helper.make_graph(
                [helper.make_node(nasty, ["x"], ["y"], name=nasty)],
                nasty,
                [value("x")],
                [value("y")],
            )
        )
    )
    for model in cases:
        (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
        with refused("net.onnx", NetworkError):
            read_network(tmp_path / "net.onnx")


def test_a_link_in_the_cache_is_replaced_and_not_served(
    small_onnx: Path, cache: Path, tmp_path: Path
) -> None:
    """The INT8 copy is run; a link in its place must not be, even if the checksum fits."""
    network = read_network(small_onnx)
    made = quantized(small_onnx, network, tmp_path / "cache").path
    precious = tmp_path / "precious"
    precious.write_bytes(made.read_bytes())
    made.unlink()
    made.symlink_to(precious)
    before = tree(tmp_path)["precious"]
    again = quantized(small_onnx, network, tmp_path / "cache").path
    assert again == made
    assert not made.is_symlink()
    assert tree(tmp_path)["precious"] == before
