"""The oracle and the best recorded scores."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from envs.problems.problem import Problem
from envs.spec import Configuration, MeasurementBatch, Objectives
from envs.testing.problems import World, run_search, small_problem, small_space, smooth, unlucky
from tests.tuner.search.worlds import outcomes
from tuner.search.oracle import Oracle, best_scores


class TestOracle:
    def brute_force(self, problem: Problem, world: World) -> tuple[int, float, bool]:
        verdicts = [problem.judge(world(Configuration.of(row))) for row in problem.candidates]
        feasible = [i for i, (_, violation) in enumerate(verdicts) if violation <= 0]
        best = (
            max(feasible, key=lambda i: verdicts[i][0])
            if feasible
            else min(range(len(verdicts)), key=lambda i: verdicts[i][1])
        )
        return best, verdicts[best][0], bool(feasible)

    @pytest.mark.parametrize("world", [smooth, unlucky])
    @pytest.mark.parametrize("tenants", [1, 2])
    def test_equals_brute_force(
        self, world: World, tenants: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tuner.search.oracle.CHUNK_NUMBERS", 1000)  # several chunks
        space = small_space(tenants, total=3)
        rng = np.random.default_rng(0)
        limits = Objectives(
            np.exp(rng.uniform(1, 5, (40, tenants))),
            np.where(rng.random(40) < 0.5, np.inf, rng.uniform(4, 30, 40)),
        )
        problems = [small_problem(space, limits.row(i)) for i in range(40)]
        batch = outcomes(problems[0], world)
        index, score, feasible = best_scores(batch, np.ones(tenants), limits)
        expected = [self.brute_force(problem, world) for problem in problems]
        assert list(zip(index.tolist(), score.tolist(), feasible.tolist(), strict=True)) == [
            (best, pytest.approx(value), any_feasible) for best, value, any_feasible in expected
        ]
        assert 0 < feasible.sum() < 40
        for problem, best in zip(problems[:10], index[:10], strict=True):
            assert Configuration.of(problem.candidates[best]) in run_search(
                Oracle(problem, batch), world, 2
            )

    def test_memory_stays_small_for_many_objectives(self) -> None:
        rng = np.random.default_rng(0)
        numbers = rng.uniform(1, 100, (2000, 2))
        batch = MeasurementBatch(
            numbers,
            numbers,
            numbers[:, 0],
            numbers[:, 0],
            numbers[:, 0],
            np.zeros(2000, dtype=bool),
        )
        tracemalloc.start()
        best_scores(
            batch, np.ones(2), Objectives(rng.uniform(1, 100, (1000, 2)), rng.uniform(1, 100, 1000))
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6  # all at once would take 32 MB an array

    def test_needs_an_outcome_for_each_candidate(self) -> None:
        problem = small_problem(small_space())
        with pytest.raises(ValueError, match="2 outcomes"):
            Oracle(problem, outcomes(problem, smooth).take(np.arange(2)))
