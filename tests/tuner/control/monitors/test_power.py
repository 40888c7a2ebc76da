"""A sensor that reads nothing, or always the same, is not believed while power is limited."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from envs.spec import Measurement, Origin
from tests.tuner.control.monitors.windows import WINDOW
from tuner.control.events import EventKind
from tuner.control.monitors.power import PowerMonitor
from tuner.policy.thresholds import DEFAULT_THRESHOLDS


def reading(power_w: float, **more: object) -> Measurement:
    return replace(WINDOW, power_w=power_w, **more)  # type: ignore[arg-type]


def test_a_reading_of_nothing_is_an_event_once_and_so_is_its_end() -> None:
    power = PowerMonitor(DEFAULT_THRESHOLDS)
    readings = (10.0, math.nan, 0.0, 10.1, 10.2)
    events = [power.update(reading(watts), limited=True) for watts in readings]
    assert [event and event.kind for event in events] == [
        None,
        EventKind.POWER_UNREADABLE,
        None,
        EventKind.POWER_READABLE,
        None,
    ]


@pytest.mark.parametrize(
    ("origin", "idle", "stuck"),
    [
        (Origin.MEASURED, False, True),
        (Origin.REPLAYED, False, False),
        (Origin.MEASURED, True, False),
    ],
)
def test_the_same_reading_again_and_again_is_stuck_unless_replayed_or_at_rest(
    origin: Origin, idle: bool, stuck: bool
) -> None:
    power = PowerMonitor(DEFAULT_THRESHOLDS)
    tenants = (replace(WINDOW.tenants[0], requests=0),) if idle else WINDOW.tenants
    for _ in range(DEFAULT_THRESHOLDS.in_a_row):
        power.update(reading(10.0, origin=origin, tenants=tenants), limited=True)
    assert power.unreadable is stuck


def test_without_a_limit_the_sensor_does_not_matter() -> None:
    power = PowerMonitor(DEFAULT_THRESHOLDS)
    power.update(reading(math.nan), limited=True)
    assert power.unreadable
    assert power.update(reading(math.nan), limited=False) is None
    assert not power.unreadable
