"""Notice a change of the device: configurations that kept the limits break them now."""

from collections import defaultdict

from envs.spec import Configuration, Failure, Measurement, Outcome
from tuner.control.events import Event, EventKind
from tuner.policy.thresholds import Thresholds


class DriftMonitor:
    """Count broken limits of configurations that were known to keep them.

    A break that is farther off than windows scatter counts more than one that is not, and one
    beside a neighbour counts less. A period that keeps the limits clears its configuration.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._breaks: defaultdict[Configuration, float] = defaultdict(float)

    def update(
        self,
        configuration: Configuration,
        outcome: Outcome,
        *,
        kept: bool,
        was_good: bool,
        surprising: bool,
    ) -> Event | None:
        """Return an event if so many limits were broken that measurements no longer count.

        A failed measurement is counted; the event waits for the next one that succeeds.

        Args:
            configuration: what served.
            outcome: what it gave.
            kept: True if it kept every limit.
            was_good: True if it was known to keep the limits before.
            surprising: True if it broke one by more than its windows scatter.
        """
        limits = self._thresholds
        if kept:
            self._breaks.pop(configuration, None)
        elif was_good:
            beside = isinstance(outcome, Measurement) and outcome.disturbed
            weight = limits.surprise_weight if surprising else 1
            self._breaks[configuration] += weight / (limits.neighbour_discount if beside else 1)
        enough = limits.surprise_weight * limits.surprising_breaks
        if isinstance(outcome, Failure) or sum(self._breaks.values()) < enough:
            return None
        return Event(
            EventKind.DEVICE_CHANGED,
            "what kept the limits before does so no more: measuring anew",
        )

    @property
    def most_broken(self) -> Configuration:
        """The configuration whose broken limits count most."""
        return max(self._breaks, key=self._breaks.__getitem__)

    def clear(self) -> None:
        """Forget all broken limits: conditions are others now."""
        self._breaks.clear()
