"""Our policy: what each node could do with one more application, and what that costs the others.

What a node could do comes from its profile: every engine and batch size of the device model, a
recording or a tuning answer. The cost of a spot is counted in applications: how much of its place
and of the node's memory it takes, divided by what an average application of the expected ones would
take there. Where that is the same, power decides, or the other way round (`Goal`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from cluster.placement.feasibility import FULL, filled
from cluster.placement.nodes import Application
from cluster.placement.state import ClusterState, Demand, KindState, Spot
from envs.arrays import FloatArray, Rows

#: What a node that is nobody's first choice by cost may cost more, to save power.
POWER_TIE = 0.02

#: How many times as many nodes are looked at where a sample has no room.
WIDER = 16


class Goal(Enum):
    """Say what comes first: most applications hosted, or least power for each."""

    HOSTED = "hosted"
    POWER = "power"


@dataclass
class Prices:
    """Hold what an average application takes of each kind of node.

    Attributes:
        place: by kind, [A] the share of a place that an average application fills.
        memory: by kind, applications that a whole node's memory holds, times its weight.
    """

    place: dict[str, FloatArray] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)


def prices_of(
    state: ClusterState, expected: Sequence[Application], memory_weight: float | None = None
) -> Prices:
    """Return the prices on a cluster where applications such as the expected ones come.

    Args:
        state: of the cluster.
        expected: a sample of what comes, at least one.
        memory_weight: how much memory counts beside the places; None for the square of how many
            average applications fill the places over how many fill the memory, at most 1.
    """
    found = Prices()
    for kind in state.kinds:
        fills: list[list[float]] = [[] for _ in kind.kind.places]
        shares = []
        for application in expected:
            demand = kind.demand(application)
            if demand is None:
                continue
            own = filled(
                kind.shared[demand.place], demand.load, demand.second_s, demand.tight, kind.rules
            )
            for place, found_there in enumerate(fills):
                mine = own[(demand.place == place) & (own <= FULL)]
                if len(mine):
                    found_there.append(float(mine.min()))
            mib = float(demand.engine_mib.min()) + kind.kind.front_end_mib
            shares.append(mib / (state.rules.memory * kind.kind.memory_mib))
        mean = np.array([np.mean(each) if each else 1.0 for each in fills])
        share = float(np.mean(shares)) if shares else 1.0
        by_load = float((1.0 / mean).sum())
        weight = min(1.0, by_load * share) ** 2 if memory_weight is None else memory_weight
        found.place[kind.kind.name], found.memory[kind.kind.name] = mean, weight / share
    return found


class OneMore:
    """Places applications as they come where they cost the others least.

    Args:
        state: of the cluster.
        expected: a sample of what comes, which gives the prices.
        goal: what comes first.
        sample: nodes of each kind that are looked at for one application, drawn anew each time;
            where these have no room, more of them, then all. None for always all.
        seed: of these draws.
        memory_weight: see `prices_of`.
    """

    def __init__(
        self,
        state: ClusterState,
        expected: Sequence[Application],
        goal: Goal = Goal.HOSTED,
        sample: int | None = None,
        seed: int = 0,
        memory_weight: float | None = None,
    ) -> None:
        self.prices, self._goal = prices_of(state, expected, memory_weight), goal
        self._sample, self._rng = sample, np.random.default_rng(seed)
        # Applications that find no room, until something is taken away.
        self._full: set[tuple[str, float, float, int, int]] = set()
        self._state, self._removals = state, state.removals

    def __call__(
        self, state: ClusterState, application: Application, taken: Collection[int] = ()
    ) -> Spot | None:
        """Return the cheapest spot, None where nothing fits."""
        if self._state is not state or self._removals != state.removals:
            self._full, self._state, self._removals = set(), state, state.removals
        key = class_of(application)
        if key in self._full:
            return None
        sizes = [] if self._sample is None else [self._sample, WIDER * self._sample]
        for size in (*sizes, None):
            found = self.best(state, application, taken, size)
            if found is not None:
                return found[1]
        if not taken:
            self._full.add(key)
        return None

    def best(
        self,
        state: ClusterState,
        application: Application,
        taken: Collection[int] = (),
        sample: int | None = None,
    ) -> tuple[float, Spot] | None:
        """Return the cheapest spot with its cost, None where nothing fits."""
        best: tuple[float, Spot] | None = None
        for kind in state.kinds:
            demand = kind.demand(application)
            if demand is None or not (demand.tight > 0).any():
                continue
            rows: Rows | slice = slice(None)
            if sample is not None and sample < len(kind.numbers):
                rows = self._rng.integers(0, len(kind.numbers), sample)
            cost = self._cost(kind, demand, rows)
            if taken:
                cost[np.isin(kind.numbers[rows], list(taken))] = np.inf
            at = int(cost.argmin())
            row, engine = divmod(at, cost.shape[1])
            if cost[row, engine] < (best[0] if best else np.inf):
                best = float(cost[row, engine]), Spot(int(kind.numbers[rows][row]), engine)
        return best

    def _cost(self, kind: KindState, demand: Demand, rows: Rows | slice) -> FloatArray:
        """Return the costs [E', O], infinite where it does not fit."""
        after = kind.fill_after(demand, rows)
        fits = (after <= FULL) & kind.has_memory(demand, rows)
        if not fits.any():
            return np.full(after.shape, np.inf)
        more = (after - kind.fill_before(demand, rows)) / self.prices.place[kind.kind.name][
            demand.place
        ]
        memory = kind.memory_after(demand, rows) - kind.used_mib[rows][:, None]
        share = memory / (kind.rules.memory * kind.kind.memory_mib)
        cost = more + share * self.prices.memory[kind.kind.name]
        watts = np.nan_to_num(demand.watts)
        cost = watts + POWER_TIE * cost if self._goal is Goal.POWER else cost + POWER_TIE * watts
        return np.where(fits, cost, np.inf)


def class_of(application: Application) -> tuple[str, float, float, int, int]:
    """Return what applications must have in common to be placed alike."""
    return (
        application.network,
        application.rate_ips,
        application.limit_s,
        application.replicas,
        application.priority,
    )
