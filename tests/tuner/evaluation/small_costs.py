"""Costs of four layer groups on three accelerators, with sums that are known on paper."""

from __future__ import annotations

import numpy as np

from envs.mappings.costs import GroupCosts

MS = 1e-3


def small_costs(network: str = "net", batch: int = 2) -> GroupCosts:
    time_s = MS * np.array([[1.0, 2.0, 5.0], [1.0, 2.0, 5.0], [2.0, 1.5, 5.0], [1.0, np.inf, 5.0]])
    energy_j = MS * np.array([[10, 4, 60], [10, 4, 60], [20, 3, 60], [10, np.inf, 60.0]])
    moves = np.zeros((4, 3, 3))
    moves[1:] = 0.25 * (1 - np.eye(3))
    return GroupCosts(
        network,
        ("tensor", "dla0", "cuda"),
        batch,
        time_s,
        energy_j,
        np.zeros((4, 3)),
        MS * moves,
        4 * MS * moves,
        MS * np.array([0.5, 0.0, 0.5]),
        MS * np.array([1.0, 0.0, 1.0]),
        MS * np.array([0.1, 0.2, 0.1]),
        MS * np.array([0.2, 0.4, 0.2]),
        np.array([3, 2, 1, 4]),
        np.array([600.0, 2048.0, 1024.0, 512.0]),
    )
