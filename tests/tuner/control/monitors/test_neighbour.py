"""The configuration of before a neighbour came is remembered until the neighbour is gone."""

from __future__ import annotations

from dataclasses import replace

from tests.tuner.control.monitors.windows import OTHER, SERVING, WINDOW
from tuner.control.events import EventKind
from tuner.control.monitors.neighbour import NeighbourMonitor
from tuner.policy.thresholds import DEFAULT_THRESHOLDS

BESIDE, PERIODS = replace(WINDOW, disturbed=True), DEFAULT_THRESHOLDS.in_a_row


def test_a_neighbour_is_gone_after_some_periods_without_it_in_a_row() -> None:
    neighbour = NeighbourMonitor(DEFAULT_THRESHOLDS)
    neighbour.update(BESIDE, kept=False)
    neighbour.device_changed(SERVING, BESIDE)
    neighbour.device_changed(OTHER, BESIDE)
    assert neighbour.served_before == SERVING, "what served first is remembered"
    windows = [*[WINDOW] * (PERIODS - 1), BESIDE, *[WINDOW] * PERIODS]
    events = [neighbour.update(window, kept=True) for window in windows]
    assert [event is not None for event in events] == [False] * (len(windows) - 1) + [True]
    assert events[-1] is not None
    assert events[-1].kind is EventKind.NEIGHBOUR_GONE
    assert neighbour.take_served_before() == SERVING
    assert neighbour.served_before is None


def test_a_neighbour_beside_which_limits_were_kept_is_part_of_the_device() -> None:
    neighbour = NeighbourMonitor(DEFAULT_THRESHOLDS)
    for _ in range(PERIODS):
        neighbour.update(BESIDE, kept=True)
    neighbour.device_changed(SERVING, BESIDE)
    assert neighbour.served_before is None


def test_a_change_without_a_neighbour_is_nothing_to_wait_for() -> None:
    neighbour = NeighbourMonitor(DEFAULT_THRESHOLDS)
    neighbour.device_changed(SERVING, WINDOW)
    assert neighbour.served_before is None
