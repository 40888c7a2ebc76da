"""Problems side by side: what pads one to the size of another takes no part."""

from __future__ import annotations

import numpy as np
import pytest

from envs.arrays import Single
from envs.belief.assess import assess
from envs.belief.features import observe
from envs.belief.prior import prior_of
from envs.belief.progress import Progress
from envs.problems.batching import batch_of
from envs.problems.problem_batch import ProblemBatch
from envs.simulator.known_devices import model_for
from envs.spec import ConfigurationSpace, Objective, log_score, worst_margin
from tests.worlds import space

CANDIDATES, PROPOSALS = 20, 12


def after_windows(problem: ProblemBatch, windows: Single) -> tuple[Single, Single]:
    """Return what is believed and observed after windows [N, Q] of the first N candidates."""
    rows = np.zeros(1, dtype=np.int64)
    belief, conditions = problem.belief(rows), problem.conditions(rows, 8)
    progress = Progress.start(1, problem.candidates)
    for row, window in enumerate(windows):
        logs, at = window[None], np.array([row])
        belief.update(at, logs, problem.noise)
        score = log_score(logs[:, :, None], conditions.weights)[:, 0]
        progress.record(at, score, worst_margin(logs[:, :, None], conditions.limits)[:, 0])
    assessment = assess(belief.mean, belief.variance, conditions)
    observation, shown = observe(assessment, conditions, progress, PROPOSALS)
    assert (shown < CANDIDATES).all(), "no padding is proposed"
    return belief.mean, observation


@pytest.mark.parametrize("world", [space(), space(tenants=2, batches=(1, 4))], ids=["one", "two"])
def test_padding_takes_no_part(world: ConfigurationSpace) -> None:
    """Neither tenants nor candidates that are not there, nor power that nobody can read."""
    model = model_for(world)
    own = world.shape[0]
    objective = Objective((60.0,) * own)
    prior = prior_of(model, objective, np.random.default_rng(0), size=CANDIDATES)
    truth = model.drawn(np.random.default_rng(1), 1)
    logs = model.logarithms(truth, prior.placements[:3])[0].T.astype(np.float32)  # [3, Q]
    assert np.isnan(logs[:, -1]).all(), "a plain computer has no rails"
    alone = batch_of(world, objective, prior, prior.noise())
    padded = batch_of(world, objective, prior, prior.noise(), size=CANDIDATES + 9, tenants=5)
    rows = [*range(own), *range(5, 5 + own), 10]
    wide = np.full((3, 11), np.nan, dtype=np.float32)
    wide[:, rows] = logs
    mean, observation = after_windows(alone, logs)
    padded_mean, padded_observation = after_windows(padded, wide)
    np.testing.assert_allclose(padded_mean[:, rows, :CANDIDATES], mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(padded_observation, observation, rtol=1e-4, atol=1e-4)


def test_power_that_the_model_does_not_predict_changes_nothing_else() -> None:
    world = space()
    model = model_for(world)
    prior = prior_of(model, Objective((60.0,)), np.random.default_rng(0), size=CANDIDATES)
    logs = model.logarithms(model.nominal(), prior.placements[:1])[0].T.astype(np.float32)
    problem = batch_of(world, Objective((60.0,)), prior, prior.noise())
    unread, _ = after_windows(problem, logs)
    logs[:, -1] = np.log(12.0)
    read, _ = after_windows(problem, logs)
    assert (read[:, :-1] == unread[:, :-1]).all()
    assert (read[:, -1, 1:] == unread[:, -1, 1:]).all()
