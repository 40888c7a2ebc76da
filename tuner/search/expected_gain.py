"""The rule that needs no training: it measures what promises the largest net gain.

It believes what the learned policy believes and chooses among the same proposals, so that it shows
what training adds.
"""

from __future__ import annotations

import numpy as np

from envs.arrays import Single
from envs.belief.features import ALLOWED, CANDIDATE_FEATURES, FEATURES, net_gain
from envs.belief.risk import BALANCED
from envs.problems.problem import Problem
from envs.spec import Configuration
from tuner.policy.belief_tuner import BeliefTuner
from tuner.search.candidates import no_default
from tuner.search.model_search import model_of

GAIN, LOG_CHANCE = FEATURES.index("expected_gain"), FEATURES.index("log_chance_feasible")
LOG_CHANCE_SCALE = np.float32(CANDIDATE_FEATURES["log_chance_feasible"][2])

#: More measurements than any tuning makes: the rule does not plan for a budget.
ENDLESS = 2**31


class ExpectedGainTuner(BeliefTuner):
    """Asks for the default configuration, then for the proposal with the largest net gain.

    While nothing promises more than it risks, it waits with the safest of the configurations that
    it measured.

    Args:
        problem: to solve; it comes with a model of the device.
        risk: the cost of a measurement that breaks a limit, as a share of the best so far.

    Raises:
        OptionError: the problem comes without a model.
        ConfigurationError: the default is not a candidate.
    """

    def __init__(self, problem: Problem, risk: float = BALANCED) -> None:
        model_of(problem)
        codes = problem.space.codes(problem.default.array()[None])
        if not (problem.open or np.isin(codes, problem.space.codes(problem.candidates)).all()):
            raise no_default(problem)
        super().__init__(problem, ENDLESS, risk)
        self.risk = risk

    def ask(self) -> Configuration:
        """Return the configuration to measure next; a new one until the last one's outcome came."""
        configuration = super().ask()
        self._progress.measured[0, self._rows[configuration]] = True
        return configuration

    def _choose(self, observation: Single) -> int:
        return int(net_gains(observation, self.risk).argmax())


def net_gains(observations: Single, risk: float) -> Single:
    """Return the net gain of proposals, [..., P]; -inf where one may not be chosen.

    Args:
        observations: [..., P, F].
        risk: the cost of a measurement that breaks a limit, as a share of the best so far.
    """
    chance = np.exp(observations[..., LOG_CHANCE] / LOG_CHANCE_SCALE)
    gain = net_gain(observations[..., GAIN], chance, np.float32(risk))
    return np.where(observations[..., ALLOWED] > 0.5, gain, -np.inf)
