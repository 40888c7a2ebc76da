"""Expect what changes of the configuration cost, and learn from those that were made."""

from __future__ import annotations

from collections.abc import Sequence

from envs.spec import Configuration, ConfigurationSpace, Measurement, Outcome
from envs.spec.change import ChangeCost, ChangeTimes, change_cost
from envs.spec.change_cost import change_s


class Changes:
    """The changes of one device, whichever of its tenants are served.

    Seconds and joules are those of the table times a factor that the changes so far tell. The
    share of the requests that a change delays stays that of the table.
    """

    def __init__(self) -> None:
        self._times = ChangeTimes()

    def seconds(
        self, space: ConfigurationSpace, before: Configuration, after: Configuration
    ) -> float:
        """Return the expected seconds from one configuration to another."""
        return self._times.factor * float(change_s(space, before.array(), after.array()))

    def cost(
        self,
        space: ConfigurationSpace,
        before: Configuration | None,
        after: Configuration,
        rates_ips: Sequence[float],
    ) -> ChangeCost | None:
        """Return what a change is expected to cost; None where nothing changes.

        Args:
            space: of the configurations.
            before: what serves; None for nothing.
            after: what is to serve.
            rates_ips: [T], what arrives.
        """
        if before == after:
            return None
        old = None if before is None else before.array()
        table = change_cost(space, old, after.array(), rates_ips)
        return ChangeCost(*(self._times.factor * each for each in table))

    def record(
        self,
        space: ConfigurationSpace,
        before: Configuration | None,
        after: Configuration,
        outcome: Outcome,
    ) -> None:
        """Learn from a change; the first configuration of all takes a start, not a change."""
        if before is None or before == after or not isinstance(outcome, Measurement):
            return
        table_s = float(change_s(space, before.array(), after.array()))
        self._times = self._times.after(table_s, outcome.apply_s)
