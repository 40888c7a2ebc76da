"""Objectives: limits, violations, and what is better than what."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import ObjectiveError
from envs.spec.objective import MAX_VIOLATION, Objective, judge_measurement, rank
from tests.worlds import respond, space

positive = st.floats(0.01, 1e6)


@given(positive, positive)
def test_violation_is_the_logarithm_of_the_worst_ratio(limit_ms: float, limit_w: float) -> None:
    world = space()
    measurement = respond(world, world.default(), power=True)
    score, violation = judge_measurement(
        measurement, Objective((limit_ms,), limit_w), world.workload.weights
    )
    worst = max(measurement.p99_ms[0] / limit_ms, measurement.power_w / limit_w)
    assert violation == pytest.approx(min(max(0.0, math.log(worst)), MAX_VIOLATION))
    assert score == pytest.approx(measurement.throughput_ips.sum())


def test_no_limit_is_never_broken_even_without_a_power_sensor() -> None:
    world = space()
    assert (
        judge_measurement(respond(world, world.default()), Objective((math.inf,)), (1.0,))[1] == 0
    )


def test_an_unread_power_limit_is_not_a_kept_one() -> None:
    world = space()
    assert (
        judge_measurement(respond(world, world.default()), Objective((math.inf,), 1000.0), (1.0,))[
            1
        ]
        == MAX_VIOLATION
    )


def test_a_power_limit_without_a_sensor_is_refused_with_the_reason() -> None:
    with pytest.raises(ObjectiveError, match=r"15 W.*no power sensor"):
        Objective((50.0,), 15.0).check_measurable(has_power=False)


@given(st.lists(st.tuples(positive, st.floats(0, 3)), min_size=2, max_size=2))
def test_feasible_beats_any_throughput(pair: list[tuple[float, float]]) -> None:
    (first, first_violation), (second, second_violation) = pair
    ranks = rank(np.array([first, second]), np.array([first_violation, second_violation]))
    if (first_violation == 0) != (second_violation == 0):
        assert (ranks[0] > ranks[1]) == (first_violation == 0)
    elif first_violation == 0:
        assert (ranks[0] > ranks[1]) == (first > second)


@pytest.mark.parametrize("limit", [0.0, -5.0, math.nan])
def test_a_limit_must_be_above_zero(limit: float) -> None:
    with pytest.raises(ObjectiveError, match="above zero"):
        Objective((limit,))


def test_limits_from_options() -> None:
    assert Objective.from_dict({"p99_ms": 50}, 2).p99_ms == (50.0, 50.0)
    assert Objective.from_dict({"p99_ms": [50, None]}, 2).p99_ms == (50.0, math.inf)
    with pytest.raises(ObjectiveError, match="3 values for 2 tenants"):
        Objective.from_dict({"p99_ms": [1, 2, 3]}, 2)
