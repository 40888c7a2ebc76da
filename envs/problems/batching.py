"""Make a batch of one problem, padded so that it can stand beside others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from envs.arrays import BoolArray, FloatArray, Floats, IntArray, Placements, Single
from envs.belief.prior import Prior
from envs.problems.misfits import NUMBERS
from envs.problems.problem_batch import ProblemBatch
from envs.simulator.window_noise import WINDOW_S
from envs.spec import ConfigurationSpace, Kind, Objective, Place
from envs.spec.build_times import BuildTimes
from envs.spec.change_cost import built_engines, change_s, engines_of

#: The believed logarithm of a quantity or candidate that a problem does not have; it is finite, and
#: neither limited nor measured.
PADDING = -30.0

#: The variance of such a quantity, believed and of a window.
PADDING_VARIANCE = 1e-4


def rows_of_quantities(own: int, tenants: int) -> list[int]:
    """Return where the quantities of a problem lie among those of a batch with more tenants.

    Args:
        own: tenants of the problem.
        tenants: T, of the batch.
    """
    return [*range(own), *range(tenants, tenants + own), 2 * tenants]


def batch_of(
    space: ConfigurationSpace,
    objective: Objective,
    prior: Prior,
    noise: FloatArray,
    outcomes: FloatArray | None = None,
    size: int | None = None,
    tenants: int | None = None,
    window_s: float = WINDOW_S,
    misfit: FloatArray | None = None,
    rng: np.random.Generator | None = None,
) -> ProblemBatch:
    """Return a batch of one problem, padded to `size` candidates and `tenants` tenants.

    Args:
        space: of the problem.
        objective: its limits.
        prior: its shortlist with the belief before the first measurement.
        noise: [Q] variances of a window.
        outcomes: [V, Q, M] logarithms of what the shortlist truly gives; None where nobody knows.
        size: M; as many as the shortlist has where not given.
        tenants: T; as many as the space has where not given.
        window_s: length of a window.
        misfit: [4]; zeros where not given.
        rng: draws how long builds truly take; None where nobody knows.
    """
    own, count = space.shape[0], len(prior.placements)
    most, width = tenants or own, size or count
    quantities, rows = 2 * most + 1, rows_of_quantities(own, most)

    def padded(values: Floats, fill: float) -> Single:
        result = np.full((*values.shape[:-2], quantities, width), fill, dtype=np.float32)
        result[..., rows, :count] = values
        return result[None]

    def of_quantities(values: Floats, fill: float) -> Single:
        result = np.full(quantities, fill, dtype=np.float32)
        result[rows] = values
        return result[None]

    loadings = padded(prior.loadings.reshape(-1, 2 * own + 1, count), 0.0)
    weights = np.zeros((1, most), dtype=np.float32)
    weights[0, :own] = space.workload.weights
    misfits = np.zeros(len(NUMBERS)) if misfit is None else misfit
    kinds = {accelerator.kind for accelerator in space.device.accelerators}
    return ProblemBatch(
        mean=padded(prior.mean, PADDING),
        residual_variance=padded(prior.residual_variance, PADDING_VARIANCE),
        loadings=loadings.reshape(1, len(prior.loadings), -1),
        present=(np.arange(width) < count)[None],
        limits=of_quantities(objective.log_limits, np.inf),
        weights=weights,
        terms=objective.terms(weights),
        window_s=np.array([window_s], dtype=np.float32),
        **_costs(space, prior.placements, width, rng),
        misfit=np.asarray(misfits, dtype=np.float32)[None],
        noise=of_quantities(noise, PADDING_VARIANCE),
        extra_features=np.array([[own > 1, Kind.DLA in kinds, space.device.plain]], np.float32),
        outcomes=padded(
            np.zeros((0, 2 * own + 1, count)) if outcomes is None else outcomes, np.nan
        ),
    )


def engines_built(
    space: ConfigurationSpace, placements: Placements, is_built: Callable[[Place], bool]
) -> BoolArray:
    """Return which engines are there, [1, E] as in the batch of a problem with these candidates.

    Args:
        space: of the problem.
        placements: [M, T, A, 2], its shortlist.
        is_built: says it of a place.
    """
    used = _used_engines(engines_of(space, placements), BuildTimes.of(space))
    return built_engines(space, is_built)[used][None]


def _used_engines(needed: BoolArray, times: BuildTimes) -> IntArray:
    """Return which engines somebody needs and builds, of all that configurations [M, E] need."""
    return np.flatnonzero(needed.any(axis=0) & np.isfinite(times.log_s))


def _costs(
    space: ConfigurationSpace, placements: Placements, width: int, rng: np.random.Generator | None
) -> dict[str, Any]:
    """Return what changes and builds cost, by the names of `ProblemBatch`."""
    count = len(placements)
    change = np.zeros((1, width + 1, width), dtype=np.float32)
    change[0, :count, :count] = change_s(space, placements[:, None], placements[None])
    change[0, width, :count] = change_s(space, None, placements)
    times = BuildTimes.of(space)
    needed = engines_of(space, placements)
    used = _used_engines(needed, times)
    engines = np.zeros((1, width, len(used)), dtype=bool)
    engines[0, :count] = needed[:, used]
    truly = np.zeros(len(times.log_s)) if rng is None else times.draw(rng)
    return {
        "change_s": change,
        "engines": engines,
        "build_log_s": times.log_s[used][None].astype(np.float32),
        "build_s": truly[used][None].astype(np.float32),
    }
