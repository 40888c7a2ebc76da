"""The learned policy behind the tuner seam."""

from __future__ import annotations

import bisect

import numpy as np
import numpy.typing as npt

from envs.arrays import Single
from envs.belief.features import PROPOSALS
from envs.belief.gaussian import Belief
from envs.errors import BundleError
from envs.problems.problem import Problem
from envs.problems.problem_batch import pool_of
from envs.simulator.device_model import noise_spread
from envs.spec.measurement import MeasurementBatch, Outcome
from envs.spec.objective import MAX_VIOLATION, log_score, worst_margin
from envs.spec.space import Configuration
from tuner.policy.bundle import Bundle
from tuner.policy.forward import NumpyPolicy
from tuner.policy.view import Given, Progress, outlook_of, view_of


class LearnedTuner:
    """Asks for the default configuration, then for what the policy chooses; once its horizon is used up, for the best it found.

    Choosing what is safest of what was measured is how the policy waits: nothing else promises more than it risks.

    Attributes:
        broke: whether the last measurement broke a limit.
    """

    def __init__(self, bundle: Bundle, problem: Problem) -> None:
        prior = problem.prior
        if prior is None:
            raise BundleError(
                "the policy needs a model of the device and its networks: give the problem one (envs.simulator.device_model.model_for)"
            )
        self._problem = problem
        self._policy = NumpyPolicy(bundle)
        self._budget = bundle.budget
        self._candidates = [Configuration.of(row) for row in prior.placements]
        self._rows = {
            configuration: position for position, configuration in enumerate(self._candidates)
        }
        spread = noise_spread(np.exp(np.median(prior.nominal[: problem.space.shape[0]], axis=1)))
        self._pool = pool_of(
            problem.space, problem.objective, prior, None, spread**2, len(prior.placements)
        )
        pool = self._pool
        self._belief = Belief.of(pool.mean, pool.basis, pool.left)
        self._given = Given.of(pool, self._budget)
        self._measured = np.zeros(pool.candidates, dtype=np.float32)
        self._held: list[int] = []
        self._best, self._score = -1, np.float32(-np.inf)
        self._least_row, self._least = 0, MAX_VIOLATION + 1.0
        self._used, self.broke = 0, False
        self._look()

    def ask(self) -> Configuration:
        if not self._measured.any():
            return self._problem.default
        if self.left <= 0:
            row = self._best if self._best >= 0 else self._least_row
        else:
            observation, shown = self.observation()
            row = int(shown[self._policy.decide(observation)])
        return self._candidates[row]

    @property
    def left(self) -> int:
        """Measurements of its budget that are left."""
        return self._budget - self._used

    def observation(self) -> tuple[Single, npt.NDArray[np.int32]]:
        """What the policy sees, [P, F], and which candidates that is, [P]."""
        progress = Progress(
            self._measured, self._held, self._best, self._score, self._used, self.broke
        )
        return view_of(self._outlook, self._given, progress, min(PROPOSALS, len(self._measured)))

    def _look(self) -> None:
        """What follows from what is believed."""
        self._outlook = outlook_of(self._belief.mean[0], self._belief.variance[0], self._given)

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        row = self._rows.get(configuration)
        if self.left > 0 and row is not None:
            seen = self._seen(outcome)
            self._take(row, seen, seen)
            self._used += 1

    def _take(self, row: int, seen: Single, own: Single) -> None:
        """One more window, [Q] logarithms: as it was, and what of it is of this configuration alone."""
        self._learn(row, own, self._given.noise[:, row])
        self.broke = self._judged(row, seen)[1] > 0
        self._look()

    def _learn(self, row: int, seen: Single, noise: Single) -> None:
        """From [Q] logarithms and their variances."""
        self._belief.update(np.array([row]), seen[None], noise[None])
        self._measured[row] = 1.0
        score, violation = self._judged(row, seen)
        if violation <= 0 and row not in self._held:
            bisect.insort(self._held, row)
        if violation <= 0 and (self._best < 0 or score > self._score):
            self._best, self._score = row, np.float32(score)
        if violation < self._least:
            self._least_row, self._least = row, violation

    def _judged(self, row: int, seen: Single) -> tuple[float, float]:
        """Return the log score and violation of [Q] logarithms.

        A tenant that received no request counts as it is believed to be; power that was not read
        stays unread.
        """
        idle = ~np.isfinite(seen)
        idle[-1] = False
        if not idle[:-1].all():
            seen = np.where(idle, self._belief.mean[0, :, row], seen)
        logs = seen[:, None]
        violation = min(worst_margin(logs, self._pool.limits[0])[0], MAX_VIOLATION)
        return float(log_score(logs, self._pool.weights[0])[0]), float(violation)

    def _seen(self, outcome: Outcome) -> Single:
        """[Q] logarithms, NaN for what was not measured."""
        tenants = self._problem.space.shape[0]
        return MeasurementBatch.of([outcome], tenants).logs[:, 0].astype(np.float32)
