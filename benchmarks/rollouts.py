"""Episodes of a policy on every problem of a world, some times each, with noise that is the same for all policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from envs.arrays import Single
from envs.episode import UNIFORMS, Episodes
from envs.problems.world import SimulatedWorld

#: Measurements of an episode.
BUDGET = 8


def playing(
    world: SimulatedWorld,
    decide: Callable[[Single], np.ndarray],
    repeats: int,
    changes: float = 0.0,
) -> Iterator[tuple[Episodes, np.ndarray]]:
    """After each measurement: the episodes as they are, and whether it broke a limit [B].

    Args:
        decide: actions [B] for observations [B, P, F].
    """
    rows, quantities, rng = (
        len(world.pool) * repeats,
        world.pool.mean.shape[1],
        np.random.default_rng(1),
    )
    episodes = Episodes(world, rows, BUDGET, changes=changes)
    uniforms = rng.random((rows, UNIFORMS))
    uniforms[:, 0] = (np.tile(np.arange(len(world.pool)), repeats) + 0.5) / len(world.pool)
    uniforms[:, 1] = 0.0
    observation = episodes.reset(uniforms, rng.standard_normal((rows, quantities)))
    yield episodes, ~episodes.kept[:, 0]
    while (episodes.used < BUDGET).all():
        observation, _, _, facts = episodes.step(
            decide(observation), rng.standard_normal((rows, quantities))
        )
        yield episodes, facts["violation"] > 0
