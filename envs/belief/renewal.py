"""A shortlist anew, for a device of which some configurations were measured.

Of a large space a shortlist is a small part, chosen before anything was measured. Draws that agree
with the measurements say which other configurations may be the best. They are made by one step of
an ensemble smoother (Evensen 1994): the unknowns of each draw move along their covariance with what
the model predicts for the measured configurations. Only the shortlist comes from these draws: the
belief over it is the model's own, and learns from the measurements as it did before, so that
nothing counts twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.arrays import FloatArray
from envs.belief.prior import BELIEF_DRAWS, DRAWS, Prior, prior_of
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import Configuration, Objective


def renewed_prior(
    model: DeviceModel,
    objective: Objective,
    rng: np.random.Generator,
    size: int,
    draws: Contexts,
    start: Configuration,
    others: Sequence[Configuration],
) -> Prior:
    """Return a shortlist and belief, the shortlist by what was measured.

    Args:
        model: of the device and its networks.
        objective: the limits.
        rng: for the draws of the belief.
        size: of the shortlist.
        draws: as `conditioned_draws` makes them.
        start: the first measurement of the search.
        others: what was measured besides. The shortlist includes all that was measured.
    """
    scouts = draws.take(np.arange(DRAWS))
    return prior_of(model, objective, rng, None, size, start, others, scouts)


def conditioned_draws(
    model: DeviceModel,
    rng: np.random.Generator,
    measured: Sequence[Configuration],
    logs: FloatArray,
    noise: FloatArray,
    count: int = BELIEF_DRAWS,
) -> Contexts:
    """Return draws of the model that agree with measurements.

    Args:
        model: of the device and its networks.
        rng: for draws.
        measured: N configurations.
        logs: [Q, N] logarithms that they gave, NaN for what was not read.
        noise: [Q, N] variances of these windows.
        count: of the draws; their covariance stands for that of the unknowns.
    """
    placements = np.stack([each.array() for each in measured])
    normals = model.normals(rng, count)
    if model.unknowns is not None:
        normals = model.unknowns.of(normals)
    read = np.isfinite(logs)
    if not model.has_power:
        read[-1] = False
    predicted = model.logarithms(model.contexts_from(normals), placements)[:, read]
    variance = (noise + model.own_departures(placements)[1])[read]
    scatter = rng.standard_normal(predicted.shape) * np.sqrt(variance)
    centred = normals - normals.mean(axis=0), predicted - predicted.mean(axis=0)
    together, own = (each.T @ centred[1] / (count - 1) for each in centred)
    error = logs[read] + scatter - predicted
    moved = np.linalg.solve(own + np.diag(variance), error.T)
    return model.contexts_from(normals + (together @ moved).T)
