"""Episodes of a tuner on many problems at once, which takes milliseconds a problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from envs.arrays import BoolArray, FloatArray, Rows, Single
from envs.belief.risk import BALANCED
from envs.episode import BUDGET, UNIFORMS, Episodes
from envs.problems.world import World
from tuner.policy.bundle import Bundle
from tuner.policy.forward import NumpyPolicy

#: Returns actions [B] for observations [B, P, F].
Decide = Callable[[Single], Rows]


def policy_decides(bundle: Bundle) -> Decide:
    """Return the decisions of a learned policy."""
    policy = NumpyPolicy(bundle)
    return lambda seen: np.asarray(policy.scores(seen).argmax(axis=1))


def roll_out(
    world: World,
    decide: Decide,
    repeats: int,
    changes: float = 0.0,
    risk: float = BALANCED,
    budget: int = BUDGET,
) -> Iterator[tuple[Episodes, BoolArray]]:
    """Yield, after each measurement, the episodes and which of them broke a limit in it [B].

    All tuners meet the same noise and the same changes. Row b plays problem b modulo S.

    Args:
        world: the problems.
        decide: the tuner.
        repeats: episodes of each problem.
        changes: share of the episodes in which conditions change on the way.
        risk: the price of a broken limit that the tuner is told.
        budget: measurements of an episode.
    """
    problems = len(world.problems)
    rows, numbers, rng = (
        problems * repeats,
        world.problems.quantities + 1,
        np.random.default_rng(1),
    )
    episodes = Episodes(world, rows, budget, changes=changes, risk=risk)
    uniforms = rng.random((rows, UNIFORMS))
    uniforms[:, 0] = (np.tile(np.arange(problems), repeats) + 0.5) / problems
    uniforms[:, 1] = 0.0
    observation = episodes.reset(uniforms, rng.standard_normal((rows, numbers)))
    yield episodes, ~episodes.kept[:, 0]
    while (episodes.used < budget).all():
        observation, _, _, facts = episodes.step(
            decide(observation), rng.standard_normal((rows, numbers))
        )
        yield episodes, facts["violation"] > 0


@dataclass(frozen=True)
class Played:
    """What episodes of one tuner gave.

    Attributes:
        share: [S, repeats, measurements], of the best of the shortlist, by the best so far.
        broke: [S, repeats, measurements], True where a measurement broke a limit.
    """

    share: FloatArray
    broke: BoolArray

    @property
    def broken_share(self) -> float:
        """Return the share of all measurements that broke a limit."""
        return float(self.broke.mean())


def play(
    world: World,
    decide: Decide,
    repeats: int,
    changes: float = 0.0,
    risk: float = BALANCED,
    budget: int = BUDGET,
) -> Played:
    """Play episodes to their end, see `roll_out`."""
    shares, broke = [], []
    for episodes, broken in roll_out(world, decide, repeats, changes, risk, budget):
        shares.append(np.minimum(episodes.share(), 1.0))
        broke.append(broken)
    shape = (budget, repeats, len(world.problems))
    return Played(
        np.stack(shares).reshape(shape).transpose(2, 1, 0),
        np.stack(broke).reshape(shape).transpose(2, 1, 0),
    )
