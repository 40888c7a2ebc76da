"""Objectives: limits, violations, and what is better than what."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.belief.score import score_and_violation
from envs.errors import ObjectiveError
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.spec import (
    MAX_VIOLATION,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Measurement,
    MeasurementBatch,
    Objective,
    Objectives,
    Origin,
    Tenant,
    TenantMeasurement,
    Workload,
    judge_measurement,
    log_score,
    margins,
    rank,
    verdict_of,
    worst_margin,
)
from tests.worlds import network, respond, space

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


def window(p99_ms: float = 50.0, power_w: float = math.nan) -> Measurement:
    tenant = TenantMeasurement(100.0, p99_ms, p99_ms, p99_ms, p99_ms, p99_ms, 300)
    return Measurement((tenant,), 3.0, Origin.MEASURED, power_w=power_w)


def test_every_caller_agrees_that_power_which_was_not_read_breaks_its_limit() -> None:
    """50 ms are within 60 ms, and nobody knows whether 10 W were kept."""
    objective, weights = Objective((60.0,), 10.0), np.ones(1)
    batch = MeasurementBatch.of([window()], 1)
    board = ConfigurationSpace(
        device_of("agx_orin_64", "MAXN"), Workload((Tenant("net", network()),)), 2, (1, 2)
    )
    assert judge_measurement(window(), objective, (1.0,)) == (pytest.approx(100.0), MAX_VIOLATION)
    assert verdict_of(batch, weights, objective).violation.tolist() == [MAX_VIOLATION]
    assert verdict_of(batch, weights, objective.batch()).violation.tolist() == [[MAX_VIOLATION]]
    assert worst_margin(batch.logs, objective.log_limits).tolist() == [MAX_VIOLATION]
    assert score_and_violation(model_for(board), batch.logs, objective)[1].tolist() == [
        MAX_VIOLATION
    ]


def test_margins_on_paper() -> None:
    logs = MeasurementBatch.of([window(power_w=20.0), window(120.0)], 1).logs
    limits = Objectives(np.array([[60.0], [60.0], [np.inf]]), np.array([10.0, np.inf, np.inf]))
    found = margins(logs, limits.log_limits)
    assert found.shape == (3, 3, 2), "objectives, quantities, outcomes"
    assert np.isneginf(found[:, 0]).all(), "throughput is never limited"
    assert found[0, 1:, 0] == pytest.approx([math.log(50 / 60), math.log(2)])
    assert found[0, 1:, 1] == pytest.approx([math.log(2), MAX_VIOLATION])
    assert np.isneginf(found[1:, 2]).all()
    assert np.isneginf(found[2]).all()
    assert np.isneginf(worst_margin(logs, limits.log_limits)[2]).all()


def test_a_failure_scores_nothing_and_breaks_even_no_limit() -> None:
    failure = Failure(FailureKind.OUT_OF_MEMORY, "too large")
    assert judge_measurement(failure, Objective((np.inf,)), (1.0,)) == (0.0, MAX_VIOLATION)
    logs = MeasurementBatch.of([failure, window()], 1).logs
    assert np.isnan(logs[:, 0]).all()
    assert log_score(logs, np.ones(1))[0] == -np.inf


def test_the_score_weighs_tenants_and_leaves_out_those_that_are_not_there() -> None:
    world = space(tenants=2)
    logs = MeasurementBatch.of([respond(world, world.default())], 2).logs
    first, second = np.exp(logs[:2, 0])
    assert np.exp(log_score(logs, np.array([2.0, 3.0]))) == pytest.approx(2 * first + 3 * second)
    logs[1] = np.nan
    assert np.exp(log_score(logs, np.array([2.0, 0.0]))) == pytest.approx(2 * first)


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
