"""The untrained rule weighs what a measurement may gain against what it risks."""

from __future__ import annotations

import numpy as np
import pytest

from envs.belief.features import ALLOWED, FEATURES, net_gain
from envs.errors import OptionError
from envs.problems.draw_options import DrawOptions
from envs.spec import Objective
from envs.testing.problems import run_search, small_problem, small_space, smooth
from tests.tuner.search.worlds import line
from tuner.evaluation.running import run_tuner
from tuner.evaluation.simulated import simulated_cases
from tuner.search.expected_gain import LOG_COST_SCALE, ExpectedGainTuner, rule_choices


def test_the_net_gain_is_the_gain_if_the_limits_are_kept_and_the_price_if_not() -> None:
    gain, chance = np.float32(np.log(1.2)), np.float32(0.5)
    assert net_gain(gain, chance, np.float32(0.1)) == pytest.approx(0.5 * 0.2 - 0.5 * 0.1)
    assert net_gain(gain, np.float32(1.0), np.float32(3.0)) == pytest.approx(0.2)


def test_it_chooses_the_largest_net_gain_of_those_that_may_be_chosen() -> None:
    seen = np.zeros((2, 3, len(FEATURES)), dtype=np.float32)
    seen[:, :, FEATURES.index("net_gain")] = [[0.2, 0.1, 0.5], [-0.3, -0.1, -0.2]]
    seen[:, :, ALLOWED] = [[1, 1, 0], [1, 1, 1]]
    assert rule_choices(seen).tolist() == [0, 1]


def test_what_takes_longer_is_worth_less_by_the_second() -> None:
    seen = np.zeros((1, 3, len(FEATURES)), dtype=np.float32)
    seen[0, :, FEATURES.index("net_gain")] = [0.4, 0.1, -0.1]
    seen[0, :, FEATURES.index("log_cost")] = np.log([16.0, 1.0, 1.0]) * LOG_COST_SCALE
    seen[0, :, ALLOWED] = 1
    assert rule_choices(seen).tolist() == [0]
    assert rule_choices(seen, 0.5).tolist() == [0], "0.4 over the root of 16 is still 0.1"
    assert rule_choices(seen, 1.0).tolist() == [1]
    seen[0, :2, FEATURES.index("net_gain")] = -0.2
    assert rule_choices(seen, 1.0).tolist() == [2], "a loss is none the less for taking long"


def test_a_careful_rule_breaks_fewer_limits_than_a_bold_one() -> None:
    cases = simulated_cases(DrawOptions(small_spaces=1.0), 6, 3)
    broken = {0.003: 0, 3.0: 0}
    for index in range(len(cases)):
        case = cases[index]
        for risk in broken:
            tuner = ExpectedGainTuner(case.problem, risk)
            run = run_tuner(tuner, case.problem, case.session(0), 8)
            broken[risk] += int((run.violation > 0).sum())
    assert broken[3.0] < broken[0.003]


def test_it_waits_with_a_configuration_that_kept_the_limits() -> None:
    problem = small_problem(small_space(), Objective((100.0,), 30.0))
    asked = run_search(ExpectedGainTuner(problem, 3.0), smooth, 20)
    again = {each for each in asked if asked.count(each) > 1}
    assert again
    assert all(problem.judge(smooth(each))[1] <= 0 for each in again)


def test_it_needs_a_model() -> None:
    with pytest.raises(OptionError, match="need one"):
        ExpectedGainTuner(line(50.0)[0])
