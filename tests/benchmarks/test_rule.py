"""A bundle that is ahead of the rule holds its goals, one that is behind misses them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rule import SETTINGS, Compared
from tuner.evaluation.equal_risk import EqualRisk
from tuner.evaluation.rollouts import Played


def played(share: float) -> Played:
    noise = np.random.default_rng(0).normal(0.0, 0.01, (30, 2, 8))
    return Played(share + noise, np.zeros((30, 2, 8), dtype=bool))


def compared(policy: float, rule: float) -> Compared:
    equal = (EqualRisk(0.2, 0.03, 0.03, 10),)
    return Compared("belief_right", 0.1, equal, (played(policy),), (played(rule),))


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
    assert found[start + "measurements of 2 to 8 with the policy ahead"].value == ahead
    gained = found[start + "policy minus rule after 3"].value
    assert gained == pytest.approx(100 * (policy - 0.9))


def test_every_setting_can_be_drawn_from_both_splits() -> None:
    names = [setting.name for setting in SETTINGS]
    assert len(set(names)) == len(names)
    for setting in SETTINGS:
        assert setting.options("train").split == "train"
        assert setting.options("held_out").split == "held_out"
