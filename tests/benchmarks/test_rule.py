"""A bundle that is ahead of the rule holds its goals, one that is behind misses them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rule_builds import BLIND_POLICY, BLIND_RULE, BOUND, POLICY, RULE
from benchmarks.rule_compared import Compared
from benchmarks.rule_front import RULE_PRICES, at_equal_risk, nearest
from benchmarks.rule_settings import SETTINGS
from tuner.evaluation.rollouts import Played

NAMES = (POLICY, RULE, BLIND_RULE, BLIND_POLICY, BOUND)


def played(share: float, broken: float = 0.03, seed: int = 0) -> Played:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0.0, 0.01, (30, 2, 8))
    spent_s = np.broadcast_to(100.0 * np.arange(1, 9), noise.shape)
    broke = np.zeros(noise.shape, dtype=bool)
    broke.reshape(-1)[: round(broken * noise.size)] = True
    return Played(share + noise, broke, spent_s)


def front(share: float) -> list[Played]:
    """Breaks 20 % of the limits at the lowest price and none at the highest, for less and less."""
    part = np.linspace(1.0, 0.0, len(RULE_PRICES))
    return [played(share + 0.05 * (each - 0.15), 0.2 * each) for each in part]


def compared(policy: float, rule: float, name: str = "belief_right") -> Compared:
    setting = next(each for each in SETTINGS if each.name == name)
    found = at_equal_risk(setting, played(policy), front(rule))
    tuners = {each: [played(rule)] for each in NAMES} | {POLICY: [played(policy)]}
    return Compared(setting, 0.1, (found,), (0.0,), tuners)


def test_the_rule_breaks_as_many_limits_as_the_policy() -> None:
    setting = SETTINGS[0]
    for broken in (0.05, 0.1, 0.15):
        found = at_equal_risk(setting, played(0.9, broken), front(0.9))
        assert found.broken[1] == pytest.approx(found.broken[0], abs=1e-6)
        fair = 0.9 + 0.05 * (broken / 0.2 - 0.15)
        assert found.rule.mean() == pytest.approx(fair, abs=0.002)
        assert nearest(found.price) == pytest.approx(24 * (1 - broken / 0.2), abs=1)
    beyond = at_equal_risk(setting, played(0.9, 0.5), front(0.9))
    assert beyond.price == pytest.approx(RULE_PRICES[0]), "nothing breaks as many"
    assert beyond.broken == pytest.approx((0.5, 0.2), abs=0.01)


def test_of_prices_that_break_as_many_the_middle_is_taken() -> None:
    same = [played(0.9, 0.1), *(played(0.9, 0.05) for _ in range(23)), played(0.9, 0.0)]
    found = at_equal_risk(SETTINGS[0], played(0.9, 0.05), same)
    assert found.price == pytest.approx(RULE_PRICES[12], rel=0.05)


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
    assert found[start + "marks of 7 with the policy behind"].value == (0 if holds else 7)
    gained = found[start + "policy minus rule after 3"].value
    assert gained == pytest.approx(100 * (policy - 0.9), abs=0.3)


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
