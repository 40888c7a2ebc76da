"""Tell accidents from configurations that do not work, and notice when nothing works any more."""

from envs.spec import Configuration, Failure, FailureKind, Outcome
from tuner.control.events import Event, EventKind
from tuner.policy.thresholds import Thresholds

#: Failures that do not count against a configuration that served before.
ACCIDENTS = (FailureKind.INSTANCE_LOST, FailureKind.TIMED_OUT)


class FailureMonitor:
    """Follow periods without a measurement.

    Attributes:
        retry: what to start again once, after an accident; None for nothing.
        in_a_row: periods in which nothing served that should.
        nothing_in_a_row: periods in which nothing served at all.
        last_reason: of the last failure.
        failed: what could not be measured in the last period; None if it was measured.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self.retry: Configuration | None = None
        self.failed: Configuration | None = None
        self._most = thresholds.failed_periods
        self.in_a_row, self.nothing_in_a_row, self.last_reason = 0, 0, ""

    @property
    def hopeless(self) -> bool:
        """Return True after `Thresholds.failed_periods` such periods: a new process is due."""
        return self.in_a_row >= self._most

    @property
    def nothing_serves(self) -> bool:
        """Return True after as many periods in which not even the last resort served."""
        return self.nothing_in_a_row >= self._most

    def period_ended(self, served: bool, measured: bool) -> None:
        """Count periods in a row: those in which nothing served that should, or nothing at all.

        Args:
            served: True if what should serve did.
            measured: True if anything served, the last resort included.
        """
        self.in_a_row = 0 if served else self.in_a_row + 1
        self.nothing_in_a_row = 0 if measured else self.nothing_in_a_row + 1

    def update(
        self, configuration: Configuration, outcome: Outcome, experiment: bool
    ) -> Event | None:
        """Return an event for a period without a measurement.

        Args:
            configuration: what served, or should have.
            outcome: what it gave.
            experiment: True if it had not served before: an accident is its own fault then.
        """
        retried, self.retry = self.retry is not None, None
        if not isinstance(outcome, Failure):
            self.failed = None
            return None
        self.failed, self.last_reason = configuration, outcome.reason
        if outcome.kind in ACCIDENTS and not retried and not experiment:
            self.retry = configuration
        return Event(EventKind.MEASUREMENT_FAILED, f"{outcome.kind.value}: {outcome.reason}")
