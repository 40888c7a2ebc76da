"""The learned policy beside a service: what it measures, and what surprises it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from envs.belief.assess import CHANCE_WORTH
from envs.spec import Configuration, Failure, FailureKind
from envs.traces.reader import Trace
from tests.tuner.policy.online import off, online_tuner, taken
from tuner.policy.bundle import Bundle
from tuner.policy.thresholds import DEFAULT_THRESHOLDS as DEFAULT
from tuner.policy.window_history import DeviceHistory

#: Periods after which whatever is worth a look has had it.
LONG = 1000


def test_a_window_is_as_far_off_as_windows_scatter(bundle: Bundle, trace: Trace) -> None:
    configuration = Configuration.of(trace.placements[0])
    measured = taken(trace, configuration)
    tuner = online_tuner(bundle, trace, 1.05 * float(measured.p99_ms[0]))

    def sigmas(factor: float) -> float:
        return tuner.sigmas_beyond(configuration, off(measured, factor))

    assert sigmas(2.0) == 0.0, "nothing is known of it yet"
    tuner.tell(configuration, measured)
    assert sigmas(1.2) > DEFAULT.surprise_sigmas
    for turn in range(12):
        tuner.tell_again(configuration, off(measured, (0.9, 1.1)[turn % 2]))
    assert sigmas(0.8) < 0.0 < sigmas(1.2) < DEFAULT.surprise_sigmas < sigmas(2.0)
    failed = Failure(FailureKind.OUT_OF_MEMORY, "no", 1.0)
    assert tuner.sigmas_beyond(configuration, failed) == math.inf


def test_what_may_be_faster_after_all_is_named_and_what_is_known_to_be_slower_is_not(
    bundle: Bundle, trace: Trace
) -> None:
    tuner = online_tuner(bundle, trace, 200.0)
    assert tuner.maybe_faster(Configuration((((9, 9), (9, 9)),)), LONG) is None, (
        "what serves is none that it knows"
    )
    rows = [Configuration.of(placements) for placements in trace.placements]
    for configuration in rows:
        tuner.tell_again(configuration, trace.outcome(configuration))
    fastest = tuner.good_configurations()[0]
    assert tuner.maybe_faster(fastest, LONG) is None
    slower = [
        each
        for each in tuner.good_configurations()[1:]
        if tuner._worth[tuner._rows[each]] < tuner._worth[tuner._rows[fastest]] - 0.1
    ]
    for each in slower:
        named = tuner.maybe_faster(each, LONG)
        assert named in tuner.good_configurations(), "nothing that breaks the limit is ever named"
        assert taken(trace, named).throughput_ips[0] > taken(trace, each).throughput_ips[0]
    breaks = next(each for each in rows if each not in tuner.good_configurations())
    assert tuner.maybe_faster(breaks, LONG) in {None, *tuner.good_configurations()}


def test_the_less_sure_something_is_to_keep_the_limits_the_later_it_is_looked_at_again(
    bundle: Bundle, trace: Trace
) -> None:
    """The faster one breaks the limit in a window of ten; rare checks of it cost little."""
    slow, fast = (Configuration((((0, 0), (2, batch)),)) for batch in (2, 4))
    measured = taken(trace, fast)
    tuner = online_tuner(bundle, trace, 1.2 * float(measured.p99_ms[0]))
    for placements in trace.placements:
        configuration = Configuration.of(placements)
        if configuration != fast:
            tuner.tell_again(configuration, trace.outcome(configuration))
    for turn in range(50):
        tuner.tell_again(fast, off(measured, (1.0, 1.3)[turn % 10 == 9]))
    unsure = 1 - tuner._chance[tuner._rows[fast]]
    score = tuner._outlook.score
    gain = np.expm1(score[tuner._rows[fast]] - score[tuner._rows[slow]] - DEFAULT.change_gain_log)
    periods = CHANCE_WORTH * unsure / (gain * (1 - unsure))  # what a look gains covers its price
    assert periods > 1
    assert tuner.maybe_faster(slow, int(0.8 * periods)) != fast
    assert tuner.maybe_faster(slow, int(1.2 * periods) + 1) == fast


def test_a_problem_asked_anew_knows_what_was_measured_and_charges_nothing_for_it(
    bundle: Bundle, trace: Trace
) -> None:
    history = DeviceHistory(DEFAULT)
    before = online_tuner(bundle, trace, 60.0, history)
    measured = []
    for _ in range(3):
        measured.append(before.ask())
        before.tell(measured[-1], trace.outcome(measured[-1]))
    after = online_tuner(bundle, trace, 200.0, history)
    assert after.left == bundle.budget
    for configuration in measured:
        row = after._rows[configuration]
        assert after._progress.measured[0, row]
        assert after._belief.mean[0, :2, row] == pytest.approx(
            before._belief.mean[0, :2, before._rows[configuration]], abs=0.02
        )
    assert set(after.good_configurations()) == set(measured), "all of them keep the new limit"
