"""The rule's price of a broken limit is the one at which it breaks as many as another tuner."""

from __future__ import annotations

import numpy as np
import pytest

from envs.belief.risk import HIGHEST, LOWEST
from envs.problems.simulated_world import SimulatedWorld
from tuner.evaluation.equal_risk import equal_risk, matching_price, sentence
from tuner.evaluation.rollouts import Played, RollOut, play
from tuner.search.expected_gain import rule_choices


def test_the_price_of_a_falling_share_is_found() -> None:
    def broken_at(price: float) -> float:
        return 0.2 - 0.05 * float(np.log10(price / LOWEST))  # 0.05 at 1000 times the lowest

    price, share = matching_price(broken_at, 0.1)
    assert price == pytest.approx(LOWEST * 100, rel=0.02)
    assert share == pytest.approx(0.1, abs=0.001)


def test_where_no_price_breaks_as_many_the_nearest_end_is_taken() -> None:
    bold, _ = matching_price(lambda _: 0.01, 0.5)
    careful, _ = matching_price(lambda price: 0.1 + 0.01 / price, 0.0)
    assert bold < 1.02 * LOWEST
    assert careful > 0.98 * HIGHEST


def test_of_prices_that_fit_equally_the_middle_is_taken() -> None:
    def broken_at(price: float) -> float:
        return 0.02 if price < 0.1 else 0.01 if price < 1.0 else 0.0

    price, share = matching_price(broken_at, 0.01)
    assert price == pytest.approx(0.1**0.5, rel=0.02)
    assert share == 0.01
    between, _ = matching_price(broken_at, 0.015)
    assert between == pytest.approx(0.1, rel=0.02), "none fits: where it is passed"


def test_against_itself_the_rule_gets_a_price_that_breaks_as_many(
    simulated_world: SimulatedWorld,
) -> None:
    found = equal_risk(simulated_world, rule_choices, RollOut(6), 0.3)
    assert found.rule_broken == pytest.approx(found.broken, abs=0.005)
    assert f"{100 * found.broken:.1f} %" in sentence(found)


def test_all_tuners_meet_the_same_noise(simulated_world: SimulatedWorld) -> None:
    first, second = (play(simulated_world, rule_choices, RollOut(2), 0.1) for _ in range(2))
    assert first.share.shape == (len(simulated_world.problems), 2, 8)
    assert (first.share == second.share).all()
    other = play(simulated_world, rule_choices, RollOut(2), 3.0)
    assert (first.share[:, :, 0] == other.share[:, :, 0]).all(), "the default's window is the same"
    assert other.broken_share <= first.broken_share


def test_shares_over_time_count_what_has_ended() -> None:
    share = np.array([[[0.0, 0.8, 0.96]]])
    spent_s = np.array([[[10.0, 20.0, 100.0]]])
    played = Played(share, np.array([[[True, False, True]]]), spent_s, 60.0)
    assert played.at(np.array([5.0, 20.0, 99.0, 100.0]))[0, 0].tolist() == [0.0, 0.8, 0.8, 0.96]
    assert played.seconds_to(0.8) == 20.0
    assert np.isinf(played.seconds_to(0.95)), "it was reached after the end"
    assert played.broken_share == 0.5, "of the two measurements that ended in time"
