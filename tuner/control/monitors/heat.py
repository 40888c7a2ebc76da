"""Watch the temperature and the power mode of the board."""

import math
from collections.abc import Callable

from envs.spec import Measurement
from tuner.control.events import Event, EventKind
from tuner.policy.thresholds import Thresholds


class HeatMonitor:
    """Watch for a board that became much hotter or colder."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._change_c = thresholds.temperature_change_c
        self._reference_c = math.nan

    def update(self, outcome: Measurement) -> Event | None:
        """Return an event if the temperature left that of the last event, or of the start."""
        before_c, now_c = self._reference_c, outcome.temperature_c
        changed = abs(now_c - before_c) > self._change_c
        if changed or math.isnan(before_c):
            self._reference_c = now_c
        return (
            Event(
                EventKind.TEMPERATURE_CHANGED,
                f"temperature changed from {before_c:.0f} to {now_c:.0f} C",
            )
            if changed
            else None
        )


class PowerModeMonitor:
    """Watch the name of the power mode.

    Args:
        read: returns the name; empty where it is not known.
    """

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._mode = read()

    def update(self) -> Event | None:
        """Return an event if the mode is another one than in the period before."""
        before, self._mode = self._mode, self._read()
        if self._mode == before:
            return None
        return Event(
            EventKind.POWER_MODE_CHANGED,
            f"power mode changed from {before or 'unknown'} to {self._mode or 'unknown'}",
        )
