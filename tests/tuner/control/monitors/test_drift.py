"""Broken limits add up until the device counts as another one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from envs.spec import Failure, FailureKind, Outcome
from tests.tuner.control.monitors.windows import OTHER, SERVING, WINDOW
from tuner.control.events import Event
from tuner.control.monitors.drift import DriftMonitor
from tuner.policy.thresholds import DEFAULT_THRESHOLDS

FAILED = Failure(FailureKind.OUT_OF_MEMORY, "too large")


def broken(drift: DriftMonitor, outcome: Outcome = WINDOW, sigmas: float = 5.0) -> Event | None:
    return drift.update(SERVING, outcome, kept=False, was_good=True, sigmas=sigmas)


def kept(drift: DriftMonitor) -> Event | None:
    return drift.update(OTHER, WINDOW, kept=True, was_good=False, sigmas=0.0)


@pytest.mark.parametrize(
    ("sigmas", "periods"),
    # The chance of a window that is farther off is 0.0060, 0.032, 0.15 and 0.50; the events add up
    # to a chance below 0.0060 squared.
    [(math.inf, 2), (3.0, 2), (2.0, 3), (1.0, 6), (0.0, 15)],
)
def test_breaks_count_by_how_unlikely_they_were(sigmas: float, periods: int) -> None:
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    events = [broken(drift, sigmas=sigmas) is not None for _ in range(periods)]
    assert events == [False] * (periods - 1) + [True]
    assert drift.most_broken == SERVING
    drift.clear()
    assert broken(drift) is None


def test_beside_a_neighbour_it_takes_as_many_as_are_no_accident() -> None:
    beside, drift = replace(WINDOW, disturbed=True), DriftMonitor(DEFAULT_THRESHOLDS)
    events = [broken(drift, beside) is not None for _ in range(DEFAULT_THRESHOLDS.in_a_row)]
    assert events == [False] * (DEFAULT_THRESHOLDS.in_a_row - 1) + [True]


def test_a_period_that_keeps_the_limits_clears_its_own_configuration_alone() -> None:
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    broken(drift)
    assert kept(drift) is None
    assert broken(drift) is not None
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    broken(drift)
    drift.update(SERVING, WINDOW, kept=True, was_good=False, sigmas=0.0)
    assert broken(drift) is None


def test_a_failure_counts_but_the_event_waits_for_a_measurement() -> None:
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    assert [broken(drift, FAILED) for _ in range(2)] == [None, None]
    assert kept(drift) is not None


def test_what_never_kept_the_limits_tells_nothing() -> None:
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    for _ in range(9):
        event = drift.update(SERVING, WINDOW, kept=False, was_good=False, sigmas=0.0)
        assert event is None
