"""The learned policy beside a service: what it serves while windows scatter and repeat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.belief.assess import MIN_FEASIBLE_CHANCE
from envs.problems.problem import Problem
from envs.simulator.known_devices import model_for
from envs.spec import Configuration, Objective, Origin
from envs.traces.reader import Trace
from tests.tuner.policy.online import DEFAULT, off, online_tuner, taken
from tuner.model_at import at_rates
from tuner.policy.bundle import Bundle
from tuner.policy.online_tuner import OnlineTuner
from tuner.policy.window_history import DeviceHistory


@pytest.mark.parametrize(("alike", "scattered", "least"), [(2, 4, 0.85), (8, 16, 0.75)])
def test_where_windows_scatter_something_farther_from_the_limit_is_stayed_with(
    bundle: Bundle, trace: Trace, alike: int, scattered: int, least: float
) -> None:
    """The more windows kept the limit, the longer they count beside the latest, scattered ones."""
    fastest = max(
        range(len(trace.placements)),
        key=lambda row: float(np.nan_to_num(trace.batch.throughput_ips[row, 0])),
    )
    fast = Configuration.of(trace.placements[fastest])
    measured = taken(trace, fast)
    limit_ms = 1.12 * float(measured.p99_ms[0])
    far = [
        row for row in range(len(trace.placements)) if trace.batch.p99_ms[row, 0] < 0.6 * limit_ms
    ]
    slow = Configuration.of(
        trace.placements[max(far, key=lambda row: float(trace.batch.throughput_ips[row, 0]))]
    )
    tuner = online_tuner(bundle, trace, limit_ms)
    for configuration in (fast, slow):
        tuner.tell(configuration, trace.outcome(configuration))
    assert not tuner.worth_measuring(slow), "it is slower than what keeps the limit"
    for _ in range(alike):
        tuner.tell_again(fast, measured)
    assert tuner.good_configurations()[0] == fast, "its windows are all alike"
    for turn in range(scattered):
        tuner.tell_again(fast, off(measured, (least, 1.11)[turn % 2]))
    assert tuner.good_configurations()[0] == slow, "the next window of the fast one may be too slow"


def test_a_power_that_no_sensor_reads_does_not_scatter(bundle: Bundle, trace: Trace) -> None:
    configuration = Configuration.of(trace.placements[0])
    measured = replace(taken(trace, configuration), power_w=np.nan)
    tuner = online_tuner(bundle, trace, 3.0 * float(measured.p99_ms[0]))
    tuner.tell(configuration, measured)
    row, before = tuner._rows[configuration], tuner._outlook.chance.copy()
    for _ in range(10):
        tuner.tell_again(configuration, measured)
    assert tuner._outlook.chance[row] >= before[row] > 0.99


def test_of_what_is_sure_enough_the_fastest_is_stayed_with(bundle: Bundle, trace: Trace) -> None:
    """Both keep the limit in 199 of 200 windows; being surer is worth no throughput."""
    fast, slow = (Configuration((((0, 0), (2, batch)),)) for batch in (4, 2))
    measured = taken(trace, fast)
    tuner = online_tuner(bundle, trace, 1.15 * float(measured.p99_ms[0]))
    for configuration in (fast, slow):
        tuner.tell(configuration, trace.outcome(configuration))
    assert (
        MIN_FEASIBLE_CHANCE
        < tuner._outlook.chance[tuner._rows[fast]]
        < tuner._outlook.chance[tuner._rows[slow]]
    )
    assert tuner.good_configurations() == [fast, slow]


def test_what_is_far_less_sure_to_keep_the_limits_is_the_last_to_be_gone_back_to(
    bundle: Bundle, trace: Trace
) -> None:
    slow, fast = (Configuration((((0, 0), (2, batch)),)) for batch in (2, 4))
    measured = taken(trace, fast)
    tuner = online_tuner(bundle, trace, 1.2 * float(measured.p99_ms[0]))
    for configuration in (slow, fast):
        tuner.tell(configuration, trace.outcome(configuration))
    assert tuner.good_configurations() == [fast, slow]
    for turn in range(30):
        tuner.tell_again(fast, off(measured, (1.0, 1.3)[turn % 3 == 0]))
    assert tuner.good_configurations() == [slow, fast], (
        "one window in three of the other breaks the limit"
    )


def test_what_was_learned_from_windows_that_scatter_more_than_assumed_is_weighed_again(
    bundle: Bundle, trace: Trace
) -> None:
    """The first window was bad luck; after many others it counts as one of them, elsewhere too."""
    served, other = (Configuration((((0, 0), (2, batch)),)) for batch in (4, 2))
    measured = taken(trace, served)
    tuner = online_tuner(bundle, trace, 200.0)
    row, beside = tuner._rows[served], tuner._rows[other]
    tuner.tell(served, off(measured, 1.5))
    misled = tuner._belief.mean[0, 1, beside]
    factors = np.exp(0.1 * np.random.default_rng(0).standard_normal(40))
    for factor in factors:
        tuner.tell_again(served, off(measured, float(factor)))
    assert np.exp(tuner._belief.mean[0, 1, row]) / float(measured.p99_ms[0]) == pytest.approx(
        1.0, abs=0.1
    )
    assert tuner._belief.mean[0, 1, beside] < misled - 0.1


def test_while_all_windows_are_slow_something_farther_from_the_limit_is_stayed_with(
    bundle: Bundle, trace: Trace
) -> None:
    """The error of the last window is expected of the next one, whatever serves."""
    fast, slow = (Configuration((((0, 0), (2, batch)),)) for batch in (4, 2))
    measured = taken(trace, fast)
    tuner = online_tuner(bundle, trace, 1.5 * float(measured.p99_ms[0]))
    for configuration in (fast, slow):
        tuner.tell(configuration, trace.outcome(configuration))
    for turn in range(60):
        tuner.tell_again(fast, off(measured, (0.85, 1.15)[turn // 6 % 2]))
    assert tuner.good_configurations()[0] == fast, "it is fast again"
    for _ in range(3):
        tuner.tell_again(fast, off(measured, 1.4))
    assert tuner.good_configurations()[0] == slow, (
        "each window kept the limit, the next one need not"
    )


def test_nobody_changes_for_more_than_arrives(bundle: Bundle, trace: Trace) -> None:
    space = at_rates(trace.space, (2.0,))
    objective = Objective((1e4,))
    problem = Problem(space, space.catalogue, objective, space.default(), model=model_for(space))
    tuner = OnlineTuner(bundle, problem, DeviceHistory(DEFAULT), DEFAULT)
    served = space.default()
    measured = taken(trace, served)
    assert measured.throughput_ips[0] > 2.0
    window = replace(
        measured,
        window_s=5.0,
        origin=Origin.MEASURED,
        tenants=(replace(measured.tenants[0], throughput_ips=2.0, requests=10.0),),
    )
    tuner.tell(served, window)
    for missing in (0.2, 0.0, 0.2, 0.0):  # one request was open when the window ended
        open_one = replace(window.tenants[0], throughput_ips=2.0 - missing)
        tuner.tell_again(served, replace(window, tenants=(open_one,)))
    assert tuner.good_configurations() == [served]
    assert tuner.maybe_faster(served, 1000) is None
    assert {tuner.hoped_gain_log(Configuration.of(each)) for each in space.catalogue} == {0.0}
