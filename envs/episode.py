"""Episodes of tuning, B at a time. The scalar environment is a batch of one, so that the two cannot differ.

Letters: B rows, M candidates, P of them proposed, F features, Q = 2 T + 1 quantities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.arrays import Rows, Single
from envs.belief.features import PROPOSALS, Situation, observe
from envs.belief.gaussian import Belief
from envs.belief.kernels import compiled
from envs.errors import ConfigurationError, OptionError
from envs.problems.world import World
from envs.spec.objective import MAX_VIOLATION, log_score, worst_margin

#: Uniform numbers that one reset of a row takes: which problem, which variant of it, whether and when something changes, and what.
UNIFORMS = 5

#: Share of what was learned that is forgotten when conditions change.
DOUBT = 0.5


@dataclass(frozen=True)
class RewardOptions:
    """The reward of a step is what the best so far gained, as a share of the optimum, minus a price if the measurement broke a limit.

    While nothing feasible was found, the best so far is worth minus its violation. Where nobody knows the optimum (a live device), the
    best that is believed before the first measurement stands for it.
    """

    price: float = 0.1
    violation_weight: float = 0.1


class Episodes:
    """B episodes over the problems of a world.

    Args:
        budget: measurements of an episode, the first of which is the default configuration's at reset.
        changes: share of episodes in which something changes on the way: another variant of what is true, or the limits.
        fast: use compiled code where there is any; it computes the same up to rounding.
    """

    def __init__(
        self,
        world: World,
        rows: int,
        budget: int,
        reward: RewardOptions | None = None,
        changes: float = 0.0,
        fast: bool = False,
    ) -> None:
        if budget < 2:
            raise OptionError(
                f"budget={budget} must be at least 2: the first measurement is the default configuration's"
            )
        if not 0.0 <= changes <= 1.0:
            raise OptionError(f"changes={changes} must lie in 0..1")
        self.world = world
        self.pool = world.pool
        self.rows = rows
        self.budget = budget
        self.reward = reward or RewardOptions()
        self.changes = changes
        self.proposals = min(PROPOSALS, self.pool.candidates)
        self._every = np.arange(rows)
        self.kernels = compiled() if fast else None
        self.used = np.full(rows, budget)  # nothing to go on from before the first reset

    def reset(
        self, uniforms: npt.NDArray[np.floating], normals: npt.NDArray[np.floating]
    ) -> Single:
        """Start all episodes anew: draws a problem a row and measures its default; observations [B, P, F].

        Args:
            uniforms: [B, UNIFORMS]. normals: [B, Q].

        Raises:
            ConfigurationError: a default could not be measured, so that there is nothing to start from.
        """
        pool = self.pool
        variants = max(pool.outcomes.shape[1], 1)
        self.problem = np.minimum((uniforms[:, 0] * len(pool)).astype(np.int64), len(pool) - 1)
        self.variant = np.minimum((uniforms[:, 1] * variants).astype(np.int64), variants - 1)
        changing = uniforms[:, 2] < self.changes
        self._change_at = np.where(
            changing,
            2 + (uniforms[:, 3] * max(self.budget - 3, 1)).astype(np.int64),
            self.budget + 1,
        )
        self._change_to = uniforms[:, 4]
        self.belief = Belief.of(
            pool.mean[self.problem],
            pool.basis,
            pool.left[self.problem],
            self.problem,
            pool.variance[self.problem],
            self.kernels and self.kernels.condition,
        )
        self.limits = pool.limits[self.problem].copy()
        self.weights, self.noise = pool.weights[self.problem], pool.noise[self.problem]
        self.present, self.known = pool.present[self.problem], pool.known[self.problem]
        self.optimum = self._best_there_is(self._every, self.variant, self.limits)
        self.used = np.zeros(self.rows, dtype=np.int64)
        self.measured, self.held = (
            np.zeros(self.present.shape, dtype=bool),
            np.zeros(self.present.shape, dtype=bool),
        )
        self.taken = np.full((self.rows, self.budget), -1, dtype=np.int64)
        self.log_score = np.full((self.rows, self.budget), -np.inf, dtype=np.float32)
        self.kept = np.zeros((self.rows, self.budget), dtype=bool)
        self.best = np.full(self.rows, -1, dtype=np.int64)
        self.best_score = np.full(self.rows, -np.inf, dtype=np.float32)
        self.least = np.full(self.rows, MAX_VIOLATION, dtype=np.float32)
        self._measure(np.zeros(self.rows, dtype=np.int64), normals)
        if self._failed.any():
            raise ConfigurationError(
                "the default configuration could not be measured: there is nothing to start from"
            )
        self._value = self._worth()
        return self._observe()

    def step(
        self, actions: npt.NDArray[np.integer], normals: npt.NDArray[np.floating]
    ) -> tuple[Single, npt.NDArray[np.float64], npt.NDArray[np.bool_], dict[str, Any]]:
        """Measure what is proposed [B]: observations, rewards [B], whether the budget is used up [B], and facts [B] each."""
        chosen = np.asarray(actions).astype(np.int64)
        if chosen.min() < 0 or chosen.max() >= self.proposals:
            raise ConfigurationError(f"actions must lie in 0..{self.proposals - 1}")
        if (self.used >= self.budget).any():
            raise ConfigurationError("an episode's budget is used up: call reset() first")
        candidates = self.shown[self._every, chosen]
        self._change(np.flatnonzero(self.used == self._change_at))
        score, violation = self._measure(candidates, normals)
        value = self._worth()
        rewards = value - self._value - self.reward.price * (violation > 0)
        self._value = value
        facts = {
            "score_ips": np.exp(score),
            "violation": np.maximum(violation, 0.0),
            "failed": self._failed,
            "share": self.share(),
        }
        return self._observe(), rewards, self.used >= self.budget, facts

    def share(self) -> npt.NDArray[np.float64]:
        """[B]: score of the best so far over the optimum's; 0 while there is none."""
        found = self.best >= 0
        gap = np.full(self.rows, -np.inf)
        np.subtract(self.best_score, self.optimum, out=gap, where=found)
        return np.asarray(np.exp(np.minimum(gap, 1.0)))

    def _observe(self) -> Single:
        asked = (self.noise, self.limits, self.weights, self.present, self.measured, self.held)
        progress = (self.best, self.best_score, self.used, self._broke, self.known, self.budget)
        situation = Situation(self.belief.mean, self.belief.variance, *asked, *progress)
        self.last, self.shown = observe(
            situation, self.proposals, self.kernels and self.kernels.describe
        )
        return self.last

    def _best_there_is(self, rows: Rows, variant: Rows, limits: Single) -> Single:
        """[B']: log score of the best candidate for variants [B'] under limits [B', Q]; what is believed to be reachable where nobody knows."""
        problems = self.problem[rows]
        known = self.pool.outcomes.shape[1] > 0
        logs = self.pool.outcomes[problems, variant] if known else self.pool.mean[problems]
        kept = (worst_margin(logs, limits) <= 0) & self.present[rows]
        score = np.where(kept, log_score(logs, self.weights[rows]), -np.inf)
        return np.asarray(score.max(axis=1), dtype=np.float32)

    def _measure(
        self, candidates: Rows, normals: npt.NDArray[np.floating]
    ) -> tuple[Single, Single]:
        seen = self.world.respond(self.problem, self.variant, candidates, normals)
        self.belief.update(candidates, seen, self.noise)
        self.measured[self._every, candidates] = True
        logs = seen[:, :, None]
        score = log_score(logs, self.weights)[:, 0]
        violation = np.minimum(worst_margin(logs, self.limits)[:, 0], MAX_VIOLATION)
        self._failed = np.isnan(seen).all(axis=1)
        self.taken[self._every, self.used] = candidates
        self.log_score[self._every, self.used] = score
        self.kept[self._every, self.used] = violation <= 0
        self.used += 1
        self._broke = violation > 0
        self.held[self._every, candidates] |= ~self._broke
        better = ~self._broke & ((self.best < 0) | (score > self.best_score))
        self.best = np.where(better, candidates, self.best)
        self.best_score = np.where(better, score, self.best_score).astype(np.float32)
        self.least = np.minimum(self.least, np.maximum(violation, 0.0)).astype(np.float32)
        return score, violation

    def _change(self, rows: Rows) -> None:
        """In these rows conditions change: what was measured no longer holds, and part of what it taught is doubted.

        Half of the changes are of the device (another variant), half of the limits (by up to a third either way); where nothing could keep
        the limits then, or there are none, all stays as it was.
        """
        other = self._change_to[rows] < 0.5
        variant = np.where(
            other,
            (self.variant[rows] + 1) % max(self.pool.outcomes.shape[1], 1),
            self.variant[rows],
        )
        moved = np.where(other, 0.0, (self._change_to[rows] - 0.75) * 1.2).astype(np.float32)
        limits = self.limits[rows] + moved[:, None]
        optimum = self._best_there_is(rows, variant, limits)
        possible = np.isfinite(optimum) & (
            (variant != self.variant[rows]) | (limits != self.limits[rows]).any(axis=1)
        )
        rows = rows[possible]
        if not len(rows):
            return
        self.variant[rows], self.limits[rows], self.optimum[rows] = (
            variant[possible],
            limits[possible],
            optimum[possible],
        )
        self.belief.doubt(rows, DOUBT)
        self.measured[rows] = self.held[rows] = False
        self.best[rows], self.best_score[rows], self.least[rows] = -1, -np.inf, MAX_VIOLATION
        self._value[rows] = self._worth()[rows]

    def _worth(self) -> npt.NDArray[np.float64]:
        return np.where(self.best >= 0, self.share(), -self.reward.violation_weight * self.least)
