"""The learned policy as a tuner."""

import math

from envs.arrays import Single
from envs.belief.risk import BALANCED
from envs.problems.problem import Problem
from tuner.policy.belief_tuner import BeliefTuner
from tuner.policy.bundle import Bundle
from tuner.policy.forward import NumpyPolicy


class LearnedTuner(BeliefTuner):
    """Asks for the default configuration, then for the choices of the policy.

    Once its budget is used up it asks for the best it found. While nothing promises more than it
    risks, the policy waits: it chooses the safest of the configurations that were measured.

    Args:
        bundle: the policy.
        problem: to solve; it comes with a model of the device.
        risk: the price of a broken limit, see `envs.belief.risk`.
        budget_s: seconds after which the search ends; what changes cost counts against them.

    Raises:
        BundleError: the problem has no model.
    """

    def __init__(
        self,
        bundle: Bundle,
        problem: Problem,
        risk: float = BALANCED,
        budget_s: float = math.inf,
    ) -> None:
        self._policy = NumpyPolicy(bundle)
        if bundle.twin is not None:
            problem = bundle.twin.informed_problem(problem)
        super().__init__(problem, bundle.budget, risk, budget_s)

    def _choose(self, observation: Single) -> int:
        return self._policy.decide(observation)
