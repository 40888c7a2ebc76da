"""Broken limits add up until the device counts as another one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from envs.spec import Failure, FailureKind, Outcome
from tests.tuner.control.monitors.windows import OTHER, SERVING, WINDOW
from tuner.control.events import Event
from tuner.control.monitors.drift import DriftMonitor
from tuner.policy.thresholds import DEFAULT_THRESHOLDS

BESIDE = replace(WINDOW, disturbed=True)
FAILED = Failure(FailureKind.OUT_OF_MEMORY, "too large")


def broken(drift: DriftMonitor, outcome: Outcome = WINDOW, surprising: bool = True) -> Event | None:
    return drift.update(SERVING, outcome, kept=False, was_good=True, surprising=surprising)


def kept(drift: DriftMonitor) -> Event | None:
    return drift.update(OTHER, WINDOW, kept=True, was_good=False, surprising=False)


@pytest.mark.parametrize(
    ("outcome", "surprising", "periods"),
    [(WINDOW, True, 2), (WINDOW, False, 6), (BESIDE, True, 4), (BESIDE, False, 12)],
)
def test_a_break_counts_more_when_surprising_and_less_beside_a_neighbour(
    outcome: Outcome, surprising: bool, periods: int
) -> None:
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    events = [broken(drift, outcome, surprising) is not None for _ in range(periods)]
    assert events == [False] * (periods - 1) + [True]
    assert drift.most_broken == SERVING
    drift.clear()
    assert broken(drift) is None


def test_a_period_that_keeps_the_limits_clears_its_own_configuration_alone() -> None:
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    broken(drift)
    assert kept(drift) is None
    assert broken(drift) is not None
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    broken(drift)
    drift.update(SERVING, WINDOW, kept=True, was_good=False, surprising=False)
    assert broken(drift) is None


def test_a_failure_counts_but_the_event_waits_for_a_measurement() -> None:
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    assert [broken(drift, FAILED) for _ in range(2)] == [None, None]
    assert kept(drift) is not None


def test_what_never_kept_the_limits_tells_nothing() -> None:
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    for _ in range(9):
        event = drift.update(SERVING, WINDOW, kept=False, was_good=False, surprising=False)
        assert event is None
