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
from envs.belief.assess import Conditions, assess
from envs.belief.features import ALLOWED, FEATURES, observe
from envs.belief.progress import Progress
from envs.tuning_env import BOUND

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
        *arrays, budget = self.conditions
        conditions = Conditions(*(each[some] for each in arrays), budget)
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
    return State(mean, variance, Conditions(every, limits, weights, present, extra, 8), progress)


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
        assert (getattr(given_.progress, each.name) == getattr(before.progress, each.name)).all()
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


def test_what_was_measured_may_be_chosen_again_only_to_wait_with() -> None:
    given_ = state()
    observation, shown = seen(given_)
    allowed, measured, is_best = (
        observation[:, :, column(name)] > 0.5 for name in ("allowed", "measured", "is_best")
    )
    rows = np.arange(B)[:, None]
    assert (measured == given_.progress.measured[rows, shown]).all()
    assert (is_best == (shown == given_.progress.best[:, None])).all()
    waits = given_.progress.held.any(axis=1)[:, None] & (np.arange(P) == 0)
    assert (allowed == (given_.conditions.present[rows, shown] & (~measured | waits))).all()
    assert column("allowed") == ALLOWED
    has_best = given_.progress.best >= 0
    assert given_.progress.held[has_best, shown[has_best, 0]].all(), "it comes first"
    assert (observation[:, :, column("has_best")] == has_best[:, None]).all()
    assert set(shown[2, :5]) == set(range(5)), "what is not there comes last"


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


def test_a_row_is_the_same_whatever_stands_beside_it() -> None:
    given_ = state(7, 2)
    many = seen(given_)
    for row in range(B):
        alone = seen(given_.rows(slice(row, row + 1)))
        assert (alone[0][0] == many[0][row]).all()
        assert (alone[1][0] == many[1][row]).all()
