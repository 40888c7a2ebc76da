"""Optuna's samplers behind the tuner seam."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from envs.spec import MAX_VIOLATION, ConfigurationSpace, Failure, FailureKind, Objective
from envs.testing.problems import measurement, run_search, small_problem, small_space, smooth
from tests.tuner.search.worlds import best_score, make_tuner, outcomes
from tuner.search.limits import limit_margins
from tuner.search.oracle import best_scores
from tuner.search.registry import make_search


class TestOptuna:
    def test_margins_have_a_sign_and_know_what_is_missing(self) -> None:
        objective = Objective((10.0, math.inf), 20.0)
        assert limit_margins(
            measurement([1.0, 1.0], [20.0, 5.0], 10.0), objective
        ) == pytest.approx([math.log(2), -math.log(2)])
        assert limit_margins(measurement([1.0, 1.0], [1e9, 5.0], math.nan), objective) == [
            MAX_VIOLATION,
            MAX_VIOLATION,
        ]
        assert limit_margins(Failure(FailureKind.TIMED_OUT, "late"), objective) == [
            MAX_VIOLATION,
            MAX_VIOLATION,
        ]

    @pytest.mark.parametrize("name", ["tpe", "gp"])
    def test_is_silent_and_leaves_logging_as_it_was(
        self, name: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        import optuna

        verbosity = optuna.logging.get_verbosity()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run_search(make_tuner(name, small_problem(small_space())), smooth, 7)
        assert optuna.logging.get_verbosity() == verbosity
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        ("name", "budget", "seeds", "margin"),
        [("tpe", 15, 8, 0.05), ("gp", 8, 4, 0.2), ("hill_climb", 12, 20, 0.05)],
    )
    def test_beats_random_search_on_a_smooth_world(
        self, name: str, budget: int, seeds: int, margin: float
    ) -> None:
        space = small_space(batches=(1, 2, 4, 8), max_instances=4)
        assert (
            mean_best(name, space, budget, seeds) > mean_best("random", space, budget, 60) + margin
        )


def mean_best(name: str, space: ConfigurationSpace, budget: int, seeds: int) -> float:
    """Return the share of the best feasible score that is found, mean over seeds."""
    problems = [small_problem(space, Objective((120.0,), 20.0), seed=seed) for seed in range(seeds)]
    _, best, _ = best_scores(
        outcomes(problems[0], smooth), np.ones(1), problems[0].objective.batch()
    )
    shares = []
    for problem in problems:
        shares.append(
            best_score(problem, run_search(make_search(name, problem), smooth, budget), smooth)
            / best[0]
        )
    return float(np.mean(shares))
