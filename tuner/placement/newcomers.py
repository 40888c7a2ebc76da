"""Place tenants that come beside those that serve, which keep their instances."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from envs.arrays import FloatArray, Placements
from envs.simulator.device_model import DeviceModel
from envs.spec import Configuration, Objective, log_score, worst_margin
from envs.spec.validity import VALID, judge

#: Contexts of the model, with drawn parameters, that a placement is judged in.
DRAWS = 32

#: Chances to keep the limits that differ by less are equal: the score decides then.
CHANCE_STEP = 0.05

#: Rounds in which each newcomer is placed beside the others.
ROUNDS = 2


class Believed(NamedTuple):
    """A configuration, and what the model believes of it.

    Attributes:
        configuration: of all tenants of the model.
        chance: that it keeps all limits.
    """

    configuration: Configuration
    chance: float


def placed_beside(
    model: DeviceModel, objective: Objective, serving: Configuration, newcomers: Collection[int]
) -> Believed | None:
    """Return what serves now with the newcomers placed where all limits are kept most surely.

    Args:
        model: of the device, with what may be chosen now as its space, and all its tenants.
        objective: limits of all tenants.
        serving: [T, A], in which the newcomers may be without an instance.
        newcomers: indices of the tenants that come.

    Returns:
        None where there is no room beside what serves.
    """
    placements = serving.array()
    for tenant in newcomers:
        placements[tenant] = 0
        options = _options(model, placements, tenant)
        if not len(options):
            return None
        placements = options[0]
    contexts = model.drawn(np.random.default_rng(0), DRAWS)
    for _ in range(ROUNDS if len(newcomers) > 1 else 1):
        for tenant in newcomers:
            options = _options(model, placements, tenant)
            options = options[judge(model.space, options) == VALID]
            if not len(options):
                return None
            worth = _worth(model.logarithms(contexts, options), model, objective)
            placements = options[int(worth.argmax())]
    configuration = Configuration.of(placements)
    return Believed(configuration, chance_of(model, objective, configuration))


def chance_of(model: DeviceModel, objective: Objective, configuration: Configuration) -> float:
    """Return the chance that a configuration keeps all limits, by the model."""
    contexts = model.drawn(np.random.default_rng(0), DRAWS)
    logs = model.logarithms(contexts, configuration.array()[None])
    return float(_chance(logs, objective)[0])


def _options(model: DeviceModel, placements: Placements, tenant: int) -> Placements:
    """Return the placements [N, T, A, 2] with the tenant alone on one accelerator, in any way."""
    space, found = model.space, []
    for accelerator in range(space.shape[1]):
        knob = tenant * space.shape[1] + accelerator
        for instances, batch in space.options[space.knob_options[knob]]:
            if instances:
                each = placements.copy()
                each[tenant] = 0
                each[tenant, accelerator] = (instances, batch)
                found.append(each)
    return np.array(found) if found else np.zeros((0, *placements.shape), dtype=placements.dtype)


def _worth(logs: FloatArray, model: DeviceModel, objective: Objective) -> FloatArray:
    """Return what is to be maximised [N]: the chance to keep the limits, then the score.

    Args:
        logs: [C, Q, N].
        model: of the device.
        objective: the limits.
    """
    weights = np.array(model.space.workload.weights)
    score = log_score(logs, weights, objective.terms(weights)).mean(axis=0)
    steps = np.round(_chance(logs, objective) / CHANCE_STEP)
    limits = np.asarray(objective.log_limits)
    beyond = np.clip(worst_margin(logs, limits), 0.0, None).mean(axis=0)
    order = np.lexsort((score, -beyond, steps))
    worth = np.empty(len(order))
    worth[order] = np.arange(len(order))
    return worth


def _chance(logs: FloatArray, objective: Objective) -> FloatArray:
    """Return the share [N] of contexts in which all limits are kept."""
    kept = worst_margin(logs, np.asarray(objective.log_limits)) <= 0
    chance: FloatArray = kept.mean(axis=0)
    return chance
