"""Episodes of a policy on many problems at once, for benchmarks that compare policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from envs.arrays import Single
from envs.episode import UNIFORMS, Episodes
from envs.problems.simulated_world import SimulatedWorld

#: Measurements of an episode.
BUDGET = 8


def roll_out(
    world: SimulatedWorld,
    decide: Callable[[Single], np.ndarray],
    repeats: int,
    changes: float = 0.0,
) -> Iterator[tuple[Episodes, np.ndarray]]:
    """Yield, after each measurement, the episodes and which of them broke a limit in it [B].

    Args:
        world: the problems.
        decide: returns actions [B] for observations [B, P, F].
        repeats: episodes of each problem.
        changes: share of the episodes in which conditions change on the way.
    """
    rows, numbers, rng = (
        len(world.problems) * repeats,
        world.problems.quantities + 1,
        np.random.default_rng(1),
    )
    episodes = Episodes(world, rows, BUDGET, changes=changes)
    uniforms = rng.random((rows, UNIFORMS))
    uniforms[:, 0] = (np.tile(np.arange(len(world.problems)), repeats) + 0.5) / len(world.problems)
    uniforms[:, 1] = 0.0
    observation = episodes.reset(uniforms, rng.standard_normal((rows, numbers)))
    yield episodes, ~episodes.kept[:, 0]
    while (episodes.used < BUDGET).all():
        observation, _, _, facts = episodes.step(
            decide(observation), rng.standard_normal((rows, numbers))
        )
        yield episodes, facts["violation"] > 0
