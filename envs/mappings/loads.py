"""Loads of a mapping on resources, such as the GPU and a DLA core."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.arrays import BoolArray, FloatArray
from envs.mappings.costs import GroupCosts
from envs.spec.device import accelerator


def resources(costs: GroupCosts) -> tuple[str, ...]:
    """Return the resource that each accelerator draws on, such as `gpu` or `dla0`."""
    return tuple(accelerator(name).resource for name in costs.accelerators)


def by_resource(costs: GroupCosts, first: str, second: str) -> GroupCosts:
    """Return costs whose times are seconds of one resource, and whose energies seconds of another.

    Both resources are counted as busy during a transition between them. The search for the front of
    time and energy then finds the front of the two loads.
    """
    names = np.array(resources(costs))
    one, other = names == first, names == second
    either_one, either_other = (on[:, None] | on[None, :] for on in (one, other))
    return replace(
        costs,
        time_s=_where(costs.time_s, one),
        energy_j=_where(costs.time_s, other),
        transition_s=_where(costs.transition_s, either_one),
        transition_j=_where(costs.transition_s, either_other),
        start_s=_where(costs.start_s, one),
        start_j=_where(costs.start_s, other),
        end_s=_where(costs.end_s, one),
        end_j=_where(costs.end_s, other),
    )


def without_twins(costs: GroupCosts) -> tuple[GroupCosts, list[int]]:
    """Return the costs without further cores of the same kind, and the positions that are left.

    A mapping on `dla0` stands for the one on `dla1`, and none uses both.
    """
    seen: dict[tuple[str, str], str] = {}
    kept = []
    for at, name in enumerate(costs.accelerators):
        found = accelerator(name)
        sort = (found.kind.value, found.precision)
        if seen.setdefault(sort, found.resource) == found.resource:
            kept.append(at)
    both = np.ix_(range(costs.groups), kept, kept)
    few = replace(
        costs,
        accelerators=tuple(costs.accelerators[at] for at in kept),
        time_s=costs.time_s[:, kept],
        energy_j=costs.energy_j[:, kept],
        bytes=costs.bytes[:, kept],
        transition_s=costs.transition_s[both],
        transition_j=costs.transition_j[both],
        start_s=costs.start_s[kept],
        start_j=costs.start_j[kept],
        end_s=costs.end_s[kept],
        end_j=costs.end_j[kept],
    )
    return few, kept


def _where(time_s: FloatArray, counts: BoolArray) -> FloatArray:
    """Return the times that count, 0 for the others; infinite ones stay so."""
    return np.where(counts | np.isinf(time_s), time_s, 0.0)
