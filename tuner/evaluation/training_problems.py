"""Problems to train on that are otherwise like the cases of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Union

import numpy as np

from envs.problems.problem_batch import ProblemBatch
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.twin import twin_world
from envs.problems.world import World
from tuner.console import progress_bar
from tuner.evaluation.cases import TraceCases
from tuner.evaluation.equal_risk import EqualRisk, equal_risk
from tuner.evaluation.rollouts import RollOut, policy_decides
from tuner.evaluation.simulated import SimulatedCases
from tuner.policy.bundle import Bundle
from tuner.policy.device_twin import DeviceTwin

AnyCases = Union[TraceCases, SimulatedCases]


def has_model(cases: AnyCases) -> bool:
    """Return True if the cases come with a model of their device."""
    return isinstance(cases, SimulatedCases) or cases.model is not None


def training_world(
    cases: AnyCases,
    twin: DeviceTwin | None,
    count: int,
    jobs: int,
    progress: Callable[[int], object],
) -> World | None:
    """Draw problems of the training split that are otherwise like the cases.

    For a trace they are simulated ones of the same device. None where there is no model of it.
    """
    if isinstance(cases, SimulatedCases):
        options = replace(cases.options, split="train")
        return SimulatedWorld(options, count, cases.seed, jobs, progress)
    if cases.model is None:
        return None
    model = cases.model if twin is None else twin.informed(cases.model)
    return twin_world(model, count, 0, jobs, progress)


def equal_to(
    bundle: Bundle,
    cases: AnyCases,
    risk: float,
    count: int,
    jobs: int = 1,
    training: ProblemBatch | None = None,
) -> EqualRisk | None:
    """Find the rule's price at which it breaks as many limits as a policy on training problems.

    None on a device without a model, for which no problem can be drawn.

    Args:
        bundle: the policy.
        cases: that it is compared on.
        risk: the price of a broken limit that the policy is told.
        count: training problems.
        jobs: processes that draw them.
        training: the problems; drawn where not given.
    """
    if training is not None:
        world: World | None = SimulatedWorld.of(training.take(np.arange(min(count, len(training)))))
    else:
        with progress_bar("drawing training problems", count) as advance:
            world = training_world(cases, bundle.twin, count, jobs, lambda new: advance("", new))
    if world is None:
        return None
    rounds = RollOut(budget=bundle.budget)
    return equal_risk(world, policy_decides(bundle), rounds, risk)
