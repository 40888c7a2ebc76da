"""Nobody is faster than one who knows; a tuner that is told equal costs sees equal costs."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.rule_builds import bound, figures_of_builds, told_equal_costs
from benchmarks.rule_settings import SETTINGS
from benchmarks.setup import REFERENCE_BUNDLE
from envs.arrays import Rows, Single
from envs.belief.features import FEATURES
from envs.problems.draw_options import DrawOptions
from envs.problems.simulated_world import SimulatedWorld
from tuner.evaluation.rollouts import Played, play, policy_decides, roll_out
from tuner.policy.bundle import load_bundle
from tuner.search.expected_gain import rule_choices

BUILDS = next(each for each in SETTINGS if each.builds).rounds(2)


def test_nobody_is_faster_than_one_who_knows() -> None:
    world = SimulatedWorld(DrawOptions(split="held_out"), 6, 0)
    best = bound(world, BUILDS)
    times = np.arange(10.0, 900.0, 10.0)
    assert best.share.shape == (6, 2, world.problems.candidates + 1)
    assert (np.diff(best.spent_s[..., :2], axis=2) >= 0).all()
    assert best.at(np.array([1e9])).min() > 0.999, "it gets to the best there is"
    for decide in (rule_choices, policy_decides(load_bundle(REFERENCE_BUNDLE))):
        tuner = play(world, decide, BUILDS)
        np.testing.assert_array_equal(tuner.spent_s[..., 0], best.spent_s[..., 0])
        assert (tuner.at(times) <= best.at(times) + 1e-6).all()
        assert (tuner.seconds_to(0.95) >= best.seconds_to(0.95)).all()


def test_a_tuner_that_is_told_equal_costs_sees_equal_costs() -> None:
    world = SimulatedWorld(DrawOptions(), 3, 0)
    told: list[Single] = []

    def note(seen: Single) -> Rows:
        told.append(seen)
        return rule_choices(seen)

    for _ in roll_out(world, told_equal_costs(note), BUILDS):
        pass
    cost, gain, rate = (
        FEATURES.index(name) for name in ("log_cost", "net_gain", "gain_per_second")
    )
    for seen in told:
        assert (seen[..., cost] == 0).all()
        np.testing.assert_array_equal(seen[..., rate], seen[..., gain])
        np.testing.assert_array_equal(rule_choices(seen, 1.0), rule_choices(seen))


def test_times_are_compared_with_the_rule_that_does_not_know_costs() -> None:
    def at_once(seconds: float) -> list[Played]:
        share = np.ones((4, 1, 2))
        spent_s = np.full(share.shape, seconds)
        return [Played(share, np.zeros(share.shape, dtype=bool), spent_s, math.inf)]

    names = ("policy", "rule", "rule that does not know costs", "policy that is told equal costs")
    tuners = dict(zip(names, map(at_once, (60.0, 70.0, 100.0, 80.0)), strict=True))
    tuners["bound, by one who knows the best"] = at_once(50.0)
    found = {each.name: each for each in figures_of_builds("here", tuners)}
    to = "median time to 95 % of the optimum"
    ratio = found[f"here: policy over rule that does not know costs, {to}"]
    assert (ratio.value, ratio.holds) == (0.6, True)
    assert found[f"here: bound, by one who knows the best over {names[3]}, {to}"].value == 0.625
    area = found["here: rule, share of the optimum in the mean over 900 s"]
    assert area.value == 100 * 28 / 30, "nothing before 70 s"
