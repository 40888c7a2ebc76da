"""A bundle that is ahead of the rule holds its goals, one that is behind misses them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rule_compared import Compared, Rule
from benchmarks.rule_settings import SETTINGS
from tuner.evaluation.equal_risk import EqualRisk
from tuner.evaluation.rollouts import Played


def played(share: float) -> Played:
    noise = np.random.default_rng(0).normal(0.0, 0.01, (30, 2, 8))
    spent_s = np.broadcast_to(100.0 * np.arange(1, 9), noise.shape)
    return Played(share + noise, np.zeros(noise.shape, dtype=bool), spent_s)


def compared(policy: float, rule: float, name: str = "belief_right") -> Compared:
    setting = next(each for each in SETTINGS if each.name == name)
    tuned = (Rule(EqualRisk(0.2, 0.03, 0.03, 10), 0.0, played(rule)),)
    return Compared(setting, 0.1, (played(policy),), tuned, tuned)


@pytest.mark.parametrize(
    ("policy", "holds", "ahead"), [(0.95, True, 7), (0.9, True, 0), (0.85, False, 0)]
)
def test_the_goals_hold_where_the_policy_is_not_behind(
    policy: float, holds: bool, ahead: int
) -> None:
    found = {each.name: each for each in compared(policy, 0.9).figures()}
    goals = [each.holds for each in found.values() if each.goal]
    assert goals == [holds] * 4
    start = "belief right, price 0.1: "
    assert found[start + "marks of 7 with the policy ahead"].value == ahead
    gained = found[start + "policy minus rule after 3"].value
    assert gained == pytest.approx(100 * (policy - 0.9))


def test_with_builds_shares_are_over_time() -> None:
    found = {each.name: each.value for each in compared(0.99, 0.9, "builds").figures()}
    start = "builds, price 0.1: "
    over_time = found[start + "policy, share of the optimum in the mean over 900 s"]
    assert over_time == pytest.approx(100 * 0.99 * 27 / 30, abs=0.5), "nothing before 100 s"
    to = "median time to 95 % of the optimum"
    assert found[start + f"policy, {to}"] == 100.0
    assert found[start + f"rule, {to}"] == 900.0, "it never gets there"
    assert found[start + f"policy over rule that does not know costs, {to}"] == pytest.approx(1 / 9)


def test_every_setting_can_be_drawn_from_both_splits() -> None:
    names = [setting.name for setting in SETTINGS]
    assert len(set(names)) == len(names)
    for setting in SETTINGS:
        assert setting.options("train").split == "train"
        assert setting.options("held_out").split == "held_out"
