"""Limits change with their file; a file that is wrong is refused, and the limits stay."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from envs.errors import ObjectiveError
from tuner.control.limits import Limits


def rewritten(path: Path, text: str, stamp: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(stamp, stamp))


def test_a_file_that_appears_and_changes_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    limits = Limits({"p99_ms": 50.0}, ("a", "b"), True, path)
    assert not limits.refresh()
    rewritten(path, '{"p99_ms": {"b": 7}, "power_w": 20}', 1)
    assert limits.refresh()
    assert limits.objective.p99_ms == (math.inf, 7.0)
    assert limits.objective.power_w == 20.0
    assert not limits.refresh()
    rewritten(path, '{"power_w": 30}', 2)
    assert limits.refresh()
    assert limits.objective.p99_ms == (50.0, 50.0), (
        "what the file does not name is as given on the command line"
    )
    rewritten(path, '{ "power_w": 30}', 3)
    assert not limits.refresh(), "the same limits are no change"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read as JSON"),
        ('{"p99": 3}', "'p99', which is no limit"),
        ("[1]", "no object"),
        ('{"p99_ms": -1}', "above zero"),
        ('{"p99_ms": "soon"}', "is no number"),
        ('{"p99_ms": [1, 2, 3]}', "3 values for 2 tenants"),
        ('{"p99_ms": {"c": 1}}', "'c', which is no tenant"),
        ('{"power_w": NaN}', "above zero"),
    ],
)
def test_a_file_that_cannot_be_used_says_so_once_and_the_limits_stay(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "limits.json"
    limits = Limits({"p99_ms": 50.0}, ("a", "b"), True, path)
    path.write_text(text)
    with pytest.raises(ObjectiveError, match=words) as raised:
        limits.refresh()
    assert str(path) in str(raised.value)
    assert limits.objective.p99_ms == (50.0, 50.0)
    assert not limits.refresh()


def test_a_limit_on_power_where_none_is_measured_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    limits = Limits({}, ("a",), False, path)
    path.write_text('{"power_w": 10}')
    with pytest.raises(ObjectiveError, match="10 W cannot be kept"):
        limits.refresh()
    assert math.isinf(limits.objective.power_w)
