"""Tell whether the power sensor can be believed."""

from collections import deque

from envs.spec import Measurement, Origin
from tuner.control.events import Event, EventKind
from tuner.control.monitors.arrivals import is_idle
from tuner.policy.thresholds import Thresholds


class PowerMonitor:
    """Watch for a sensor that reads nothing, or always the same, while power is limited.

    Attributes:
        unreadable: True while a limit on power cannot be checked.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self.unreadable = False
        self._readings_w: deque[float] = deque(maxlen=thresholds.in_a_row)

    def update(self, outcome: Measurement, limited: bool) -> Event | None:
        """Return an event if the sensor fails, or works again.

        Args:
            outcome: the window that was measured.
            limited: True if there is a limit on power; without one the sensor does not matter.
        """
        if not limited:
            self.unreadable = False
            self._readings_w.clear()
            return None
        stuck = self._stuck(outcome)
        unreadable = stuck or not outcome.power_w > 0
        changed, self.unreadable = unreadable != self.unreadable, unreadable
        if not changed:
            return None
        if not unreadable:
            return Event(EventKind.POWER_READABLE, "the power sensor is back")
        reason = f" ({outcome.sensor_fault})" if outcome.sensor_fault else ""
        fault = "is stuck" if stuck else f"gives nothing{reason}"
        return Event(
            EventKind.POWER_UNREADABLE,
            f"the power sensor ({outcome.sensor}) {fault}: serving the safe default until it does",
        )

    def _stuck(self, outcome: Measurement) -> bool:
        readings = self._readings_w
        if not is_idle(outcome):  # the power of a board at rest may well stay the same
            readings.append(outcome.power_w)
        return (
            len(readings) == readings.maxlen
            and len(set(readings)) == 1
            and outcome.origin is not Origin.REPLAYED
        )
