"""Episodes of a tuner on many problems at once, which takes milliseconds a problem."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from envs.arrays import BoolArray, FloatArray, Rows, Single
from envs.belief.risk import BALANCED
from envs.episode import UNIFORMS, Episodes
from envs.problems.episode_options import BUDGET, EpisodeOptions
from envs.problems.world import World
from tuner.policy.bundle import Bundle
from tuner.policy.forward import NumpyPolicy

#: Returns actions [B] for observations [B, P, F].
Decide = Callable[[Single], Rows]


def policy_decides(bundle: Bundle) -> Decide:
    """Return the decisions of a learned policy."""
    policy = NumpyPolicy(bundle)
    return lambda seen: np.asarray(policy.scores(seen).argmax(axis=1))


@dataclass(frozen=True)
class RollOut:
    """Say how episodes are played.

    Attributes:
        repeats: episodes of each problem.
        changes: share of the episodes in which conditions change on the way.
        budget: measurements of an episode.
        budget_s: seconds of an episode, infinite for no limit. What ends later does not count.
        builds: share of the episodes in which no engine is built when they start.
    """

    repeats: int = 4
    changes: float = 0.0
    budget: int = BUDGET
    budget_s: float = math.inf
    builds: float = 0.0


def roll_out(
    world: World, decide: Decide, options: RollOut, risk: float = BALANCED
) -> Iterator[tuple[Episodes, BoolArray]]:
    """Yield, after each measurement, the episodes and which of them broke a limit in it [B].

    All tuners meet the same noise and the same changes. Row b plays problem b modulo S.

    Args:
        world: the problems.
        decide: the tuner.
        options: how episodes are played.
        risk: the price of a broken limit that the tuner is told.
    """
    problems, rng = len(world.problems), np.random.default_rng(1)
    rows, numbers = problems * options.repeats, world.problems.quantities + 1
    played = EpisodeOptions(
        options.budget,
        changes=options.changes,
        risk=risk,
        budget_s=options.budget_s,
        builds=options.builds,
    )
    episodes = Episodes(world, rows, played)
    uniforms = rng.random((rows, UNIFORMS))
    uniforms[:, 0] = (np.tile(np.arange(problems), options.repeats) + 0.5) / problems
    uniforms[:, 1] = 0.0
    observation = episodes.reset(uniforms, rng.standard_normal((rows, numbers)))
    yield episodes, ~episodes.kept[:, 0]
    while (episodes.used < options.budget).all():
        observation, _, _, facts = episodes.step(
            decide(observation), rng.standard_normal((rows, numbers))
        )
        yield episodes, facts["violation"] > 0


@dataclass(frozen=True)
class Played:
    """Hold what episodes of one tuner gave.

    Attributes:
        share: [S, repeats, measurements], of the best of the shortlist, by the best so far.
        broke: [S, repeats, measurements], True where a measurement broke a limit.
        spent_s: [S, repeats, measurements], seconds since the episode began.
        budget_s: seconds of an episode; measurements that ended later do not count.
    """

    share: FloatArray
    broke: BoolArray
    spent_s: FloatArray
    budget_s: float = math.inf

    @property
    def broken_share(self) -> float:
        """Return the share of the measurements that broke a limit."""
        return float(self.broke[self.spent_s <= self.budget_s].mean())

    def at(self, seconds: FloatArray) -> FloatArray:
        """Return the shares [S, repeats, times] that were reached after some seconds [times]."""
        done = (self.spent_s[..., None] <= seconds).sum(axis=2)
        nothing = np.zeros_like(self.share[..., :1])
        return np.take_along_axis(np.concatenate([nothing, self.share], axis=2), done, axis=2)

    def seconds_to(self, share: float) -> FloatArray:
        """Return the seconds [S, repeats] until a share was reached, infinite where it was not."""
        late = np.where(self.share >= share, self.spent_s, math.inf).min(axis=2)
        return np.asarray(np.where(late <= self.budget_s, late, math.inf))


def play(world: World, decide: Decide, options: RollOut, risk: float = BALANCED) -> Played:
    """Play episodes to their end, see `roll_out`."""
    shares, broke, spent_s = [], [], []
    for episodes, broken in roll_out(world, decide, options, risk):
        shares.append(np.minimum(episodes.share(), 1.0))
        broke.append(broken)
        spent_s.append(episodes.progress.spent_s.copy())
    shape = (options.budget, options.repeats, len(world.problems))
    return Played(
        np.stack(shares).reshape(shape).transpose(2, 1, 0),
        np.stack(broke).reshape(shape).transpose(2, 1, 0),
        np.stack(spent_s).reshape(shape).transpose(2, 1, 0),
        options.budget_s,
    )
