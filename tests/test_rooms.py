"""The layout of the packages: no import circle, no module outside a room, no package forgotten."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

ROOMS = {
    "cluster.fleet",
    "cluster.kubernetes",
    "cluster.placement",
    "cluster.profiles",
    "cluster.queueing",
    "cluster.report",
    "cluster.simulate",
    "envs.accuracy",
    "envs.belief",
    "envs.catalog",
    "envs.graph",
    "envs.kernels",
    "envs.mappings",
    "envs.problems",
    "envs.runtimes",
    "envs.simulator",
    "envs.spec",
    "envs.telemetry",
    "envs.testing",
    "envs.traces",
    "tuner.agents",
    "tuner.charts",
    "tuner.control",
    "tuner.evaluation",
    "tuner.exports",
    "tuner.page",
    "tuner.placement",
    "tuner.policy",
    "tuner.search",
    "tuner.watching",
}

LOOSE_MODULES = {
    *("arrays", "base_env", "episode", "errors", "files", "knobs_env", "knobs_episode"),
    *("knobs_features", "optional", "registration", "tuning_env"),
}

#: conf/ and checkpoints/ stand at the top of the project and are installed inside the package.
MAPPED_PACKAGES = {"tuner.conf", "tuner.checkpoints"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_modules() -> dict[str, Path]:
    return {
        module_name(path): path
        for package in ("cluster", "envs", "tuner")
        for path in sorted((PROJECT / package).rglob("*.py"))
    }


def is_type_checking(node: ast.If) -> bool:
    return "TYPE_CHECKING" in ast.dump(node.test)


def statements(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield every statement that runs when the module is imported."""
    for node in nodes:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not (isinstance(node, ast.If) and is_type_checking(node)):
            yield from statements(getattr(node, "body", []))
        yield from statements(getattr(node, "orelse", []))
        yield from statements(getattr(node, "finalbody", []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


def imported(source: str, modules: set[str]) -> set[str]:
    """Return the modules that the source imports when it is itself imported."""
    found = set()
    for node in statements(ast.parse(source).body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            assert node.module
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= submodules & modules
            if submodules - modules:
                found.add(node.module)
    return found & modules


def import_graph() -> dict[str, set[str]]:
    modules = find_modules()
    return {
        name: imported(path.read_text(encoding="utf-8"), set(modules)) - {name}
        for name, path in modules.items()
    }


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def assert_no_circle(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' <- '.join(error.args[1])}")


def test_no_module_is_in_an_import_circle() -> None:
    graph = import_graph()
    assert "envs.spec.device" in graph["envs.spec.space"], "the graph has edges"
    assert_no_circle(graph)


def test_no_room_is_in_an_import_circle() -> None:
    rooms: dict[str, set[str]] = {}
    for module, targets in import_graph().items():
        room = room_of(module)
        rooms.setdefault(room, set()).update(room_of(target) for target in targets)
        rooms[room].discard(room)
    assert_no_circle(rooms)


def test_circles_are_found() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"import circle: a <- b <- a|b <- a <- b"):
        assert_no_circle({"a": {"b"}, "b": {"a"}})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import envs.spec", {"envs.spec"}),
        ("from envs.spec import device", {"envs.spec.device"}),
        ("from envs.spec import device, Nothing", {"envs.spec.device", "envs.spec"}),
        ("from envs.spec.device import Kind", {"envs.spec.device"}),
        ("try:\n import envs.spec\nexcept ImportError:\n pass", {"envs.spec"}),
        ("try:\n pass\nexcept ImportError:\n import envs.spec", {"envs.spec"}),
        ("class A:\n import envs.spec", {"envs.spec"}),
        ("def f():\n import envs.spec", set()),
        ("if TYPE_CHECKING:\n import envs.spec", set()),
        ("if typing.TYPE_CHECKING:\n pass\nelse:\n import envs.spec", {"envs.spec"}),
    ],
)
def test_what_counts_as_an_import(source: str, expected: set[str]) -> None:
    assert imported(source, {"envs.spec", "envs.spec.device"}) == expected


def test_every_folder_is_a_room() -> None:
    found = {room_of(name) for name in find_modules() if name.count(".") > 1}
    assert found == ROOMS


def test_only_the_named_modules_stand_on_top_of_envs() -> None:
    assert {path.stem for path in (PROJECT / "envs").glob("*.py")} - {"__init__"} == LOOSE_MODULES


def test_the_installed_packages_are_those_on_disk() -> None:
    settings = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r"^packages = (\[[^]]*\])", settings, re.MULTILINE)
    assert found
    listed = ast.literal_eval(found[1])
    folders = {module_name(path) for path in find_modules().values() if path.stem == "__init__"}
    assert len(listed) == len(set(listed))
    assert set(listed) - MAPPED_PACKAGES == folders
