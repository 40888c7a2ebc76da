"""The rule that needs no training: it measures what promises the largest net gain.

It believes what the learned policy believes and chooses among the same proposals, so that it shows
what training adds.
"""

from __future__ import annotations

import numpy as np

from envs.arrays import Rows, Single
from envs.belief.features import ALLOWED, CANDIDATE_FEATURES, FEATURES
from envs.belief.risk import BALANCED
from envs.problems.problem import Problem
from envs.spec import Configuration
from tuner.policy.belief_tuner import BeliefTuner
from tuner.search.candidates import no_default
from tuner.search.model_search import model_of

NET_GAIN, LOG_COST = FEATURES.index("net_gain"), FEATURES.index("log_cost")
LOG_COST_SCALE = np.float32(CANDIDATE_FEATURES["log_cost"][2])

#: More measurements than any tuning makes: the rule does not plan for a budget.
ENDLESS = 2**31


class ExpectedGainTuner(BeliefTuner):
    """Asks for the default configuration, then for the proposal with the largest net gain.

    While nothing promises more than it risks, it waits with the safest of the configurations that
    it measured.

    Args:
        problem: to solve; it comes with a model of the device.
        risk: the cost of a measurement that breaks a limit, as a share of the best so far.
        cost_exponent: how much the seconds of a measurement count: 0 not at all, 1 for the largest
            net gain a second.

    Raises:
        OptionError: the problem comes without a model.
        ConfigurationError: the default is not a candidate.
    """

    def __init__(
        self, problem: Problem, risk: float = BALANCED, cost_exponent: float = 0.0
    ) -> None:
        model_of(problem)
        codes = problem.space.codes(problem.default.array()[None])
        if not (problem.open or np.isin(codes, problem.space.codes(problem.candidates)).all()):
            raise no_default(problem)
        self._cost_exponent = cost_exponent
        super().__init__(problem, ENDLESS, risk)

    def ask(self) -> Configuration:
        """Return the configuration to measure next; a new one until the last one's outcome came."""
        configuration = super().ask()
        self._progress.measured[0, self._rows[configuration]] = True
        return configuration

    def _choose(self, observation: Single) -> int:
        return int(rule_choices(observation[None], self._cost_exponent)[0])


class ExpectedGainPerSecondTuner(ExpectedGainTuner):
    """Does as `ExpectedGainTuner` with the largest net gain a second."""

    def __init__(self, problem: Problem, risk: float = BALANCED) -> None:
        super().__init__(problem, risk, 1.0)


def rule_choices(observations: Single, cost_exponent: float = 0.0) -> Rows:
    """Return which proposal has the largest net gain of those that may be chosen, [B].

    The price of a broken limit is that of the observations.

    Args:
        observations: [B, P, F].
        cost_exponent: a net gain above zero is divided by the cost in windows to this power.
    """
    gain = observations[..., NET_GAIN]
    if cost_exponent:
        log_cost = observations[..., LOG_COST] / LOG_COST_SCALE
        gain = np.where(gain > 0, gain * np.exp(-cost_exponent * log_cost), gain)
    open_to = observations[..., ALLOWED] > 0.5
    return np.asarray(np.where(open_to, gain, -np.inf).argmax(axis=1))
