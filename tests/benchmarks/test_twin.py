"""The benchmark of twins: what it keeps of a grid, what it compares with, and what it says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.figures import figure
from benchmarks.twin import RECORDED, REFERENCE, TRAINED, UNTRAINED, Recorded, RecordedBest, verdict
from envs.problems.trace_world import trace_model
from envs.problems.twin import recording_of
from envs.simulator.conditioning import conditioned
from envs.spec import Configuration, verdict_of
from tuner.evaluate import EvaluationOptions, trace_cases
from tuner.evaluation.running import run_tuner


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded.of("resnet50", 40, 3, tmp_path_factory.mktemp("grids"))


def test_what_is_kept_of_a_grid_is_not_among_what_errors_are_counted_on(recorded: Recorded) -> None:
    space = recorded.whole.space
    kept, left = (
        set(space.codes(each.placements).tolist()) for each in (recorded.part, recorded.rest)
    )
    assert (len(kept), len(left)) == (40, 248)
    assert not kept & left
    other = Recorded.of("resnet50", 40, 4, recorded.part.path.parent)
    assert kept != set(space.codes(other.part.placements).tolist())


def test_the_best_of_the_recorded_rows_is_asked_for_right_after_the_default(
    recorded: Recorded,
) -> None:
    case = trace_cases(recorded.whole, EvaluationOptions(3, 1, 5))[1]
    run = run_tuner(RecordedBest(recorded.part, case.problem), case.problem, case.session(0), 4)
    judged = verdict_of(recorded.part.batch, np.ones(1), case.problem.objective)
    keeps = judged.violation <= 0
    best = int(np.where(keeps, judged.score, 0.0).argmax())
    assert Configuration.of(run.placements[0]) == case.problem.default
    assert (run.placements[1] == recorded.part.placements[best]).all()
    assert run.score[1] == pytest.approx(judged.score[best])


def test_errors_are_relative_and_missing_where_nothing_was_read(
    recorded: Recorded,
) -> None:
    model = trace_model(recorded.whole)
    errors, inside = recorded.unseen(model)
    assert errors.shape == inside.shape == (3, 248)
    assert np.isnan(errors[2]).all()
    assert np.isnan(inside[2]).all(), "no power was recorded"
    told = conditioned(model, recording_of(recorded.part))
    better, _ = recorded.unseen(told)
    assert np.median(better[0]) < 0.5 * np.median(errors[0]), "nobody told the model anything"


def test_the_verdict_says_where_nothing_is_added() -> None:
    means = {TRAINED: 98.6, UNTRAINED: 98.5, REFERENCE: 96.0, RECORDED: 80.0}
    figures = [
        figure(f"grid, {tuner}, after 3: share of the optimum, mean", value, "%")
        for tuner, value in means.items()
    ]
    assert verdict("grid", figures) == (
        "grid: what the twin knows adds +2.5 points over the reference policy, and training on the"
        " twin adds nothing (+0.1 points) over that; the policy is +18.6 points from the best of"
        " the recorded rows."
    )
