"""Observations are pure, bounded, and have the meaning that the policy relies on."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.arrays import Rows, Single
from envs.base_env import BOUND
from envs.belief.assess import Conditions, assess, believed_score
from envs.belief.features import ALLOWED, FEATURES, observe
from envs.belief.progress import Progress
from envs.spec import Goal, log_score

B, M, P = 5, 40, 12


def column(name: str) -> int:
    return FEATURES.index(name)


class State(NamedTuple):
    """Everything that is observed."""

    mean: Single
    variance: Single
    conditions: Conditions
    progress: Progress

    def rows(self, some: slice) -> State:
        """Some of the rows alone."""
        held = {each.name: getattr(self.progress, each.name)[some] for each in fields(Progress)}
        of_rows = {
            name: value if name == "budget" else value[some]
            for name, value in self.conditions._asdict().items()
        }
        conditions = Conditions(**of_rows)
        return State(self.mean[some], self.variance[some], conditions, Progress(**held))


def state(seed: int = 0, tenants: int = 1, wild: float = 1.0) -> State:
    """A state at random; row 0 has measured nothing, row 1 has no limits, row 2 few candidates."""
    rng = np.random.default_rng(seed)
    quantities = 2 * tenants + 1
    measured = rng.random((B, M)) < 0.1
    measured[0] = False
    best = np.where(measured.any(axis=1), measured.argmax(axis=1), -1)
    present = np.ones((B, M), dtype=bool)
    present[2, 5:] = False
    best[2] = -1
    limits = np.concatenate(
        [np.full((B, tenants), np.inf), rng.standard_normal((B, quantities - tenants))], axis=1
    ).astype(np.float32)
    limits[1] = np.inf
    # Single precision ends at 88.
    mean = (wild * rng.standard_normal((B, quantities, M))).clip(-80, 80).astype(np.float32)
    variance = (wild * rng.uniform(1e-4, 0.5, (B, quantities, M))).astype(np.float32)
    noise = rng.uniform(1e-4, 1e-2, (B, quantities)).astype(np.float32)
    weights = rng.uniform(0.5, 2, (B, tenants)).astype(np.float32)
    best_score = np.where(best >= 0, rng.standard_normal(B), -np.inf).astype(np.float32)
    progress = Progress.start(B, M)
    progress.measured, progress.held = measured, measured & (best >= 0)[:, None] & present
    progress.best, progress.best_score, progress.used = best, best_score, np.arange(B)
    progress.broke = rng.random(B) < 0.5
    extra = rng.integers(0, 2, (B, 3)).astype(np.float32)
    every = np.repeat(noise[:, :, None], M, axis=2)
    progress.windows = measured.astype(np.int64)
    progress.mean_score[measured] = progress.mean_margin[measured] = 0.0
    goals = [Goal.THROUGHPUT, Goal.ENERGY, Goal.LATENCY, Goal.THROUGHPUT, Goal.THROUGHPUT]
    conditions = Conditions(
        noise=every,
        limits=limits,
        weights=weights,
        terms=np.stack([goal.terms(row) for goal, row in zip(goals, weights, strict=True)]),
        risk=rng.uniform(0.01, 1.0, B).astype(np.float32),
        cost_s=rng.uniform(3.0, 300.0, (B, M)).astype(np.float32),
        window_s=np.full(B, 3.0, dtype=np.float32),
        present=present,
        extra_features=extra,
        budget=8,
        budget_s=np.array([np.inf, 10.0, 100.0, 1000.0, np.inf]),
    )
    return State(mean, variance, conditions, progress)


def seen(given_: State) -> tuple[Single, Rows]:
    assessment = assess(given_.mean, given_.variance, given_.conditions)
    return observe(assessment, given_.conditions, given_.progress, P)


@pytest.mark.parametrize("tenants", [1, 2, 5])
def test_looking_changes_nothing_and_gives_the_same_again(tenants: int) -> None:
    given_ = state(tenants=tenants)
    before = deepcopy(given_)
    first, again = seen(given_), seen(given_)
    assert (given_.mean == before.mean).all()
    assert (given_.variance == before.variance).all()
    for one, other in zip(given_.conditions, before.conditions, strict=True):
        assert (np.array(one) == np.array(other)).all()
    for each in fields(Progress):
        pair = (getattr(one.progress, each.name) for one in (given_, before))
        assert np.array_equal(*pair, equal_nan=True)
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()


@given(st.integers(0, 1000), st.sampled_from([1, 2, 5]), st.sampled_from([0.01, 1.0, 20.0]))
@settings(max_examples=40, deadline=None)
def test_every_feature_stays_within_its_bound(seed: int, tenants: int, wild: float) -> None:
    observation, shown = seen(state(seed, tenants, wild))
    assert observation.shape == (B, P, len(FEATURES))
    assert (np.abs(observation) <= BOUND).all(), "which also says that all are numbers"
    assert all(len(set(row)) == P for row in shown.tolist()), "each candidate once"
    assert ((shown >= 0) & (shown < M)).all()


def test_what_was_measured_may_be_chosen_again_to_wait_with_or_to_know_more() -> None:
    given_ = state()
    limits = np.where(np.isfinite(given_.conditions.limits), given_.conditions.limits, 0.0)
    given_.mean[:, 1:] = limits[:, 1:, None] - 10.0  # far from every limit
    given_.mean[:, 1:, 30:] += 10.0  # at the limits
    observation, shown = seen(given_)
    allowed, measured, is_best = (
        observation[:, :, column(name)] > 0.2 for name in ("allowed", "windows", "is_best")
    )
    rows = np.arange(B)[:, None]
    assert (measured == given_.progress.measured[rows, shown]).all()
    assert (is_best == (shown == given_.progress.best[:, None])).all()
    waits = given_.progress.held.any(axis=1)[:, None] & (np.arange(P) == 0)
    limited = np.isfinite(given_.conditions.limits).any(axis=1)[:, None]
    again = is_best | ((shown >= 30) & limited)
    assert (allowed == (given_.conditions.present[rows, shown] & (~measured | waits | again))).all()
    assert column("allowed") == ALLOWED
    has_best = given_.progress.best >= 0
    assert given_.progress.held[has_best, shown[has_best, 0]].all(), "it comes first"
    assert (observation[:, :, column("has_best")] == has_best[:, None]).all()
    assert set(shown[2, :5]) == set(range(5)), "what is not there comes last"


def test_nothing_is_measured_more_than_three_times_but_to_wait_with() -> None:
    given_ = state()
    best = int(given_.progress.best[3])
    given_.progress.windows[3, best] = 3
    given_.progress.held[3, best] = False
    observation, shown = seen(given_)
    at = shown[3].tolist().index(best) if best in shown[3] else None
    assert at is None or observation[3, at, ALLOWED] == 0


def test_the_safest_is_always_among_what_is_shown() -> None:
    given_ = state(3)
    given_.mean[4, 1:, 17] = -5.0  # far inside all limits, and slow
    given_.mean[4, 0, 17] = -20.0
    given_.progress.measured[4] = False
    given_.progress.best[4] = -1
    assert 17 in seen(given_)[1][4, :2]


def test_waits_with_the_faster_of_what_is_safe() -> None:
    """Two that are certain to keep the limits, and the best, which as good as sits on one."""
    given_ = state(3)
    given_.progress.held[4] = given_.progress.measured[4] = False
    given_.progress.best[4] = 20
    for candidate, score, late in ((18, -1.0, -5.0), (19, -2.0, -5.0), (20, 1.0, -0.001)):
        given_.progress.held[4, candidate] = given_.progress.measured[4, candidate] = True
        given_.mean[4, 0, candidate], given_.variance[4, :, candidate] = score, 1e-4
        given_.mean[4, 1:, candidate] = given_.conditions.limits[4, 1:] + late
    observation, shown = seen(given_)
    assert shown[4, 0] == 18
    assert observation[4, 0, column("allowed")] == 1


def test_features_on_paper() -> None:
    """One candidate is 1 above the best and 0.5 inside its latency limit; power is not limited."""
    given_ = state()
    row = 3
    given_.progress.best[row], given_.progress.best_score[row], given_.conditions.weights[row] = (
        6,
        0.0,
        1.0,
    )
    given_.progress.measured[row] = False
    given_.progress.measured[row, 6] = True
    given_.conditions.limits[row] = (np.inf, 0.0, np.inf)
    given_.conditions.risk[row], given_.conditions.cost_s[row] = 0.3, 30.0
    given_.progress.spent_s[row] = 250.0
    given_.progress.note_surprise(np.array([1, 1, 1, np.e**2, 1], dtype=np.float32))
    given_.mean[row, 0], given_.mean[row, 0, 9], given_.mean[row, 1, 9] = -3.0, 1.0, -0.5
    given_.variance[row, :, 9], given_.conditions.noise[row] = 0.03, 0.01
    observation, shown = seen(given_)
    found = dict(
        zip(FEATURES, observation[row, shown[row].tolist().index(9)].tolist(), strict=True)
    )
    assert found["log_score_over_best"] == pytest.approx(1.0)
    assert found["score_spread"] == pytest.approx(0.03**0.5)
    assert found["worst_distance"] == pytest.approx(-0.5)
    assert found["worst_margin"] == pytest.approx(0.5 / 0.2 / 4)
    assert found["expected_gain"] == pytest.approx(1.0, rel=0.01), "as good as certain"
    assert (found["latency_limited"], found["power_limited"]) == (1.0, 0.0)
    assert (found["used"], found["left"]) == (3 / 8, 5 / 8)
    assert found["seconds_left"] == pytest.approx(0.75), "250 of 1,000 s are spent"
    assert found["log_cost"] == pytest.approx(0.4 * np.log(10)), "ten windows of 3 s"
    assert found["gain_per_second"] == pytest.approx(found["net_gain"] / 10)
    assert found["log_risk"] == pytest.approx(np.log(3)), "three times the balanced price"
    assert found["last_surprise"] == pytest.approx(2.0)
    assert (found["goal_energy"], found["goal_latency"], found["rate_limited"]) == (0, 0, 0)


def test_time_is_worth_nothing_where_seconds_are_not_limited() -> None:
    given_ = state()
    timed = np.isfinite(given_.conditions.budget_s)
    assert timed.tolist() == [False, True, True, True, False]
    observation, _ = seen(given_)
    gain, rate = (
        observation[..., column(name)] for name in ("relative_gain", "relative_gain_per_second")
    )
    np.testing.assert_array_equal(rate[~timed], gain[~timed])
    assert (rate[timed] != gain[timed]).any()


def test_scores_of_goals_on_paper() -> None:
    """A throughput of 100/s in 20 ms at 10 W: 10 inferences a joule, and 1/20 a millisecond."""
    mean = np.log(np.array([[[100.0], [20.0], [10.0]]], dtype=np.float32))
    variance = np.array([[[0.01], [0.04], [0.09]]], dtype=np.float32)
    weights = np.ones((1, 1), dtype=np.float32)
    for goal, score, doubt in (
        (Goal.THROUGHPUT, 100.0, 0.01),
        (Goal.ENERGY, 10.0, 0.1),
        (Goal.LATENCY, 1 / 20, 0.04),
    ):
        found = believed_score(mean, variance, weights, goal.terms(weights))
        assert np.exp(found[0]) == pytest.approx(score, rel=1e-5)
        assert found[1] == pytest.approx(doubt, rel=1e-5)
        assert np.exp(log_score(mean, weights, goal.terms(weights))) == pytest.approx(
            score, rel=1e-5
        )


def test_a_least_rate_is_a_lower_limit() -> None:
    given_ = state()
    given_.conditions.limits[3] = (0.0, np.inf, np.inf)
    given_.mean[3, 0], given_.mean[3, 0, 4] = -9.0, 9.0
    chance = assess(given_.mean, given_.variance, given_.conditions).chance[3]
    assert chance[4] > 0.99
    assert (np.delete(chance, 4) < 0.01).all()


def test_a_row_is_the_same_whatever_stands_beside_it() -> None:
    given_ = state(7, 2)
    many = seen(given_)
    for row in range(B):
        alone = seen(given_.rows(slice(row, row + 1)))
        assert (alone[0][0] == many[0][row]).all()
        assert (alone[1][0] == many[1][row]).all()
