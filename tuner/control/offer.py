"""Offer what may be chosen now: what is ready, less accelerators that failed again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from envs.errors import ConfigurationError
from envs.runtimes.serving.news import News
from envs.runtimes.serving.places import describe_place, places_of
from envs.runtimes.serving.readiness import Readiness
from envs.spec import (
    Agreements,
    Configuration,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Outcome,
    Place,
    narrowed,
)
from tuner.control.events import Event, EventKind
from tuner.placement.active_parts import ActiveReadiness
from tuner.policy.thresholds import Thresholds

Pair = tuple[int, int]

#: Times that memory must end before fewer instances are allowed. Assumed: the first time another
#: program may have held memory for a moment.
MEMORY_ENDS = 2


class Offer:
    """The space that the policy and the guard may choose from; it narrows with failures.

    Args:
        space: of the runtime.
        thresholds: how many failures are too many, and how long it takes to try again.
        readiness: tells which engines are ready; None where all of them are.
        agreements: with FP32, by (tenant, accelerator).

    Attributes:
        dropped: pairs (tenant, accelerator) that are no choice after failures, with the reason.
        most_instances: so many fit into the memory; None where memory never ended.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        thresholds: Thresholds,
        readiness: Readiness | ActiveReadiness | None,
        agreements: Agreements,
    ) -> None:
        self._space, self._thresholds = space, thresholds
        self._readiness, self._agreements = readiness, agreements
        self.dropped: dict[Pair, str] = {}
        self.most_instances: int | None = None
        self._failures: dict[int, list[Place]] = {}  # by accelerator, since it last worked
        self._fitted: list[int] = []
        self._periods_left = thresholds.retry_periods
        self._known: tuple[object, ConfigurationSpace | None] | None = None

    def space(self, min_agreement: float) -> ConfigurationSpace | None:
        """Return the space; None if nothing in it can serve every tenant."""
        version = None if self._readiness is None else self._readiness.version
        key = (version, min_agreement, frozenset(self.dropped), self.most_instances)
        if self._known is None or self._known[0] != key:
            self._known = key, self._narrowed(min_agreement)
        return self._known[1]

    @property
    def ready_space(self) -> ConfigurationSpace:
        """Return the space of what is ready, also of what failed or gives wrong answers."""
        return self._space if self._readiness is None else self._readiness.offered

    def ready(self, configuration: Configuration) -> bool:
        """Return True if every engine of a configuration is ready."""
        return self._readiness is None or not self._readiness.missing(configuration)

    def go_on(self, first: Iterable[Configuration]) -> None:
        """Let engines be made ready in the background: those of some configurations first."""
        if self._readiness is not None:
            self._readiness.go_on([place for each in first for place in places_of(each)])

    def power_mode_changed(self) -> None:
        """Let engines of the present power mode be built while the others go on serving."""
        if self._readiness is not None:
            self._readiness.refresh()

    def news(self) -> list[Event]:
        """Return events for what was found out in the background."""
        if self._readiness is None:
            return []
        events = []
        for each in self._readiness.news():
            events.append(Event(_kind_of(each), each.text))
            works = each.place[:2] in {place[:2] for place in self._readiness.ready}
            # A failure of a period has been counted; where others work, one batch size is lost.
            if not (each.ready or each.raised or works):
                events += self._count(each.place, each.text)
        return events

    def record(self, configuration: Configuration, outcome: Outcome) -> list[Event]:
        """Learn from a period; return events for what is no choice any more."""
        if not isinstance(outcome, Failure):
            for _, column, _, _ in configuration.slots():
                self._failures.pop(column, None)
            return []
        if outcome.kind is FailureKind.OUT_OF_MEMORY and outcome.fitted:
            return self._memory_ended(outcome.fitted)
        return [] if outcome.place is None else self._count(outcome.place, outcome.reason)

    def period_ended(self, exhausted: bool = False) -> list[Event]:
        """Try again what was dropped, after a long while.

        Args:
            exhausted: True if every small configuration has failed, whatever was dropped.
        """
        if not self.dropped and self.most_instances is None and not exhausted:
            self._periods_left = self._thresholds.retry_periods
            return []
        self._periods_left -= 1
        return [] if self._periods_left > 0 else [self.restore()]

    def restore(self) -> Event:
        """Try everything again; return the event that says so."""
        limited = "what failed" if self.most_instances is None else "more instances"
        names = ", ".join(sorted({self._name(pair) for pair in self.dropped})) or limited
        self.dropped.clear()
        self.most_instances = None
        self._fitted.clear()
        self._failures.clear()
        if self._readiness is not None:
            self._readiness.try_again()
        return Event(
            EventKind.ACCELERATOR_TRIED_AGAIN, f"after a long while {names} may serve again"
        )

    def drop(self, pairs: dict[Pair, str], most_instances: int | None = None) -> None:
        """Let pairs be no choice for a long while, and no more instances than fitted."""
        self.dropped |= pairs
        self.most_instances = most_instances
        self._periods_left = self._thresholds.retry_periods

    def _count(self, place: Place, reason: str) -> list[Event]:
        """Count a failure; drop the accelerator for those tenants that met it too often."""
        failures = self._failures.setdefault(place.accelerator, [])
        failures.append(place)
        if len(failures) < self._thresholds.in_a_row:
            return []
        owners = Counter((each.tenant, each.accelerator) for each in failures)
        new = {pair: reason for pair in owners if pair not in self.dropped}
        self._failures[place.accelerator] = []
        if not new:
            return []
        self.drop(new, self.most_instances)
        names = ", ".join(self._name(pair) for pair in sorted(new))
        text = f"{names}: no choice after {len(failures)} failures, the last one {reason}"
        return [Event(EventKind.ACCELERATOR_DROPPED, text)]

    def _memory_ended(self, fitted: int) -> list[Event]:
        """Allow only as many instances as there was memory for, once that happened again."""
        self._fitted.append(fitted)
        most = max(self._fitted)
        if len(self._fitted) < MEMORY_ENDS or self.most_instances == most:
            return []
        self.drop({}, most)
        text = (
            f"memory ended again beside {most} instances: no more of them until it is tried again"
        )
        return [Event(EventKind.MEMORY_ENDED, text)]

    def _narrowed(self, min_agreement: float) -> ConfigurationSpace | None:
        space = narrowed(self.ready_space, self._agreements, min_agreement)
        most, tenants = self.most_instances, space.shape[0]
        if most is not None:
            most = max(tenants, min(most, space.max_total_instances or most))
        space = replace(
            space,
            unavailable=space.unavailable | set(self.dropped),
            max_total_instances=space.max_total_instances if most is None else most,
        )
        try:
            space.default()
        except ConfigurationError:
            return None
        return space

    def _name(self, pair: Pair) -> str:
        return describe_place(self._space, Place(*pair, 1)).removesuffix(" at batch 1")


def _kind_of(news: News) -> EventKind:
    return EventKind.ENGINE_READY if news.ready else EventKind.ENGINE_REFUSED
