"""The searches that believe the device model."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from envs.belief.prior import starting_configuration
from envs.problems.draw import DrawnProblem, draw_problem
from envs.problems.draw_options import DrawOptions
from envs.problems.problem import Problem
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import Configuration, Measurement, Objective
from envs.testing.problems import World, measurement, run_search
from tuner.search.oracle import best_scores
from tuner.search.registry import make_search


@lru_cache(maxsize=1)
def drawn_board() -> DrawnProblem:
    return draw_problem(
        DrawOptions(small_spaces=1.0, boards=["agx_orin_64"], networks=["resnet50"]),
        np.random.default_rng(4),
    )


class TestModels:
    """A board of the catalogue; its outcomes are those of the model, or differ from them."""

    @staticmethod
    def problem(drawn: DrawnProblem) -> Problem:
        space = drawn.model.space
        objective = Objective((30.0,), 30.0)
        return Problem(
            space,
            space.catalogue,
            objective,
            starting_configuration(drawn.model, objective),
            model=drawn.model,
        )

    @staticmethod
    def world(model: DeviceModel, context: Contexts) -> World:
        def answer(configuration: Configuration) -> Measurement:
            batch = model.batch(context, configuration.array()[None])
            return measurement(
                batch.throughput_ips[0].tolist(), batch.p99_ms[0].tolist(), float(batch.power_w[0])
            )

        return answer

    def test_where_the_model_is_right_its_first_choice_is_the_best(self) -> None:
        drawn = drawn_board()
        problem, world = self.problem(drawn), self.world(drawn.model, drawn.model.nominal())
        found = run_search(make_search("model_argmax", problem), world, 4)
        truth = drawn.model.batch(drawn.model.nominal(), problem.candidates)
        _, best, exists = best_scores(truth, np.ones(1), problem.objective.batch())
        assert exists[0]
        scores = [problem.judge(world(each)) for each in found]
        assert scores[1][0] == pytest.approx(best[0], rel=1e-4)
        assert [score for score, violation in scores[1:] if violation <= 0] == sorted(
            (score for score, _ in scores[1:]), reverse=True
        )

    def test_measuring_moves_what_is_believed_of_everything_else(self) -> None:
        drawn = drawn_board()
        problem = self.problem(drawn)
        fast, slow = (make_search("model_refit", problem) for _ in range(2))
        truth = self.world(drawn.model, drawn.truth)(problem.default)
        for search, factor in ((fast, 0.5), (slow, 2.0)):
            assert search.ask() == problem.default
            search.tell(
                problem.default,
                measurement(
                    (truth.throughput_ips / factor).tolist(),
                    (truth.p99_ms * factor).tolist(),
                    truth.power_w,
                ),
            )
        believed = [search._belief.mean[0][1].mean() for search in (fast, slow)]
        assert believed[0] < believed[1] - 0.1

    def test_the_prior_is_made_once_for_all(self) -> None:
        drawn = drawn_board()
        problem = self.problem(drawn)
        assert problem.prior is problem.prior
        assert problem.prior is not None
        assert Configuration.of(problem.prior.placements[0]) == problem.default
