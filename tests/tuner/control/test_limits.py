"""Limits change with their file; a file that is wrong is refused, and the limits stay."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from envs.errors import ObjectiveError
from envs.spec import Goal, workload_of
from tests.worlds import network
from tuner.control.limits import Limits

SERVED = workload_of([network("a"), network("b")])
ALONE = workload_of([network("a")])


def rewritten(path: Path, text: str, stamp: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(stamp, stamp))


def test_a_file_that_appears_and_changes_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    limits = Limits({"p99_ms": 50.0}, SERVED, True, path)
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
    limits = Limits({"p99_ms": 50.0}, SERVED, True, path)
    path.write_text(text)
    with pytest.raises(ObjectiveError, match=words) as raised:
        limits.refresh()
    assert str(path) in str(raised.value)
    assert limits.objective.p99_ms == (50.0, 50.0)
    assert not limits.refresh()


def test_a_limit_on_power_where_none_is_measured_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    limits = Limits({}, ALONE, False, path)
    path.write_text('{"power_w": 10}')
    with pytest.raises(ObjectiveError, match="10 W cannot be kept"):
        limits.refresh()
    assert math.isinf(limits.objective.power_w)


def test_the_file_changes_goal_least_rates_and_risk(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    workload = workload_of([network("a"), network("b")], [100.0, 40.0])
    limits = Limits({"p99_ms": 50.0, "risk": "careful"}, workload, True, path)
    assert limits.objective.min_rate_ips == ()
    rewritten(path, '{"goal": "energy"}', 1)
    assert limits.refresh()
    assert limits.objective.goal is Goal.ENERGY
    assert limits.objective.min_rate_ips == (95.0, 38.0)
    assert limits.describe().startswith("least energy for an inference with a p99 <= 50 ms")
    limits.arrivals_changed((10.0, 40.0))
    assert limits.objective.min_rate_ips == (9.5, 38.0), "nothing serves more than arrives"
    rewritten(path, '{"goal": "energy", "min_rate_ips": {"b": 20}}', 2)
    assert limits.refresh()
    assert limits.objective.min_rate_ips == (9.5, 20.0)
    rewritten(path, '{"goal": "energy", "min_rate_ips": {"b": 20}, "risk": "bold"}', 3)
    assert limits.refresh(), "another risk alone is a change"
    assert limits.risk == 0.03
    assert limits.describe().endswith("(risk: bold)")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"goal": "speed"}', "goal=speed is unknown"),
        ('{"goal": ["energy"]}', "is unknown"),
        ('{"goal": "energy"}', "goal=energy needs the power of each configuration"),
        ('{"risk": "none"}', "risk=none must be bold"),
        ('{"risk": [1]}', "must be bold"),
        ('{"min_rate_ips": {"c": 1}}', "'c', which is no tenant"),
        ('{"min_rate_ips": 41}', "more than the 40 requests/s that arrive"),
    ],
)
def test_a_goal_that_cannot_be_used_leaves_the_one_before(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "limits.json"
    limits = Limits({}, workload_of([network("a")], [40.0]), False, path)
    path.write_text(text)
    with pytest.raises(ObjectiveError, match=words):
        limits.refresh()
    assert limits.objective.goal is Goal.THROUGHPUT


THREE = workload_of([network("a"), network("b"), network("c")], [10.0, 20.0, 30.0])


def test_the_file_says_who_is_active_and_what_arrives(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    given = {"active": ["c", "a"], "p99_ms": [1.0, 2.0, 3.0]}
    limits = Limits(given, THREE, True, path, optional={0, 1, 2})
    assert limits.active == (0, 2)
    rewritten(path, '{"active": {"b": true, "a": false}, "rate_ips": {"b": 90}}', 1)
    assert not limits.refresh(), "the limits are the same"
    assert limits.active == (1, 2)
    assert limits.told_ips == {1: 90.0}
    rewritten(path, "{}", 2)
    limits.refresh()
    assert limits.active == (0, 2), "what the file does not name is as at the start"
    assert limits.told_ips == {}


def test_limits_of_some_tenants_are_their_part(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    given = {"p99_ms": [1.0, 2.0, 3.0], "goal": "latency"}
    limits = Limits(given, THREE, True, path, tenants=(0, 2), optional={1})
    assert limits.objective.p99_ms == (1.0, 3.0)
    assert limits.objective.min_rate_ips == pytest.approx((9.5, 28.5))
    assert "b" not in limits.describe()
    limits.arrivals_changed((100.0, 30.0))
    assert limits.objective.min_rate_ips == pytest.approx((95.0, 28.5))
    rewritten(path, '{"p99_ms": {"b": 7, "c": 8}}', 1)
    assert limits.refresh()
    assert limits.objective.p99_ms == (math.inf, 8.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"active": {"d": true}}', "'d', which is no tenant"),
        ('{"active": ["a"]}', "must name tenants"),
        ('{"active": {"a": 1}}', "must name tenants"),
        ('{"active": {"a": false}}', "a has to be served: start with --active"),
        ('{"active": {"b": false, "c": false}}', "c has to be served"),
        ('{"rate_ips": {"a": 0}}', "above zero"),
        ('{"rate_ips": {"a": "many"}}', "above zero"),
        ('{"rate_ips": 5}', "must name tenants"),
    ],
)
def test_wrong_tenants_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "limits.json"
    limits = Limits({}, THREE, True, path, optional={1})
    rewritten(path, text, 1)
    with pytest.raises(ObjectiveError, match=words):
        limits.refresh()
    assert limits.active == (0, 1, 2)


def test_at_least_one_tenant_is_served(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    limits = Limits({}, SERVED, True, path, optional={0, 1})
    rewritten(path, '{"active": {"a": false, "b": false}}', 1)
    with pytest.raises(ObjectiveError, match="at least one has to be served"):
        limits.refresh()


def test_no_rate_is_told_of_a_closed_loop(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    limits = Limits({}, SERVED, True, path)
    rewritten(path, '{"rate_ips": {"a": 5}}', 1)
    with pytest.raises(ObjectiveError, match="start with --rate-ips"):
        limits.refresh()
