"""ONNX files from an attacker read and write nothing outside, and run no code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from envs.accuracy.store import quantized
from envs.errors import NetworkError
from envs.graph.onnx_file import MAX_CALLS
from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.spec import ConfigurationFailed, ConfigurationSpace, local_computer, workload_of
from tests.commands import call
from tests.security.attacks import little_memory, refused, tree, untouched
from tests.security.graphs import DEFAULT, LOCAL, saved, value

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
