"""Choice of the few mappings of a network that are worth being places to run on.

A mapping can be worth it alone: by time, by energy, or by both together. It can also be worth it
beside others: instances on different accelerators share the work, and a mapping that takes load
off the GPU adds throughput where a DLA is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from envs.arrays import FloatArray
from envs.mappings.costs import GroupCosts
from envs.mappings.gain import left_to_the_gpu
from envs.mappings.loads import by_resource, resources, without_twins
from envs.mappings.search import MappingCost, costs_of, pareto_front, single_accelerators

#: Most mappings of a network that become places.
MEMBERS = 8

#: A mapping that improves no use by more than this share is not worth its place.
MARGIN = 0.02

#: Weights of time against energy by which one batch alone is judged.
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)

#: Shares of two resources that several instances may use together: all of the GPU and one or two
#: DLA cores, and half of a GPU that another network keeps busy.
CAPACITIES = np.array([(1.0, 1.0), (1.0, 2.0), (0.5, 1.0)])

#: Prices [2, 65] of the two resources, relative to what the whole network takes there.
PRICES = np.stack([np.linspace(0, 1, 65), np.linspace(1, 0, 65)])


def worth_it(
    costs: GroupCosts, transitions: int | None = 2, members: int = MEMBERS, margin: float = MARGIN
) -> tuple[MappingCost, ...]:
    """Return the mappings that are worth being places beside the single accelerators, best first.

    An engine for a DLA that leaves groups to the GPU counts as a single accelerator.

    A use is a trade-off of time and energy of a batch alone, by `WEIGHTS`, or the throughput of the
    best mixture of places on two resources, by `CAPACITIES`. One mapping after the other is taken:
    the one that improves the uses most, as a sum of logarithms, over what the places allow so far.
    Mappings use at most two resources, and one core of several equal ones.

    Args:
        costs: of the network.
        transitions: how often a mapping may change the accelerator at most; None for no bound.
        members: how many are returned at most.
        margin: a member improves at least one use by more than this share.
    """
    few, kept = without_twins(costs)
    pairs = [by_resource(few, *pair) for pair in combinations(dict.fromkeys(resources(few)), 2)]
    fronts = [pareto_front(each, transitions) for each in (few, *pairs)]
    unique = dict.fromkeys(each.chosen for front in fronts for each in front)
    wholes = [each.chosen for each in single_accelerators(few)]
    wholes += [each for each in left_to_the_gpu(few).values() if np.isfinite(few.of(each)).all()]
    places = wholes or [front[0].chosen for front in fronts[:1] if front]
    candidates = [each for each in unique if _two_resources(few, each) and each not in places]
    if not candidates or not places:
        return ()
    uses = _Uses(few, pairs, [*places, *candidates])
    uses.take(*range(len(places)))
    taken = [] if wholes else [0]
    while len(taken) < members:
        better = uses.improvements()
        best = int(better.sum(axis=1).argmax())
        if better[best].max() <= -np.log1p(-margin):
            break
        taken.append(best)
        uses.take(best)
    every = np.array([*places, *candidates])
    return costs_of(costs, np.array(kept)[every[taken]]) if taken else ()


def _two_resources(costs: GroupCosts, chosen: Sequence[int]) -> bool:
    names = resources(costs)
    return len({names[at] for at in chosen}) <= 2


class _Uses:
    """Tell what each of N mappings would add to the places that were taken.

    The throughput of a mixture is a linear program, and is computed by its dual: at given prices of
    the resources no mixture earns more than all of them buy of the cheapest place; the least over
    prices is what the best mixture earns. `PRICES` stand for all prices.
    """

    def __init__(
        self, costs: GroupCosts, pairs: Sequence[GroupCosts], mappings: Sequence[Sequence[int]]
    ) -> None:
        chosen = np.array(mappings)
        weights = np.array([(weight, 1 - weight) for weight in WEIGHTS])
        with np.errstate(divide="ignore"):
            logs = np.log(np.maximum(np.stack(costs.totals(chosen)), np.finfo(float).tiny))
        self._alone: FloatArray = (weights @ logs).T
        self._best_alone = np.full(len(WEIGHTS), np.inf)
        self._prices, self._budgets, self._cheapest = [], [], []
        for pair in pairs:
            loads = np.stack(pair.totals(chosen))
            scale = _least_whole(loads)
            self._prices.append(loads.T / scale @ PRICES)
            self._budgets.append(CAPACITIES / scale @ PRICES)
            self._cheapest.append(np.full(PRICES.shape[1], np.inf))

    def take(self, *rows: int) -> None:
        """Add mappings to the places."""
        at = list(rows)
        self._best_alone = np.minimum(self._best_alone, self._alone[at].min(axis=0))
        self._cheapest = [
            np.minimum(cheapest, prices[at].min(axis=0))
            for cheapest, prices in zip(self._cheapest, self._prices, strict=True)
        ]

    def improvements(self) -> FloatArray:
        """Return by how much each mapping would improve each use [N, U], as logarithms."""
        better = [np.maximum(self._best_alone - self._alone, 0)]
        for prices, budgets, cheapest in zip(
            self._prices, self._budgets, self._cheapest, strict=True
        ):
            now = _log_rate(cheapest[None], budgets)
            better.append(_log_rate(np.minimum(cheapest, prices), budgets) - now)
        return np.concatenate(better, axis=1)


def _least_whole(loads: FloatArray) -> FloatArray:
    """Return [2]: the least load on each resource of a mapping that uses no other one.

    Where there is none, the largest load of any mapping stands in for it.
    """
    whole = np.where((loads > 0) & (loads[::-1] == 0), loads, np.inf).min(axis=1)
    least = np.where(np.isfinite(whole), whole, loads.max(axis=1))
    return np.where(least > 0, least, 1.0)


def _log_rate(cheapest: FloatArray, budgets: FloatArray) -> FloatArray:
    """Return the logarithm [N, C] of the most batches per second at prices [N, W].

    Args:
        cheapest: what a batch costs at the cheapest place.
        budgets: [C, W] what the resources cost together.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = budgets / cheapest[:, None, :]
    return np.asarray(np.log(np.nan_to_num(rates, nan=np.inf, posinf=np.inf).min(axis=-1)))
