"""What is built already is part of what a tuner sees of a live device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.arrays import Placements
from envs.belief.features import CANDIDATE_FEATURES, FEATURES
from envs.spec import Objective, Place
from envs.testing.problems import small_problem, small_space, smooth
from tuner.search.expected_gain import ExpectedGainTuner

SPACE = small_space()
CUDA, TENSOR = 0, 1
LOG_COST = FEATURES.index("log_cost")


def costs(tuner: ExpectedGainTuner, placements: Placements) -> dict[bool, list[float]]:
    """Return what proposals cost, in windows, by whether they use the Tensor Cores."""
    seen, shown = tuner.observation()
    cost = np.exp(seen[:, LOG_COST] / CANDIDATE_FEATURES["log_cost"][2])
    found: dict[bool, list[float]] = {True: [], False: []}
    for each, row in zip(cost, shown, strict=True):
        found[bool(placements[row, 0, TENSOR, 0] > 0)].append(float(each))
    return found


def test_an_engine_that_is_missing_costs_its_build_until_it_is_there() -> None:
    there = {Place(0, CUDA, batch) for batch in SPACE.batches}
    problem = replace(small_problem(SPACE, Objective((100.0,), 30.0)), is_built=there.__contains__)
    assert problem.prior is not None
    placements, tuner = problem.prior.placements, ExpectedGainTuner(problem)
    missing = costs(tuner, placements)
    assert min(missing[True]) > 3 * max(missing[False])
    there |= {Place(0, TENSOR, batch) for batch in SPACE.batches}
    default = problem.default
    tuner.tell(default, smooth(default))
    built = costs(tuner, placements)
    assert max(built[True]) < min(missing[True])


def test_where_nobody_says_everything_is_built() -> None:
    problem = small_problem(SPACE, Objective((100.0,), 30.0))
    assert problem.prior is not None
    found = costs(ExpectedGainTuner(problem), problem.prior.placements)
    assert max(found[True]) < 2
