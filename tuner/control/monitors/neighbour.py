"""Follow other programs that use the processor, and what served before they came."""

from envs.spec import Configuration, Measurement
from tuner.control.events import Event, EventKind
from tuner.policy.thresholds import Thresholds


class NeighbourMonitor:
    """Remember the configuration before a neighbour came, and notice when the neighbour is gone.

    A neighbour beside which the limits were kept for some periods in a row counts as part of the
    device: nothing is remembered for it.

    Attributes:
        served_before: the configuration when the neighbour came; None without a neighbour.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self.served_before: Configuration | None = None
        self._periods = thresholds.in_a_row
        self._kept_beside = 0  # periods in a row that kept the limits beside a neighbour
        self._without = 0  # periods in a row without a neighbour

    def update(self, outcome: Measurement, kept: bool) -> Event | None:
        """Return an event if the neighbour that drove a configuration away is gone."""
        if kept:
            self._kept_beside = self._kept_beside + 1 if outcome.disturbed else 0
        if self.served_before is None:
            return None
        self._without = 0 if outcome.disturbed else self._without + 1
        if self._without < self._periods:
            return None
        return Event(
            EventKind.NEIGHBOUR_GONE,
            "nothing else keeps the processor busy any more: measuring anew",
        )

    def device_changed(self, left: Configuration, outcome: Measurement) -> None:
        """Take note that the device changed; beside a new neighbour, `left` is remembered."""
        new = self._kept_beside < self._periods and self.served_before is None
        if outcome.disturbed and new:
            self.served_before = left
        self._without = 0

    def take_served_before(self) -> Configuration | None:
        """Return what served before the neighbour came, and forget it."""
        before, self.served_before = self.served_before, None
        self._without = 0
        return before
