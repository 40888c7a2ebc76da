"""Recover when nothing that should serve can: by the last resort, then by a new process."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from envs.errors import RuntimeFault, StartAnew, StorageError
from envs.spec import Configuration, Failure, Measurement, Outcome
from tuner.control.events import Event, EventKind
from tuner.control.failed_before import FailedBefore
from tuner.control.guard import Choice, Guard, Phase
from tuner.control.monitors.failures import FailureMonitor
from tuner.control.offer import Offer


class Recovery:
    """Looks at how each period ended, and decides what comes next.

    Args:
        guard: has the ladder of small configurations.
        offer: what may be chosen.
        failures: counts periods in which nothing served that should.
        failed_before: remembers restarts on disk.
        wanted: configurations whose engines are made ready first, once something serves.
    """

    def __init__(
        self,
        guard: Guard,
        offer: Offer,
        failures: FailureMonitor,
        failed_before: FailedBefore,
        wanted: Sequence[Configuration],
    ) -> None:
        self._guard, self._offer, self._failures = guard, offer, failures
        self._failed_before, self._wanted = failed_before, wanted
        self._on_reserve = False

    def fallback(
        self, choice: Choice, outcome: Outcome, tried: set[Configuration], serving: bool
    ) -> Configuration | None:
        """Return what to serve in the same period, since what should serve cannot.

        Args:
            choice: what was tried last.
            outcome: what it gave.
            tried: in this period.
            serving: True if something served before, which a refused experiment leaves alone.
        """
        if not isinstance(outcome, Failure) or self._failures.retry is not None:
            return None
        if choice.phase is Phase.SEARCHING and serving:
            return None
        return self._guard.fallback(tried)

    def period_ended(self, configuration: Configuration, outcome: Outcome) -> list[Event]:
        """Note what served; return events.

        Raises:
            StartAnew: nothing that should serve did for `Thresholds.failed_periods` periods in a
                row, and a new process may help.
            RuntimeFault: nothing serves, and new processes have not helped.
        """
        events, measured = list[Event](), isinstance(outcome, Measurement)
        on_reserve = configuration == self._guard.ladder.reserve
        self._failures.period_ended(measured and not on_reserve, measured)
        if measured and not on_reserve and self._failed_before.restarts:
            self._failed_before.forget()
        if measured and self._wanted:
            self._offer.go_on(self._wanted)
            self._wanted = ()
        if measured and on_reserve and not self._on_reserve:
            text = "the processor's cores serve: nothing else can now"
            events.append(Event(EventKind.LAST_RESORT, text))
        self._on_reserve = on_reserve and measured
        for event in self._offer.period_ended(self._guard.ladder.exhausted):
            self._guard.ladder.restore()
            events.append(event)
        if self._failures.hopeless:
            self._give_up()
        return events

    def _give_up(self) -> None:
        """Start anew where that may help; go on with the last resort where it does not."""
        what = f"nothing that should serve did for {self._failures.in_a_row} periods in a row"
        why = f"{what} ({self._failures.last_reason})"
        if self._failed_before.may_restart:
            with contextlib.suppress(StorageError):  # without a note, restarts would be a loop
                self._failed_before.starting_anew(self._offer.dropped)
                raise StartAnew(f"{why}: start anew")
        if self._failures.nothing_serves:
            raise RuntimeFault(f"{why}, and new processes did not help: look at the journal")
