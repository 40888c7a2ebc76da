"""The names of TensorRT that stand-ins and code use are those of the published modules."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.bindings.wheels import WHEELS, names_of
from tests.standins.tensorrt.names import NAMES

CODE = Path(__file__).parents[2] / "envs" / "runtimes" / "tensorrt"

#: Functions of the module that the stand-ins lack, and the code does without.
FUNCTIONS = {"init_libnvinfer_plugins"}


def _chain(node: ast.expr, aliases: dict[str, list[str]]) -> list[str]:
    """Return the names after `trt` in `a.trt.B.C`, in hasattr and getattr too; or nothing."""
    names: list[str] = []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id not in ("hasattr", "getattr") or not isinstance(node.args[1], ast.Constant):
            return []
        names, node = [str(node.args[1].value)], node.args[0]
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return []
    chain = [*aliases.get(node.id, [node.id]), *names]
    return chain[chain.index("trt") :] if "trt" in chain else []


def used_names() -> set[tuple[str, ...]]:
    """Return what the code takes from the module: `trt.NAME` and `trt.NAME.MEMBER`."""
    found = set()
    for path in CODE.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            aliases: dict[str, list[str]] = {}
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    aliases[node.targets[0].id] = _chain(node.value, {}) or [""]
            for node in ast.walk(function):
                if isinstance(node, (ast.Attribute, ast.Call)):
                    found.add(tuple(_chain(node, aliases)[1:3]))
    return {chain for chain in found if chain and not chain[-1].startswith("_")}


def test_the_code_uses_names_that_tensorrt_has() -> None:
    used = used_names()
    assert {("BuilderFlag", "INT8"), ("Runtime",), ("IProgressMonitor",)} <= used
    for name, *member in sorted(each for each in used if each[0] not in FUNCTIONS):
        versions = [each for each in NAMES.values() if name in each["module"]]
        assert versions, name
        if member:
            kinds = [{**each["enums"], **each["classes"]}.get(name, ()) for each in versions]
            assert any(member[0] in kind for kind in kinds), (name, member)


@pytest.mark.parametrize("version", WHEELS)
def test_the_names_are_those_of_the_published_module(version: str) -> None:
    try:
        real = names_of(version, NAMES[version])
    except FileNotFoundError as error:
        pytest.skip(str(error))
    known = NAMES[version]
    assert {*known["module"], *FUNCTIONS} <= {*real["module"], "Severity"}
    assert known["enums"] == real["enums"]
    assert {kind: set(names) for kind, names in known["classes"].items()} == {
        kind: set(names) for kind, names in real["classes"].items()
    }


def test_every_version_is_checked() -> None:
    assert set(WHEELS) == {each for each in NAMES if not each.startswith("rtx")}
