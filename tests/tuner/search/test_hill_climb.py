"""Hill climbing on worlds whose best configuration is known."""

from __future__ import annotations

import math

from envs.spec import Configuration, Measurement, Objective
from envs.testing.problems import measurement, run_search, small_problem, small_space
from tests.tuner.search.worlds import line
from tuner.search.registry import make_search


class TestHillClimb:
    def test_climbs_a_line_without_a_detour(self) -> None:
        problem, world = line(math.inf)
        assert [
            each.total_instances
            for each in run_search(make_search("hill_climb", problem), world, 8)
        ] == [1, 2, 3, 4, 5, 6, 7, 8]

    def test_comes_down_from_beyond_a_limit(self) -> None:
        problem, world = line(35.0, start=8)
        assert [
            each.total_instances
            for each in run_search(make_search("hill_climb", problem), world, 6)
        ] == [8, 7, 6, 5, 4, 3]

    def test_stuck_it_goes_on_from_what_is_nearest(self) -> None:
        problem, world = line(35.0)
        assert [
            each.total_instances
            for each in run_search(make_search("hill_climb", problem), world, 6)
        ] == [1, 2, 3, 4, 5, 6]

    def test_climbs_a_monotone_plane_within_its_neighbourhoods(self) -> None:
        # Six steps up; before each it may measure the (at most two) neighbours that are lower.
        space = small_space(accelerators=("cuda",), batches=(1, 2, 4, 8), max_instances=4)
        for seed in range(10):
            problem = small_problem(space, Objective((math.inf,)), seed=seed)
            found = run_search(
                make_search("hill_climb", problem),
                lambda each: measurement([float(each.array().prod())], [1.0]),
                13,
            )
            assert Configuration((((4, 8),),)) in found

    def test_moves_a_tenant_past_a_barrier(self) -> None:
        # n on the first accelerator give 10 n, n on the second 100 n, both together 1. The longest
        # path to (0, 3) has 8 measurements: (1, 0), (1, 1), (2, 0), (2, 1), (0, 2), (1, 2), (0, 1),
        # (0, 3); the whole space has 15.
        def world(configuration: Configuration) -> Measurement:
            first, second = configuration.array()[0, :, 0].tolist()
            return measurement([1.0 if first and second else 10.0 * first + 100.0 * second], [1.0])

        for seed in range(20):
            problem = small_problem(
                small_space(batches=(1,), max_instances=3), Objective((math.inf,)), seed=seed
            )
            assert Configuration((((0, 0), (3, 1)),)) in run_search(
                make_search("hill_climb", problem), world, 8
            )
