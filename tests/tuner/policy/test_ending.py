"""A search ends when nothing is worth a window, and never measures only to wait."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from envs.arrays import Single
from envs.belief.features import ALLOWED, CANDIDATE_FEATURES, FEATURES, MOST_WINDOWS
from envs.problems.problem import Problem
from envs.spec import Configuration, Failure, FailureKind, Objective
from envs.testing.problems import small_problem, small_space, smooth
from tuner.folders import reference_bundle
from tuner.policy.belief_tuner import BeliefTuner
from tuner.policy.bundle import load_bundle
from tuner.policy.ending import SMALL_GAIN, reason_to_end, without_waiting
from tuner.policy.learned import LearnedTuner
from tuner.search.expected_gain import ExpectedGainTuner
from tuner.search.protocol import Finishing


def proposals(**features: list[float]) -> Single:
    """Return an observation [P, F] with the given features, before they are scaled."""
    count = len(next(iter(features.values())))
    seen = np.zeros((count, len(FEATURES)), dtype=np.float32)
    seen[:, ALLOWED] = 1.0
    for name, values in features.items():
        seen[:, FEATURES.index(name)] = np.array(values) * CANDIDATE_FEATURES[name][2]
    return seen


def test_a_search_goes_on_while_something_new_promises_more_than_a_small_share() -> None:
    above, below = SMALL_GAIN * 1.01, SMALL_GAIN * 0.99
    assert reason_to_end(proposals(net_gain=[-0.1, above]), has_best=True) == ""
    ended = reason_to_end(proposals(net_gain=[-0.1, below]), has_best=True)
    assert ended == "nothing left promises more than 0.5 %"


@pytest.mark.parametrize(
    ("windows", "excess", "useful"),
    [(1, 0.5, True), (2, -1.9, True), (1, 2.1, False), (1, -5.0, False), (3, 0.5, False)],
)
def test_a_repeat_is_worth_a_window_while_its_limit_is_too_close_to_call(
    windows: int, excess: float, useful: bool
) -> None:
    seen = proposals(net_gain=[0.2], windows=[windows], worst_margin=[excess])
    assert (reason_to_end(seen, has_best=True) == "") == useful


def test_to_measure_the_best_again_gains_nothing_by_itself() -> None:
    seen = proposals(net_gain=[0.2], windows=[1], worst_margin=[-0.5], is_best=[1])
    assert reason_to_end(seen, has_best=True) != ""


def test_what_may_not_be_chosen_is_worth_nothing() -> None:
    seen = proposals(net_gain=[0.0, 0.5])
    seen[1, ALLOWED] = 0.0
    assert reason_to_end(seen, has_best=True) != ""


def test_before_anything_kept_the_limits_a_chance_counts_whatever_it_risks() -> None:
    """A gain of exp(1) - 1 = 1.72 at a chance of 1 % is 1.7 %; at 0.1 % it is 0.17 %."""
    for chance, ended in ((0.01, ""), (0.001, "nothing left is likely to keep the limits")):
        seen = proposals(net_gain=[-0.3], expected_gain=[1.0], log_chance_feasible=[np.log(chance)])
        assert reason_to_end(seen, has_best=False) == ended


def test_a_choice_that_only_waits_is_made_again_among_what_is_worth_a_window() -> None:
    seen = proposals(
        net_gain=[0.0, 0.1, -0.1], windows=[1, 0, 0], worst_margin=[-5, -1, -1], is_best=[1, 0, 0]
    )
    assert without_waiting(seen, 0, has_best=True)[:, ALLOWED].tolist() == [0, 1, 0]
    assert without_waiting(seen, 2, has_best=True) is seen, "any other choice stands"
    seen[0, FEATURES.index("worst_margin")] = 0.0
    assert without_waiting(seen, 0, has_best=True) is seen, "so does a repeat with a use"


def policy(problem: Problem) -> BeliefTuner:
    return LearnedTuner(load_bundle(reference_bundle()), problem)


@pytest.mark.parametrize("make", [policy, ExpectedGainTuner])
def test_policy_and_rule_end_and_repeat_nothing_more_than_three_times(
    make: type[BeliefTuner],
) -> None:
    problem = small_problem(small_space(), Objective((100.0,), 30.0))
    tuner, counts = make(problem), Counter[Configuration]()
    assert isinstance(tuner, Finishing)
    assert tuner.finished() == ""
    while not tuner.finished():
        asked = tuner.ask_worthwhile()
        counts[asked] += 1
        tuner.tell(asked, smooth(asked))
    assert max(counts.values()) <= MOST_WINDOWS
    assert counts.total() < len(problem.candidates)
    kept = {each: smooth(each) for each in counts if problem.judge(smooth(each))[1] <= 0}
    best = max(kept, key=lambda each: problem.judge(kept[each])[0])
    assert tuner.ask_worthwhile() == best, "a finished tuner repeats its answer"


def test_a_search_goes_on_beyond_the_budget_that_was_trained_while_it_is_worth_it() -> None:
    """Nothing serves: whatever was not tried yet may still keep the limits."""
    problem = small_problem(small_space(), Objective((100.0,), 30.0))
    tuner = policy(problem)
    told = list[Configuration]()
    while not tuner.finished() and len(told) < 12:
        asked = tuner.ask_worthwhile()
        told.append(asked)
        used = tuner.observation()[0][0, FEATURES.index("used")]
        assert used < 1.0, "as in training, a measurement is left"
        tuner.tell(asked, Failure(FailureKind.OUT_OF_MEMORY, "no", 1.0))
    assert len(set(told)) == len(told) == 12
