"""Limits that the view writes are those that the service reads."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from envs.errors import ObjectiveError
from tests.worlds import space
from tuner.control.limits import Limits
from tuner.watching.moments import Moment, Notice, TenantMoment
from tuner.watching.new_limit import ANSWER_PERIODS, answered, limits_of, value_of, write_limit


def moment(limits_ms: tuple[float, ...], number: int = 5, power_w: float = math.inf) -> Moment:
    tenants = tuple(TenantMoment(f"net{i}", p99_limit_ms=e) for i, e in enumerate(limits_ms))
    return Moment(number, tenants=tenants, power_limit_w=power_w)


def read(path: Path, tenants: int) -> Limits:
    return Limits({"p99_ms": 50.0}, space(tenants).workload, True, path)


@pytest.mark.parametrize("limits_ms", [(50.0,), (50.0, 20.0), (50.0, math.inf)])
def test_the_service_reads_what_was_written(tmp_path: Path, limits_ms: tuple[float, ...]) -> None:
    path, now = tmp_path / "limits.json", moment(limits_ms)
    p99, *_, power, agreement = limits_of(now)
    write_limit(path, p99, 30.0, now)
    assert read(path, len(limits_ms)).objective.p99_ms == (30.0, *limits_ms[1:])
    write_limit(path, power, 12.5, now)
    write_limit(path, agreement, 0.9, now)
    found = read(path, len(limits_ms)).objective
    assert (found.power_w, found.min_agreement) == (12.5, 0.9)
    assert found.p99_ms[0] == 30.0, "what the file said before stays"


def test_a_file_of_something_else_stays_as_it_is(tmp_path: Path) -> None:
    path, now = tmp_path / "limits.json", moment((50.0,))
    for content in ("[1]", "not JSON"):
        path.write_text(content)
        with pytest.raises(ObjectiveError, match="stays as it is"):
            write_limit(path, limits_of(now)[0], 30.0, now)
        assert path.read_text() == content


@pytest.mark.parametrize("typed", ["", "fast", "0", "-3", "nan", "inf", "[red]5[/]"])
def test_a_limit_that_cannot_be_is_refused_before_it_is_written(typed: str) -> None:
    with pytest.raises(ObjectiveError):
        value_of(limits_of(moment((50.0,)))[0], typed)


def test_an_agreement_lies_in_0_to_1() -> None:
    agreement = limits_of(moment((50.0,)))[-1]
    assert value_of(agreement, "0.95") == 0.95
    with pytest.raises(ObjectiveError, match=r"0\.\.1"):
        value_of(agreement, "95")


def test_whether_the_service_answered() -> None:
    power = limits_of(moment((50.0,)))[1]
    silent = [moment((50.0,), number) for number in range(6, 6 + ANSWER_PERIODS)]
    assert answered(power, 12.0, 5, silent[:-1]) is None
    assert answered(power, 12.0, 5, silent) is False
    assert answered(power, 12.0, 5, [moment((50.0,), 6, power_w=12.0)]) is True
    refused = replace(silent[0], notices=(Notice("", "limits_refused", "no power sensor"),))
    assert answered(power, 12.0, 5, [refused]) is True
    assert answered(power, 12.0, 5, [moment((50.0,), 5, power_w=12.0)]) is None


def test_other_content_of_the_file_is_kept(tmp_path: Path) -> None:
    path, now = tmp_path / "limits.json", moment((50.0, 20.0))
    path.write_text('{"goal": "energy", "p99_ms": [50, 20]}')
    write_limit(path, limits_of(now)[1], 15.0, now)
    assert json.loads(path.read_text()) == {
        "goal": "energy",
        "p99_ms": {"net0": 50.0, "net1": 15.0},
    }
