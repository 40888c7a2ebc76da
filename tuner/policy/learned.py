"""The learned policy behind the tuner seam."""

from __future__ import annotations

import numpy as np

from envs.configuration import Configuration
from envs.errors import BundleError
from envs.measurement import MeasurementBatch, Outcome
from envs.objective import MAX_VIOLATION
from envs.observation import PROPOSALS, Situation, observe
from envs.pool import NOTHING, judged, pool_of
from envs.simulator.belief import Belief
from envs.simulator.device_model import noise_spread
from envs.world import log_outcomes
from tuner.policy.bundle import Bundle
from tuner.policy.forward import NumpyPolicy
from tuner.search.protocol import Problem


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
        self._placements = prior.placements
        self._rows = {Configuration.of(row): position for position, row in enumerate(prior.placements)}
        spread = noise_spread(np.exp(np.median(prior.nominal[: problem.space.shape[0]], axis=1)))
        self._pool = pool_of(problem.space, problem.objective, prior, None, spread**2, len(prior.placements))
        pool = self._pool
        self._belief = Belief.of(pool.mean, pool.basis, pool.left)
        self._measured, self._held = np.zeros(pool.present.shape, dtype=bool), np.zeros(pool.present.shape, dtype=bool)
        self._best, self._score = np.array([-1]), np.array([NOTHING], dtype=np.float32)
        self._least_row, self._least = 0, MAX_VIOLATION + 1.0
        self._used, self._broke = 0, np.zeros(1, dtype=bool)

    def ask(self) -> Configuration:
        if self._used == 0:
            return self._problem.default
        if self._used >= self._budget:
            row = int(self._best[0]) if self._best[0] >= 0 else self._least_row
        else:
            observation, shown = self.observation()
            row = int(shown[0, self._policy.decide(observation[0])])
        return Configuration.of(self._placements[row])

    def observation(self) -> tuple[np.ndarray, np.ndarray]:
        """What the policy sees, [1, P, F], and which candidates that is, [1, P]."""
        pool, belief = self._pool, self._belief
        proposals = min(PROPOSALS, pool.candidates)
        asked = (pool.noise, pool.limits, pool.weights, pool.present, self._measured, self._held)
        progress = (self._best, self._score, np.array([self._used]), self._broke, pool.known, self._budget)
        return observe(Situation(belief.mean, belief.variance, *asked, *progress), proposals)

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        row = self._rows.get(configuration)
        if row is None or self._used >= self._budget:
            return
        seen = log_outcomes(MeasurementBatch.of([outcome], self._problem.space.shape[0])).T.astype(np.float32)
        pool = self._pool
        self._belief.update(np.array([row]), seen, pool.noise)
        self._measured[0, row] = True
        score, violation = (float(each[0, 0]) for each in judged(seen[:, :, None], pool.weights, pool.limits))
        self._broke[0] = violation > 0
        self._held[0, row] |= violation <= 0
        if violation <= 0 and (self._best[0] < 0 or score > self._score[0]):
            self._best[0], self._score[0] = row, score
        if violation < self._least:
            self._least_row, self._least = row, violation
        self._used += 1
