"""Measure which features a policy looks at: how much worse it gets when one is shuffled."""

from dataclasses import dataclass

import numpy as np

from envs.arrays import BoolArray, FloatArray, Rows, Single
from envs.belief.features import ALLOWED, CANDIDATE_FEATURES, FEATURES
from envs.tuning_env import TuningVectorEnv
from tuner.evaluation.bootstrap import interval
from tuner.policy.forward import NumpyPolicy

#: Episodes side by side, for each feature.
EPISODES = 512


@dataclass(frozen=True)
class Importance:
    """Hold what a policy loses without the right values of a feature.

    Attributes:
        feature: its name.
        lost: gain per episode that is lost, a share of the optimum; the mean over episodes.
        low, high: the 95 % bootstrap interval of the mean.
        changed: share of the choices that differ from those of the policy that sees it right.
    """

    feature: str
    lost: float
    low: float
    high: float
    changed: float


def permutation_importance(
    policy: NumpyPolicy, env: TuningVectorEnv, seed: int = 0
) -> list[Importance]:
    """Return the importance of every feature but the mask, the largest first.

    For each feature the policy plays the same episodes, with the same noise, and sees at every
    decision that feature shuffled: among all proposals of all episodes that may be chosen, or among
    episodes where all proposals have it in common (Breiman 2001, "Random Forests", section 10). A
    feature that others repeat loses little, although the policy may use it.

    Args:
        policy: chooses the proposal with the largest score.
        env: the episodes, EPISODES or so, with `shared_noise`.
        seed: of problems, noise and shuffling.
    """
    whole, _ = _play(policy, env, seed, None)
    found = []
    for feature, name in enumerate(FEATURES):
        if feature == ALLOWED:
            continue
        without, changed = _play(policy, env, seed, feature)
        mean, low, high = interval((whole - without)[:, None, None])
        found.append(Importance(name, float(mean[0]), float(low[0]), float(high[0]), changed))
    return sorted(found, key=lambda each: -each.lost)


def _play(
    policy: NumpyPolicy, env: TuningVectorEnv, seed: int, feature: int | None
) -> tuple[FloatArray, float]:
    """Return the gain of each episode, [B], and the share of the choices that shuffling changed."""
    rng = np.random.default_rng(seed)
    observations, _ = env.reset(seed=seed)
    gains, changed, ended = np.zeros(env.num_envs), [], False
    while not ended:
        choices = policy.scores(observations).argmax(axis=1)
        if feature is not None:
            seen = shuffled(observations, feature, rng)
            right, choices = choices, policy.scores(seen).argmax(axis=1)
            changed.append(float((choices != right).mean()))
        observations, rewards, terminated, _, _ = env.step(choices)
        gains += rewards
        ended = bool(terminated.all())
    return gains, float(np.mean(changed)) if changed else 0.0


def shuffled(observations: Single, feature: int, rng: np.random.Generator) -> Single:
    """Return a copy of observations [B, P, F] with one feature shuffled.

    Candidates that may not be chosen keep their values.
    """
    result = observations.copy()
    if FEATURES[feature] in CANDIDATE_FEATURES:
        allowed: BoolArray = observations[:, :, ALLOWED] > 0.5
        result[allowed, feature] = rng.permutation(observations[allowed, feature])
    else:
        order: Rows = rng.permutation(len(observations))
        result[:, :, feature] = observations[order, :, feature]
    return result
