"""Problems to train on that are otherwise like the cases of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Union

from envs.problems.simulated_world import SimulatedWorld
from envs.problems.twin import twin_world
from envs.problems.world import World
from tuner.evaluation.cases import TraceCases
from tuner.evaluation.simulated import SimulatedCases
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
