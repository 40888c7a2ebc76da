"""How windows scatter is learned: of each configuration by itself, a little from the others, and never less than the model says."""

from __future__ import annotations

import numpy as np
import pytest

from envs.configuration import Configuration
from tuner.policy.scatter import FAR, Evidence, Scatter

SERVED, OTHER = Configuration((((1, 1),),)), Configuration((((2, 1),),))
MODEL = np.array([1e-4, 1e-4], np.float32)
SURE = np.zeros(2, np.float32)


def served(scatter: Scatter, missed: np.ndarray) -> None:
    for each in missed:
        scatter.add(SERVED, each.astype(np.float32), SURE, scatter.noise(MODEL, {SERVED: 0})[:, 0])


def test_it_is_what_the_model_says_until_something_has_served() -> None:
    assert (Scatter().noise(MODEL, {SERVED: 0, OTHER: 1}) == MODEL[:, None]).all()


def test_each_configuration_has_its_own_and_a_new_one_half_of_the_others() -> None:
    scatter = Scatter()
    served(scatter, np.array([0.1, 0.001]) * np.random.default_rng(0).standard_normal((200, 2)))
    own, other = np.sqrt(scatter.noise(MODEL, {SERVED: 0, OTHER: 1})).T
    assert own[0] == pytest.approx(0.1, rel=0.35)
    assert other[0] == pytest.approx(own[0] / 2, rel=0.1)
    assert own[1] == other[1] == pytest.approx(0.01), "the second quantity scatters less than the model says"


def test_a_disturbance_that_is_over_is_forgotten_and_one_burst_is_no_habit() -> None:
    scatter = Scatter()
    served(scatter, np.zeros((20, 2)))
    served(scatter, np.array([[1.0, 0.0]]))
    assert np.sqrt(scatter.noise(MODEL, {SERVED: 0})[0, 0]) < 0.01 * FAR
    served(scatter, 0.1 * np.ones((50, 2)))
    assert np.sqrt(scatter.noise(MODEL, {SERVED: 0})[0, 0]) > 0.05
    served(scatter, np.zeros((200, 2)))
    assert np.sqrt(scatter.noise(MODEL, {SERVED: 0})[0, 0]) < 0.02


def test_what_was_not_measured_says_nothing_and_doubt_is_no_scatter() -> None:
    scatter = Scatter()
    scatter.add(SERVED, np.array([np.nan, 0.3], np.float32), np.array([0.1, 0.1], np.float32), MODEL)
    assert np.allclose(scatter.noise(MODEL, {SERVED: 0})[:, 0], MODEL), "0.3 is what was doubted beforehand"


def test_how_often_limits_were_really_kept_counts_beside_what_is_believed() -> None:
    evidence, limits = Evidence(), np.array([np.inf, 0.0], np.float32)
    assert evidence.chance(SERVED, 0.99, limits) == pytest.approx(0.99 + 0.5 * np.sqrt(0.99 * 0.01 / 10))
    for turn in range(100):
        evidence.add(SERVED, np.array([1.0, 0.1 if turn % 20 == 0 else -0.1], np.float32))
    assert evidence.chance(SERVED, 0.999, limits) == pytest.approx(0.95, abs=0.02), "the belief in a thin tail was wrong"
    assert evidence.chance(SERVED, 0.5, limits + 0.2) > 0.95, "a limit that none of them broke"
    evidence.add(SERVED, np.array([np.nan, np.nan], np.float32))
    assert evidence.chance(OTHER, 0.9, limits) > 0.9
    evidence.forget()
    assert evidence.chance(SERVED, 0.99, limits) > 0.99
