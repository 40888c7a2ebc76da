"""Random costs of layer groups, and every mapping of a small network."""

from __future__ import annotations

from itertools import product

import numpy as np

from envs.arrays import FloatArray, IntArray
from envs.mappings.costs import GroupCosts


def random_costs(seed: int, groups: int, accelerators: int) -> GroupCosts:
    """Return small whole numbers, so that sums are exact and ties are common; some are infinite."""
    rng = np.random.default_rng(seed)

    def whole(most: int, *shape: int) -> FloatArray:
        return rng.integers(0, most, shape).astype(float)

    time_s = 1 + whole(9, groups, accelerators)
    energy_j = 1 + whole(9, groups, accelerators)
    closed = rng.random(time_s.shape) < 0.15
    time_s[closed] = energy_j[closed] = np.inf
    moves = (groups, accelerators, accelerators)
    transition_s, transition_j = whole(4, *moves), whole(4, *moves)
    barred = rng.random(moves) < 0.1
    transition_s[barred] = transition_j[barred] = np.inf
    same = np.arange(accelerators)
    for each in (transition_s, transition_j):
        each[:, same, same] = 0
        each[0] = 0
    ends = [whole(3, accelerators) for _ in range(4)]
    names = ("cuda", "tensor", "dla0", "dla1")[:accelerators]
    nothing = np.zeros(groups)
    return GroupCosts(
        "random",
        names,
        1,
        time_s,
        energy_j,
        np.where(closed, 0, 1e6),
        transition_s,
        transition_j,
        *ends,
        layers=np.ones(groups, dtype=int),
        crossing_bytes=nothing,
    )


def every_mapping(costs: GroupCosts, transitions: int | None) -> IntArray:
    """Return all mappings [N, G] within the bound, the impossible ones included."""
    chosen = np.array(list(product(range(len(costs.accelerators)), repeat=costs.groups)))
    changes = (np.diff(chosen, axis=1) != 0).sum(axis=1)
    return chosen[changes <= (costs.groups if transitions is None else transitions)]
