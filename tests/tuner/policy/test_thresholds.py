"""Every threshold is above zero, says who chose it, stands in the documentation, and is counted."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

import tuner
from envs.errors import OptionError
from tuner.policy.thresholds import DEFAULT_THRESHOLDS, Thresholds

NAMES = [field.name for field in fields(Thresholds)]
PACKAGE = Path(tuner.__file__).parent
ROOMS = [PACKAGE / "control", PACKAGE / "policy"]
DOCUMENT = PACKAGE.parent / "docs" / "architecture.md"


#: Ends of the names of numbers that protect a computer: sizes of files, their permissions.
PROTECTING = ("MAX_BYTES", "MAX_MIB", "PRIVATE", "FORMAT")


def constants() -> dict[str, float]:
    """Return every number that a module of the two rooms names and decides by."""
    found = {}
    for path in sorted(path for room in ROOMS for path in room.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                try:
                    value = eval(compile(ast.Expression(node.value), str(path), "eval"), {})
                except NameError:
                    continue
                name = node.targets[0].id
                if isinstance(value, (int, float)) and not name.endswith(PROTECTING):
                    found[f"{path.stem}.{node.targets[0].id}"] = value
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_threshold_says_who_chose_it_and_is_above_zero(name: str) -> None:
    comment = re.search(rf"((?:    #: .*\n)+)    {name}: ", inspect.getsource(Thresholds))
    assert comment is not None
    assert "Chosen by:" in comment[1] or "Assumed" in comment[1]
    with pytest.raises(OptionError, match=rf"thresholds\.{name}=-1 must be above zero"):
        replace(DEFAULT_THRESHOLDS, **{name: -1})


def test_there_are_fewer_numbers_than_there_were() -> None:
    """There were 27, and later 34 thresholds and 13 constants."""
    assert {"ending.SMALL_GAIN", "failed_before.MOST_RESTARTS"} <= constants().keys()
    assert len(NAMES) + len(constants()) < 27


def test_the_documentation_lists_each_with_its_value() -> None:
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| ([0-9.]+) \|", DOCUMENT.read_text(), re.M))
    given = {name: getattr(DEFAULT_THRESHOLDS, name) for name in NAMES}
    assert {name: float(value) for name, value in listed.items() if name in given} == given
