"""The learned policy behind the tuner seam."""

from __future__ import annotations

import numpy as np

from envs.configuration import Configuration
from envs.errors import BundleError
from envs.measurement import Measurement, MeasurementBatch, Outcome
from envs.objective import MAX_VIOLATION
from envs.observation import PROPOSALS, Situation, believed_score, chance_of_keeping, observe, worth_staying
from envs.pool import NOTHING, judged, pool_of
from envs.simulator.belief import Belief
from envs.simulator.device_model import noise_spread
from envs.world import log_outcomes
from tuner.policy.bundle import Bundle
from tuner.policy.forward import NumpyPolicy
from tuner.search.protocol import Problem

#: Throughput that another configuration must promise beyond that of what serves, as a share: a window tells no less, and a change disturbs.
CHANGING = 0.03


class LearnedTuner:
    """Asks for the default configuration, then for what the policy chooses; once its horizon is used up, for the best it found.

    Choosing what is safest of what was measured is how the policy waits: nothing else promises more than it risks.
    """

    def __init__(self, bundle: Bundle, problem: Problem) -> None:
        prior = problem.prior
        if prior is None:
            raise BundleError("the policy needs a model of the device and its networks: give the problem one (envs.simulator.device_model.model_for)")
        self._problem = problem
        self._policy = NumpyPolicy(bundle)
        self._budget = bundle.budget
        self._candidates = [Configuration.of(row) for row in prior.placements]
        self._rows = {configuration: position for position, configuration in enumerate(self._candidates)}
        spread = noise_spread(np.exp(np.median(prior.nominal[: problem.space.shape[0]], axis=1)))
        self._pool = pool_of(problem.space, problem.objective, prior, None, spread**2, len(prior.placements))
        pool = self._pool
        self._belief = Belief.of(pool.mean, pool.basis, pool.left)
        self._measured, self._held = np.zeros(pool.present.shape, dtype=bool), np.zeros(pool.present.shape, dtype=bool)
        self._best, self._score = np.array([-1]), np.array([NOTHING], dtype=np.float32)
        self._least_row, self._least = 0, MAX_VIOLATION + 1.0
        self._used, self._broke = 0, np.zeros(1, dtype=bool)

    def ask(self) -> Configuration:
        if not self._measured.any():
            return self._problem.default
        if self._used >= self._budget:
            row = int(self._best[0]) if self._best[0] >= 0 else self._least_row
        else:
            observation, shown = self.observation()
            row = int(shown[0, self._policy.decide(observation[0])])
        return self._candidates[row]

    @property
    def left(self) -> int:
        """Measurements of its budget that are left."""
        return self._budget - self._used

    @property
    def least(self) -> Configuration:
        """What came closest to the limits, of what was measured."""
        return self._candidates[self._least_row]

    def resting(self, current: Configuration | None = None) -> list[Configuration]:
        """What was measured and kept the limits, the best to stay with first: the most throughput among what is sure enough to keep them again.

        Args:
            current: what serves now; changing from it has to be worth something.
        """
        rows, worth = np.flatnonzero(self._held[0]), self._worth_staying()
        if current in self._rows:
            worth[self._rows[current]] += CHANGING
        return [self._candidates[row] for row in rows[np.argsort(-worth[rows], kind="stable")]]

    @property
    def surest(self) -> Configuration:
        """By what is believed, measured or not: the most throughput among what is sure enough to keep the limits, or what is most likely to."""
        return self._candidates[int(self._worth_staying().argmax())]

    def _worth_staying(self) -> np.ndarray:
        """[M]"""
        pool, belief = self._pool, self._belief
        score, _ = believed_score(belief.mean, belief.variance, pool.weights)
        chance = chance_of_keeping(belief.mean, belief.variance, pool.noise, pool.limits)
        return np.asarray(np.where(pool.present, worth_staying(score, chance), -np.inf)[0])

    def observation(self) -> tuple[np.ndarray, np.ndarray]:
        """What the policy sees, [1, P, F], and which candidates that is, [1, P]."""
        pool, belief = self._pool, self._belief
        proposals = min(PROPOSALS, pool.candidates)
        asked = (pool.noise, pool.limits, pool.weights, pool.present, self._measured, self._held)
        progress = (self._best, self._score, np.array([self._used]), self._broke, pool.known, self._budget)
        return observe(Situation(belief.mean, belief.variance, *asked, *progress), proposals)

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        if self._used < self._budget and configuration in self._rows:
            self.learn(configuration, outcome)
            self._used += 1

    def learn(self, configuration: Configuration, outcome: Outcome) -> None:
        """What else was measured, before this problem was asked or beyond the budget: it counts for what is believed, and is not charged."""
        row = self._rows.get(configuration)
        if row is None:
            return
        seen = log_outcomes(MeasurementBatch.of([outcome], self._problem.space.shape[0])).T.astype(np.float32)
        pool = self._pool
        self._belief.update(np.array([row]), seen, pool.noise)
        self._measured[0, row] = True
        if isinstance(outcome, Measurement):  # a tenant that nobody asked anything is as it was believed to be
            seen = np.where(np.isfinite(seen), seen, self._belief.mean[:, :, row])
        score, violation = (float(each[0, 0]) for each in judged(seen[:, :, None], pool.weights, pool.limits))
        self._broke[0] = violation > 0
        self._held[0, row] |= violation <= 0
        if violation <= 0 and (self._best[0] < 0 or score > self._score[0]):
            self._best[0], self._score[0] = row, score
        if violation < self._least:
            self._least_row, self._least = row, violation
