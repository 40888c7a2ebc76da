"""The untrained rule weighs what a measurement may gain against what it risks."""

from __future__ import annotations

import numpy as np
import pytest

from envs.belief.features import ALLOWED, CANDIDATE_FEATURES, FEATURES, RISK, net_gain
from envs.errors import OptionError
from envs.problems.draw_options import DrawOptions
from envs.spec import Objective
from envs.testing.problems import run_search, small_problem, small_space, smooth
from tests.tuner.search.worlds import line
from tuner.evaluation.running import run_tuner
from tuner.evaluation.simulated import simulated_cases
from tuner.search.expected_gain import ExpectedGainTuner, net_gains


def observation(gains: list[float], chances: list[float], allowed: list[float]) -> np.ndarray:
    seen = np.zeros((len(gains), len(FEATURES)), dtype=np.float32)
    for name, values in (
        ("expected_gain", gains),
        ("log_chance_feasible", np.log(chances).tolist()),
        ("allowed", allowed),
    ):
        seen[:, FEATURES.index(name)] = np.array(values) * CANDIDATE_FEATURES[name][2]
    return seen


def test_the_net_gain_is_the_gain_if_the_limits_are_kept_and_the_price_if_not() -> None:
    gain, chance = np.float32(np.log(1.2)), np.float32(0.5)
    assert net_gain(gain, chance, np.float32(0.1)) == pytest.approx(0.5 * 0.2 - 0.5 * 0.1)
    assert net_gain(gain, np.float32(1.0), np.float32(3.0)) == pytest.approx(0.2)


def test_a_low_price_takes_the_bold_proposal_and_a_high_one_the_safe_one() -> None:
    seen = observation([np.log(1.5), np.log(1.1), np.log(3.0)], [0.6, 0.99, 1.0], [1, 1, 0])
    assert net_gains(seen, 0.003).argmax() == 0
    assert net_gains(seen, 3.0).argmax() == 1
    assert np.isneginf(net_gains(seen, 0.1)[2])


def test_it_ranks_as_the_feature_that_the_policy_sees() -> None:
    problem = small_problem(small_space(), Objective((25.0,), 30.0))
    tuner = ExpectedGainTuner(problem, float(RISK))
    for _ in range(4):
        asked = tuner.ask()
        tuner.tell(asked, smooth(asked))
        seen, _ = tuner.observation()
        free = seen[:, ALLOWED] > 0.5
        own, shown = net_gains(seen, float(RISK))[free], seen[free, FEATURES.index("net_gain")]
        assert own == pytest.approx(shown, abs=2e-3)


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
