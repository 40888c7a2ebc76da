"""Permutation importance: a policy that looks at one feature alone loses by that one alone."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from envs.belief.features import ALLOWED, CANDIDATE_FEATURES, FEATURES
from envs.problems.simulated_world import SimulatedWorld
from envs.tuning_env import TuningVectorEnv
from tuner.evaluation.feature_words import FEATURE_WORDS, words_of
from tuner.evaluation.importance import Importance, permutation_importance, shuffled
from tuner.evaluation.learning_plot import SHOWN, learning_plot
from tuner.policy.bundle import TRUSTED, Bundle
from tuner.policy.forward import NumpyPolicy

ACQUISITION = FEATURES.index("acquisition")


def test_a_policy_that_looks_at_one_feature_loses_by_that_alone(
    simulated_world: SimulatedWorld, bundle: Bundle
) -> None:
    weights = {name: np.zeros_like(array) for name, array in bundle.weights.items()}
    weights["trust"][TRUSTED.index(ACQUISITION)] = 1.0
    env = TuningVectorEnv(64, simulated_world, 4, shared_noise=True)
    first, *others = permutation_importance(NumpyPolicy(replace(bundle, weights=weights)), env)
    assert first.feature == "acquisition"
    assert first.changed > 0.5
    assert first.lost > first.low > 0.02
    assert first.low < first.lost < first.high
    assert all((each.lost, each.low, each.high, each.changed) == (0, 0, 0, 0) for each in others)
    assert {each.feature for each in others} == set(FEATURES) - {"allowed", "acquisition"}


@pytest.mark.parametrize("name", ["net_gain", "left"])
def test_shuffling_keeps_the_values_the_mask_and_every_other_feature(name: str) -> None:
    rng, feature = np.random.default_rng(0), FEATURES.index(name)
    observations = rng.random((20, 6, len(FEATURES)), dtype=np.float32)
    observations[:, :, ALLOWED] = rng.random((20, 6)) > 0.3
    if name not in CANDIDATE_FEATURES:
        observations[:, :, feature] = observations[:, :1, feature]
    before = observations.copy()
    after = shuffled(observations, feature, rng)
    assert (observations == before).all()
    allowed = observations[:, :, ALLOWED] > 0.5
    assert not (after[allowed, feature] == before[allowed, feature]).all()
    rest = np.arange(len(FEATURES)) != feature
    assert (after[:, :, rest] == before[:, :, rest]).all()
    if name in CANDIDATE_FEATURES:
        assert (after[~allowed] == before[~allowed]).all()
        assert (np.sort(after[allowed, feature]) == np.sort(before[allowed, feature])).all()
    else:
        assert (after[:, :, feature] == after[:, :1, feature]).all(), "still in common"
        assert (np.sort(after[:, 0, feature]) == np.sort(before[:, 0, feature])).all()


def test_every_feature_has_words_of_its_own() -> None:
    assert set(FEATURES) == set(FEATURE_WORDS), "envs.belief.features and FEATURE_WORDS differ"
    assert len(set(FEATURE_WORDS.values())) == len(FEATURE_WORDS)
    assert words_of("net_gain") == "expected gain, net of the risk"


@pytest.mark.parametrize("updates", [0, 1, 3, 500])
def test_the_plot_names_the_most_important_features_in_words(updates: int) -> None:
    curve = np.tile(np.arange(1, updates + 1, dtype=np.float64)[:, None], (1, 5)) / 1000
    importances = [Importance(name, 0.1, 0.05, 0.2, 0.3) for name in FEATURES[1 : SHOWN + 3]]
    svg = learning_plot(curve, importances)
    shown = [words_of(each.feature) in svg for each in importances]
    assert shown == [True] * SHOWN + [False] * 2
    assert ("not recorded" in svg) == (updates == 0)
    assert bool(re.search(r"gain per episode, \d", svg)) == (updates > 0)
