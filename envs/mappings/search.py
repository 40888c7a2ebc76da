"""Exact search for mappings of one network: least time, least energy, limits, the front of both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from envs.arrays import FloatArray, IntArray
from envs.errors import OptionError
from envs.mappings.costs import GroupCosts
from envs.mappings.labels import ROUNDING, Labels, nondominated
from envs.mappings.shortest import Steps, cheapest, to_the_end
from envs.spec.mapping import Mapping


@dataclass(frozen=True)
class MappingCost:
    """A mapping of a network, and what a batch takes that runs alone.

    Attributes:
        mapping: which groups run where.
        time_s, energy_j: of a batch.
        chosen: [G] positions in `GroupCosts.accelerators`.
    """

    mapping: Mapping
    time_s: float
    energy_j: float
    chosen: tuple[int, ...]

    @property
    def transitions(self) -> int:
        """Return how often it changes the accelerator."""
        return len(self.mapping.stops)

    def value(self, weight: float) -> float:
        """Return `weight` log time + (1 - `weight`) log energy, the less the better."""
        parts = [(weight, self.time_s), (1 - weight, self.energy_j)]
        return sum(
            share * (math.log(each) if each > 0 else -math.inf) for share, each in parts if share
        )


def costs_of(costs: GroupCosts, chosen: IntArray) -> tuple[MappingCost, ...]:
    """Return the mappings [N, G] with what they take; positions are in `costs.accelerators`."""
    names = costs.accelerators
    time_s, energy_j = costs.totals(chosen)
    return tuple(
        MappingCost(Mapping.of_groups(tuple(names[at] for at in where)), *pair, tuple(where))
        for where, pair in zip(
            chosen.tolist(), zip(time_s.tolist(), energy_j.tolist(), strict=True), strict=True
        )
    )


def single_accelerators(costs: GroupCosts) -> tuple[MappingCost, ...]:
    """Return the whole network on each accelerator that runs all of its groups."""
    found = costs_of(costs, np.repeat(np.arange(len(costs.accelerators))[:, None], costs.groups, 1))
    return tuple(each for each in found if math.isfinite(each.time_s + each.energy_j))


def fastest(
    costs: GroupCosts, transitions: int | None = None, energy_limit_j: float = math.inf
) -> MappingCost | None:
    """Return the mapping of least latency within a limit on energy; None where there is none.

    Args:
        costs: of the network.
        transitions: how often a mapping may change the accelerator at most; None for no bound.
        energy_limit_j: for a batch.

    Raises:
        OptionError: the bound on transitions is negative.
    """
    found = _front(costs, transitions, (math.inf, energy_limit_j), least=0)
    return found[0] if found else None


def least_energy(
    costs: GroupCosts, transitions: int | None = None, latency_limit_s: float = math.inf
) -> MappingCost | None:
    """Return the mapping of least energy within a limit on latency; None where there is none.

    Args:
        costs: of the network.
        transitions: how often a mapping may change the accelerator at most; None for no bound.
        latency_limit_s: for a batch.

    Raises:
        OptionError: the bound on transitions is negative.
    """
    found = _front(costs, transitions, (latency_limit_s, math.inf), least=1)
    return found[-1] if found else None


def pareto_front(costs: GroupCosts, transitions: int | None = None) -> tuple[MappingCost, ...]:
    """Return the mappings that no other beats in time and energy, by ascending time.

    One mapping stands for all that take the same time and energy.

    Args:
        costs: of the network.
        transitions: how often a mapping may change the accelerator at most; None for no bound.

    Raises:
        OptionError: the bound on transitions is negative.
    """
    return _front(costs, transitions)


def _front(
    costs: GroupCosts,
    transitions: int | None,
    limits: tuple[float, float] = (math.inf, math.inf),
    least: int | None = None,
) -> tuple[MappingCost, ...]:
    """Return the front of time and energy within limits on both.

    With `least` (0 for time, 1 for energy) only its end with the least of that is complete.
    """
    if transitions is not None and transitions < 0:
        raise OptionError(f"transitions={transitions}: a mapping has 0 transitions or more")
    steps = Steps.of(costs, transitions)
    ends = to_the_end(steps)
    chosen = cheapest(steps, ends)
    points, bounds = _points(costs, chosen), np.array(limits)
    known = (points <= bounds * (1 + ROUNDING)).all(axis=1)
    if least is not None and known.any():
        bounds[least] = points[known, least].min()
    labels = Labels(steps, ends, points[known], bounds)
    for _ in range(1, costs.groups):
        labels.advance()
    found = np.concatenate([chosen[known], labels.finish()])
    return costs_of(costs, found[nondominated(_points(costs, found))])


def _points(costs: GroupCosts, chosen: IntArray) -> FloatArray:
    return np.stack(costs.totals(chosen), axis=1)
