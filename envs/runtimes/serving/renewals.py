"""Renewals: engines of another power mode serve until those of the present one are there."""

from __future__ import annotations

from collections.abc import Iterable

from envs.runtimes.serving.acceptance import Acceptance
from envs.spec import Failure, Place


class Renewals:
    """Knows which places were renewed, each once a power mode; it is called under locks.

    Args:
        acceptance: builds and proves the engine of the present mode.
    """

    def __init__(self, acceptance: Acceptance) -> None:
        self._acceptance = acceptance
        self._renewed: set[Place] = set()
        self._outdated: set[Place] = set()

    def again(self) -> None:
        """Let every place be renewed once more: the power mode is another one."""
        self._renewed.clear()

    def next_of(self, places: Iterable[Place]) -> Place | None:
        """Return the first place with an engine of another power mode that is to be renewed."""
        waiting = (place for place in places if place not in self._renewed)
        return next((place for place in waiting if self._acceptance.borrowed(place)), None)

    def renew(self, place: Place) -> Failure | None:
        """Build and prove the engine of the present power mode; return why it cannot serve."""
        self._renewed.add(place)
        return self._acceptance.renew(place)

    def ended(self, place: Place, failure: Failure | None) -> None:
        """Note how a renewal ended: instances of the place have an older engine, or not."""
        if failure is None:
            self._outdated.add(place)

    def outdated(self) -> frozenset[Place]:
        """Return the places that got another engine since the last call."""
        found, self._outdated = frozenset(self._outdated), set()
        return found
