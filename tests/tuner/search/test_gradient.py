"""The gradient search on worlds whose best configuration is known."""

from __future__ import annotations

import math

from envs.spec import Configuration, Objective
from envs.testing.problems import measurement, run_search, small_problem, small_space
from tests.tuner.search.worlds import line
from tuner.search.registry import make_search


class TestGradient:
    def test_bisects_the_knob_that_pays(self) -> None:
        # It measures 1 (the default), 2 (the slope), then the middles of the rest of 2..8: 5 and 7.
        problem, world = line(math.inf)
        assert [
            each.total_instances for each in run_search(make_search("gradient", problem), world, 5)
        ] == [1, 2, 5, 7, 8]

    def test_stops_before_a_limit(self) -> None:
        problem, world = line(65.0)
        found = [
            each.total_instances for each in run_search(make_search("gradient", problem), world, 6)
        ]
        assert found[:4] == [1, 2, 5, 7]
        assert 6 in found

    def test_takes_one_knob_after_the_other(self) -> None:
        # The default, two slopes, then two bisections of two measurements each.
        problem = small_problem(
            small_space(accelerators=("cuda",), batches=(1, 2, 4, 8), max_instances=4),
            Objective((math.inf,)),
        )
        found = run_search(
            make_search("gradient", problem),
            lambda each: measurement([float(each.array().prod())], [1.0]),
            7,
        )
        assert found[-1] == Configuration((((4, 8),),))
