"""The learned policy behind the tuner seam."""

from __future__ import annotations

import numpy as np

from envs.configuration import Configuration
from envs.errors import BundleError
from envs.measurement import MeasurementBatch, Outcome
from envs.observation import best_so_far
from tuner.policy.bundle import Bundle
from tuner.policy.forward import NumpyPolicy
from tuner.search.protocol import Problem


class LearnedTuner:
    """Asks for the default configuration, then for what the policy chooses; once its horizon is used up, for the best it found."""

    def __init__(self, bundle: Bundle, problem: Problem) -> None:
        bundle.check_space(problem.space)
        self._problem = problem
        recorded = np.isin(problem.space.codes(bundle.candidates), problem.space.codes(problem.candidates))
        self._policy = NumpyPolicy(bundle, problem.space, recorded)
        self._row = {int(code): row for row, code in enumerate(problem.space.codes(bundle.candidates))}
        if int(problem.space.codes(problem.default.array())) not in self._row:
            raise BundleError(f"the policy bundle does not know the configuration to start from, {problem.space.describe(problem.default)}")
        self._limits = problem.objective.batch()
        self._history = self._policy.layout.start(1)

    def ask(self) -> Configuration:
        used = int(self._history.used[0])
        if used == 0:
            return self._problem.default
        if used >= self._policy.layout.slots:
            row = int(self._history.action[0, best_so_far(self._history).slot[0]])
        else:
            row = self._policy.decide(self._policy.layout.observe(self._history, self._limits)[0])
        return Configuration.of(self._policy.layout.candidates[row])

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        if self._history.used[0] >= self._policy.layout.slots:
            return
        action = self._row[int(self._problem.space.codes(configuration.array()))]
        batch = MeasurementBatch.of([outcome], self._problem.space.shape[0])
        self._policy.layout.record(self._history, self._limits, np.array([action]), batch)
