"""Place applications as they come, with room kept for those that are still expected.

Who takes everything that fits hosts fewer: a heavy application takes the room of several light ones
that come later. Here a plan for a forecast is made first (`place_together`); what it hosts are
seats. An application takes a seat of its own class (network, rate, limit, replicas, priority), else
room that no seat needs, else the room of a seat of a class that costs no less. What finds none of
these is refused, even where it would fit today. Seats that hardly anybody is expected to take any
more are given up.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from cluster.placement.nodes import Application
from cluster.placement.ours import OneMore, class_of
from cluster.placement.state import ClusterState, Spot
from cluster.placement.together import place_together
from envs.errors import OptionError

#: Rounds of the plan for the forecast; others come than it says, so that the best is not sought.
ROUNDS = 200

#: The class of an application, see `class_of`.
Class = tuple[str, float, float, int, int]


class Reserving:
    """Hosts applications one after the other on a cluster that is empty at first.

    Args:
        state: of the cluster.
        forecast: as many applications as are expected, each with one replica; which ones come is
            drawn anew, so that only the shares of their classes are relied on.
        rounds: see `place_together`.

    Raises:
        OptionError: the cluster is not empty, or an application has several replicas.
    """

    def __init__(
        self, state: ClusterState, forecast: Sequence[Application], rounds: int = ROUNDS
    ) -> None:
        if state.spots:
            raise OptionError("room is reserved on an empty cluster: this one hosts something")
        self._state, self._came, self._all = state, 0, len(forecast)
        self._expected = Counter(class_of(each) for each in forecast)
        self._beside = ClusterState(state.nodes, state.rules)  # what is hosted, and all seats
        seats = [replace(each, name=f"seat {at}") for at, each in enumerate(forecast)]
        if any(each.replicas > 1 for each in seats):
            raise OptionError("room is reserved for applications with one replica")
        self._policy = OneMore(self._beside, seats)
        self._cost = {class_of(each): self._empty_cost(each) for each in seats}
        place_together(self._beside, seats, rounds=rounds)
        self._seats: dict[Class, list[str]] = {}
        for each in seats:
            if each.name in self._beside.spots:
                self._seats.setdefault(class_of(each), []).append(each.name)

    def host(self, application: Application) -> bool:
        """Host an application, or refuse it and return False.

        Raises:
            OptionError: it has several replicas.
        """
        if application.replicas > 1:
            raise OptionError(f"{application.name} has several replicas: room is reserved for one")
        spot = self._own_seat(application) or self._policy(self._beside, application)
        spot = spot or self._other_seat(application)
        if spot is not None:
            self._beside.add(application, [spot])
            self._state.add(application, [spot])
        self._came += 1
        self._give_up()
        return spot is not None

    def _empty_cost(self, application: Application) -> float:
        """Return what an application costs on the empty cluster, infinite where it never fits."""
        found = self._policy.best(ClusterState(self._state.nodes, self._state.rules), application)
        return found[0] if found else math.inf

    def _own_seat(self, application: Application) -> Spot | None:
        """Take a seat of the same class away, and return where it was."""
        own = self._seats.get(class_of(application))
        return self._taken(class_of(application)) if own else None

    def _taken(self, which: Class, at: int = -1) -> Spot:
        name = self._seats[which].pop(at)
        (spot,) = self._beside.spots[name]
        self._beside.remove(name)
        return spot

    def _other_seat(self, application: Application) -> Spot | None:
        """Take a seat away that costs no less and has room enough, and return the spot there."""
        own = self._cost.get(class_of(application))
        own = self._empty_cost(application) if own is None else own
        classes = [each for each, names in self._seats.items() if names and self._cost[each] >= own]
        for which in sorted(classes, key=self._cost.__getitem__, reverse=True):
            for at, name in enumerate(self._seats[which]):
                (spot,) = self._beside.spots[name]
                seat = self._beside.remove(name)
                engines = np.flatnonzero(self._beside.fits_at(application, spot.node))
                if len(engines):
                    del self._seats[which][at]
                    return Spot(spot.node, int(engines[0]))
                self._beside.add(seat, [spot])
        return None

    def _give_up(self) -> None:
        """Take seats away that are more than a standard deviation above what still comes."""
        share = max(1.0 - self._came / max(self._all, 1), 0.0)
        for which, names in self._seats.items():
            still = self._expected[which] * share
            while len(names) > still + math.sqrt(still):
                self._taken(which)


def place_reserving(
    state: ClusterState, applications: Iterable[Application], forecast: Sequence[Application]
) -> list[Application]:
    """Place applications in their order by `Reserving`, and return those that were refused."""
    reserving = Reserving(state, forecast)
    return [each for each in applications if not reserving.host(each)]
