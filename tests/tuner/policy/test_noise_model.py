"""Noise is learned for each configuration, a little from others, and is never below the model."""

from __future__ import annotations

import numpy as np
import pytest

from envs.spec import Configuration
from tuner.policy.noise_model import CarriedError, NoiseModel
from tuner.policy.thresholds import DEFAULT_THRESHOLDS as DEFAULT

SERVED, OTHER = Configuration((((1, 1),),)), Configuration((((2, 1),),))
MODEL = np.array([1e-4, 1e-4], np.float32)
SURE = np.zeros(2, np.float32)


def served(noise_model: NoiseModel, error: np.ndarray) -> None:
    for each in error:
        noise_model.add(
            SERVED, each.astype(np.float32), SURE, noise_model.variance(MODEL, {SERVED: 0})[:, 0]
        )


def test_it_is_what_the_model_says_until_something_has_served() -> None:
    assert (NoiseModel(DEFAULT).variance(MODEL, {SERVED: 0, OTHER: 1}) == MODEL[:, None]).all()


def test_each_configuration_has_its_own_and_a_new_one_stands_between_others_and_the_model() -> None:
    noise_model = NoiseModel(DEFAULT)
    served(noise_model, np.array([0.1, 0.001]) * np.random.default_rng(0).standard_normal((200, 2)))
    own, other = np.sqrt(noise_model.variance(MODEL, {SERVED: 0, OTHER: 1})).T
    assert own[0] == pytest.approx(0.1, rel=0.35)
    assert other[0] == pytest.approx(np.sqrt(own[0] * 0.01), rel=0.1)
    assert own[1] == other[1] == pytest.approx(0.01), (
        "the second quantity scatters less than the model says"
    )


def test_a_disturbance_that_is_over_is_forgotten_and_one_burst_is_no_habit() -> None:
    noise_model = NoiseModel(DEFAULT)
    served(noise_model, np.zeros((20, 2)))
    served(noise_model, np.array([[1.0, 0.0]]))
    assert np.sqrt(noise_model.variance(MODEL, {SERVED: 0})[0, 0]) < 0.01 * DEFAULT.surprise_sigmas
    served(noise_model, 0.1 * np.ones((50, 2)))
    assert np.sqrt(noise_model.variance(MODEL, {SERVED: 0})[0, 0]) > 0.05
    served(noise_model, np.zeros((200, 2)))
    assert np.sqrt(noise_model.variance(MODEL, {SERVED: 0})[0, 0]) < 0.02


def test_what_was_not_measured_says_nothing_and_doubt_is_no_scatter() -> None:
    noise_model = NoiseModel(DEFAULT)
    noise_model.add(
        SERVED, np.array([np.nan, 0.3], np.float32), np.array([0.1, 0.1], np.float32), MODEL
    )
    assert np.allclose(noise_model.variance(MODEL, {SERVED: 0})[:, 0], MODEL), (
        "0.3 is what was doubted beforehand"
    )


def drifting(share: float, windows: int, seed: int = 0) -> np.ndarray:
    """[N], an AR(1) process of standard deviation 0.1."""
    rng, at = np.random.default_rng(seed), np.zeros(windows)
    for window in range(1, windows):
        at[window] = share * at[window - 1] + 0.1 * np.sqrt(1 - share**2) * rng.standard_normal()
    return at


@pytest.mark.parametrize("share", [0.0, 0.7])
def test_that_a_window_is_like_the_last_one_is_learned(share: float) -> None:
    carried, noise, left = CarriedError(DEFAULT), np.full(2, 0.01, np.float32), []
    process = drifting(share, 600)
    for error in process:
        left.append(error - np.broadcast_to(carried.expected, 2)[0])
        carried.add(np.array([error, np.nan], np.float32), noise)
    explained = 1 - np.var(left[100:]) / np.var(process[100:])
    assert explained == pytest.approx(share**2, abs=0.08), (
        "as much as a process of this kind can tell of itself"
    )
    assert np.broadcast_to(carried.expected, 2)[1] == 0.0, (
        "of what was never told, nothing is expected"
    )


def test_what_is_expected_fades_while_nothing_is_known_and_ends_with_the_device() -> None:
    carried, noise = CarriedError(DEFAULT), np.full(1, 0.01, np.float32)
    for error in drifting(0.8, 300):
        carried.add(np.array([error], np.float32), noise)
    carried.add(np.array([0.2], np.float32), noise)
    first = float(carried.expected[0])  # type: ignore[index]
    carried.skip()
    assert 0.1 < first < 0.2
    assert 0 < carried.expected < first
    carried.add(np.array([5.0], np.float32), noise)
    assert carried.expected < 0.9 * DEFAULT.surprise_sigmas * 0.1 + 1e-6, (
        "a burst counts as the farthest that is to be expected"
    )
    carried.forget()
    assert carried.expected == 0.0
