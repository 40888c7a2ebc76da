"""A board that becomes hot is an event, and so is another power mode."""

from __future__ import annotations

import math
from dataclasses import replace

from tests.tuner.control.monitors.windows import WINDOW
from tuner.control.monitors.heat import HeatMonitor, PowerModeMonitor
from tuner.policy.thresholds import DEFAULT_THRESHOLDS


def test_a_change_counts_from_the_last_event_and_a_missing_reading_is_none() -> None:
    heat = HeatMonitor(DEFAULT_THRESHOLDS)
    temperatures_c = (math.nan, 50.0, 60.0, 64.0, math.nan, 66.0, 70.0, 50.0)
    events = [heat.update(replace(WINDOW, temperature_c=each)) for each in temperatures_c]
    assert [event.text for event in events if event] == [
        "temperature changed from 50 to 66 C",
        "temperature changed from 66 to 50 C",
    ]


def test_another_power_mode_is_an_event_once() -> None:
    modes = iter(["30W", "30W", "", ""])
    monitor = PowerModeMonitor(lambda: next(modes))
    events = [monitor.update() for _ in range(3)]
    assert [event.text if event else None for event in events] == [
        None,
        "power mode changed from 30W to unknown",
        None,
    ]
