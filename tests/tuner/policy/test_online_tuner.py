"""The learned policy beside a service: what it stays with, what it tries, and what it learns from windows that repeat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.belief.features import SURE
from envs.problems.problem import Problem
from envs.simulator.device_model import model_for
from envs.spec.measurement import Failure, FailureKind, Measurement
from envs.spec.objective import Objective
from envs.spec.space import Configuration
from envs.traces.reader import Trace
from tuner.control.decider import AGAIN
from tuner.policy.bundle import Bundle
from tuner.policy.online_tuner import RISK, ServiceTuner
from tuner.policy.window_history import History


def service_tuner(
    bundle: Bundle, trace: Trace, limit_ms: float, history: History | None = None
) -> ServiceTuner:
    space = trace.space
    problem = Problem(
        space, space.catalogue, Objective((limit_ms,)), space.default(), model=model_for(space)
    )
    return ServiceTuner(bundle, problem, history or History())


def taken(trace: Trace, configuration: Configuration) -> Measurement:
    outcome = trace.outcome(configuration)
    assert isinstance(outcome, Measurement)
    return outcome


def off(measured: Measurement, factor: float) -> Measurement:
    """Another window of the same, with another p99."""
    return replace(
        measured, tenants=(replace(measured.tenants[0], p99_ms=factor * measured.p99_ms[0]),)
    )


@pytest.mark.parametrize(("alike", "scattered", "least"), [(2, 4, 0.85), (8, 16, 0.75)])
def test_where_windows_scatter_something_farther_from_the_limit_is_stayed_with(
    bundle: Bundle, trace: Trace, alike: int, scattered: int, least: float
) -> None:
    """The more windows kept the limit, the longer they count beside the scatter of the latest ones."""
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
    tuner = service_tuner(bundle, trace, limit_ms)
    for configuration in (fast, slow):
        tuner.tell(configuration, trace.outcome(configuration))
    assert not tuner.worthwhile(slow), "it is slower than what keeps the limit"
    for _ in range(alike):
        tuner.repeat(fast, measured)
    assert tuner.resting()[0] == fast, "its windows are all alike"
    for turn in range(scattered):
        tuner.repeat(fast, off(measured, (least, 1.11)[turn % 2]))
    assert tuner.resting()[0] == slow, "each window kept the limit, but the next one may not"


def test_a_window_within_the_scatter_is_no_surprise(bundle: Bundle, trace: Trace) -> None:
    configuration = Configuration.of(trace.placements[0])
    measured = taken(trace, configuration)
    tuner = service_tuner(bundle, trace, 1.05 * float(measured.p99_ms[0]))
    assert not tuner.surprising(configuration, off(measured, 2.0)), "nothing is known of it yet"
    tuner.tell(configuration, measured)
    assert tuner.surprising(configuration, off(measured, 1.2))
    for turn in range(12):
        tuner.repeat(configuration, off(measured, (0.9, 1.1)[turn % 2]))
    assert not tuner.surprising(configuration, off(measured, 1.2))
    assert tuner.surprising(configuration, off(measured, 2.0))
    assert tuner.surprising(configuration, Failure(FailureKind.OUT_OF_MEMORY, "no", 1.0))


def test_a_power_that_no_sensor_reads_does_not_scatter(bundle: Bundle, trace: Trace) -> None:
    configuration = Configuration.of(trace.placements[0])
    measured = replace(taken(trace, configuration), power_w=np.nan)
    tuner = service_tuner(bundle, trace, 3.0 * float(measured.p99_ms[0]))
    tuner.tell(configuration, measured)
    row, before = tuner._rows[configuration], tuner._outlook.kept.copy()
    for _ in range(10):
        tuner.repeat(configuration, measured)
    assert tuner._outlook.kept[row] >= before[row] > 0.99


def test_what_is_safe_and_new_may_be_tried_until_there_is_no_more(
    bundle: Bundle, trace: Trace
) -> None:
    tuner = service_tuner(bundle, trace, 200.0)
    assert tuner.unexplored() is None, (
        "while nothing keeps the limits there is something better to do"
    )
    tuner.tell(tuner.ask(), trace.outcome(tuner.ask()))
    tried = set()
    while (safe := tuner.unexplored()) is not None:
        assert safe not in tried
        tried.add(safe)
        tuner.repeat(safe, trace.outcome(safe))
        assert len(tried) <= len(trace.placements)
    assert tried


def test_of_what_is_sure_enough_the_fastest_is_stayed_with(bundle: Bundle, trace: Trace) -> None:
    """Both keep the limit in more than 99 of 100 windows, the slower one in nearly all: that is worth no throughput any more."""
    fast, slow = (Configuration((((0, 0), (2, batch)),)) for batch in (4, 2))
    measured = taken(trace, fast)
    tuner = service_tuner(bundle, trace, 1.1 * float(measured.p99_ms[0]))
    for configuration in (fast, slow):
        tuner.tell(configuration, trace.outcome(configuration))
    assert tuner._outlook.kept[tuner._rows[fast]] < SURE < tuner._outlook.kept[tuner._rows[slow]]
    assert tuner.resting() == [fast, slow]


def test_nothing_far_less_sure_to_keep_the_limits_is_gone_back_to(
    bundle: Bundle, trace: Trace
) -> None:
    slow, fast = (Configuration((((0, 0), (2, batch)),)) for batch in (2, 4))
    measured = taken(trace, fast)
    tuner = service_tuner(bundle, trace, 1.2 * float(measured.p99_ms[0]))
    for configuration in (slow, fast):
        tuner.tell(configuration, trace.outcome(configuration))
    assert tuner.resting() == [fast, slow]
    for turn in range(30):
        tuner.repeat(fast, off(measured, (1.0, 1.3)[turn % 3 == 0]))
    assert tuner.resting() == [slow], "one window in three of the other breaks the limit"


def test_what_was_learned_from_windows_that_scatter_more_than_assumed_is_weighed_again(
    bundle: Bundle, trace: Trace
) -> None:
    """The first window was bad luck: with many others beside it, it counts as one of them, and what it said of other configurations is doubted."""
    served, other = (Configuration((((0, 0), (2, batch)),)) for batch in (4, 2))
    measured = taken(trace, served)
    tuner = service_tuner(bundle, trace, 200.0)
    row, beside = tuner._rows[served], tuner._rows[other]
    tuner.tell(served, off(measured, 1.5))
    misled = tuner._belief.mean[0, 1, beside]
    factors = np.exp(0.1 * np.random.default_rng(0).standard_normal(40))
    for factor in factors:
        tuner.repeat(served, off(measured, float(factor)))
    assert np.exp(tuner._belief.mean[0, 1, row]) / float(measured.p99_ms[0]) == pytest.approx(
        1.0, abs=0.1
    )
    assert tuner._belief.mean[0, 1, beside] < misled - 0.1


def test_what_may_be_faster_after_all_is_named_and_what_is_known_to_be_slower_is_not(
    bundle: Bundle, trace: Trace
) -> None:
    tuner = service_tuner(bundle, trace, 200.0)
    assert tuner.promising(Configuration((((9, 9), (9, 9)),)), AGAIN) is None, (
        "what serves is none that it knows"
    )
    rows = [Configuration.of(placements) for placements in trace.placements]
    for configuration in rows:
        tuner.repeat(configuration, trace.outcome(configuration))
    fastest = tuner.resting()[0]
    assert tuner.promising(fastest, AGAIN) is None
    slower = [
        each
        for each in tuner.resting()[1:]
        if tuner._worth[tuner._rows[each]] < tuner._worth[tuner._rows[fastest]] - 0.1
    ]
    assert all(tuner.promising(each, AGAIN) == fastest for each in slower)
    breaks = next(each for each in rows if each not in tuner.resting())
    assert tuner.promising(breaks, AGAIN) == fastest, "nothing that breaks the limit is ever named"


def test_the_less_sure_something_is_to_keep_the_limits_the_later_it_is_looked_at_again(
    bundle: Bundle, trace: Trace
) -> None:
    """A window in ten of the faster one breaks the limit: one look in forty periods costs little, and tells when that is over."""
    slow, fast = (Configuration((((0, 0), (2, batch)),)) for batch in (2, 4))
    measured = taken(trace, fast)
    tuner = service_tuner(bundle, trace, 1.2 * float(measured.p99_ms[0]))
    for placements in trace.placements:
        configuration = Configuration.of(placements)
        if configuration != fast:
            tuner.repeat(configuration, trace.outcome(configuration))
    for turn in range(50):
        tuner.repeat(fast, off(measured, (1.0, 1.3)[turn % 10 == 9]))
    unsure = 1 - tuner._chance[tuner._rows[fast]]
    assert unsure > RISK * AGAIN
    assert tuner.promising(slow, AGAIN) != fast
    assert tuner.promising(slow, int(unsure / RISK) + 1) == fast


def test_a_problem_asked_anew_knows_what_was_measured_and_charges_nothing_for_it(
    bundle: Bundle, trace: Trace
) -> None:
    history = History()
    before = service_tuner(bundle, trace, 60.0, history)
    measured = []
    for _ in range(3):
        measured.append(before.ask())
        before.tell(measured[-1], trace.outcome(measured[-1]))
    after = service_tuner(bundle, trace, 200.0, history)
    assert after.left == bundle.budget
    for configuration in measured:
        row = after._rows[configuration]
        assert after._measured[row]
        assert after._belief.mean[0, :2, row] == pytest.approx(
            before._belief.mean[0, :2, before._rows[configuration]], abs=0.02
        )
    assert set(after.resting()) == set(measured), "all of them keep the new limit"


def test_while_all_windows_are_slow_something_farther_from_the_limit_is_stayed_with(
    bundle: Bundle, trace: Trace
) -> None:
    """A neighbour that comes and goes: what the last window missed is expected of the next one, whatever serves."""
    fast, slow = (Configuration((((0, 0), (2, batch)),)) for batch in (4, 2))
    measured = taken(trace, fast)
    tuner = service_tuner(bundle, trace, 1.5 * float(measured.p99_ms[0]))
    for configuration in (fast, slow):
        tuner.tell(configuration, trace.outcome(configuration))
    for turn in range(60):
        tuner.repeat(fast, off(measured, (0.85, 1.15)[turn // 6 % 2]))
    assert tuner.resting()[0] == fast, "it is fast again"
    for _ in range(3):
        tuner.repeat(fast, off(measured, 1.4))
    assert tuner.resting()[0] == slow, "each window kept the limit, the next one need not"
