"""What measuring costs: by what serves, what is built, and the builds that were seen."""

import numpy as np
import pytest

from envs.problems.draw_options import DrawOptions
from envs.problems.loading import Loading
from envs.problems.simulated_world import SimulatedWorld
from envs.spec.change_cost import change_s


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld(DrawOptions(boards=["agx_orin_64"]), 3, 0)


def rows(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_a_candidate_costs_its_window_its_change_and_the_engines_that_are_missing(
    world: SimulatedWorld,
) -> None:
    problems = world.problems
    loading = Loading(problems, rows(0, 0), np.array([False, True]))
    spec = world.specs[0]
    window_s, change = problems.window_s[0], change_s(spec.space, None, spec.placements)
    built, fresh = loading.expected_s()[:, : len(spec.placements)]
    assert built == pytest.approx(window_s + change, rel=1e-5)
    missing = problems.engines[0, : len(change)] @ loading.times.expected_s()[1]
    assert fresh == pytest.approx(window_s + change + missing, rel=1e-5)
    assert (fresh > built + 10).all(), "every engine of a board takes long to build"


def test_what_was_built_is_not_paid_again(world: SimulatedWorld) -> None:
    problems = world.problems
    loading = Loading(problems, rows(1), np.array([True]))
    first = loading.measure(rows(5))
    needed = problems.engines[1, 5]
    paid = problems.build_s[1][needed].sum()
    assert first == pytest.approx(
        problems.window_s[1] + problems.change_s[1, -1, 5] + paid, rel=1e-5
    )
    assert loading.measure(rows(5)) == pytest.approx(problems.window_s[1]), "it serves already"
    assert loading.serving.tolist() == [5]


def test_a_build_that_took_long_makes_others_look_longer(world: SimulatedWorld) -> None:
    loading = Loading(world.problems, rows(0), np.array([True]))
    before = loading.times.expected_s()[0]
    needed = world.problems.engines[0, 0]
    took_s = loading.expected_s()[0, 0] + 9 * before[needed].sum()
    loading.note(rows(0), np.array([took_s]))
    assert loading.built[0, needed].all()
    others = ~loading.built[0]
    assert others.any()
    assert (loading.times.expected_s()[0, others] > 1.5 * before[others]).all()


def test_episodes_side_by_side_cost_as_each_alone(world: SimulatedWorld) -> None:
    every = np.arange(3)
    together = Loading(world.problems, every, np.array([True, False, True]))
    chosen = [rows(1, 2, 3), rows(4, 4, 4)]
    told = [together.measure(each) for each in chosen]
    for row, fresh in zip(every, (True, False, True), strict=True):
        alone = Loading(world.problems, rows(row), np.array([fresh]))
        for each, expected in zip(chosen, told, strict=True):
            assert alone.measure(each[row : row + 1]) == expected[row]
        assert (alone.expected_s()[0] == together.expected_s()[row]).all()
