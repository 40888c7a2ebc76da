"""Play episodes of tuning with a chosen tuner, and keep all of what was observed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from envs.arrays import BoolArray, FloatArray, Floats, Rows, Single
from envs.belief.features import ALLOWED
from envs.errors import OptionError
from envs.problems.world import World
from envs.tuning_env import TuningVectorEnv
from tuner.policy.bundle import Bundle
from tuner.policy.forward import NumpyPolicy
from tuner.search.expected_gain import rule_choices

#: Tuners that can play: a policy bundle, the rule without training, and chance.
TUNERS = ("policy", "expected_gain", "random")

#: Episodes that are played side by side.
ROWS = 256

#: Returns the choices [B] for observations [B, P, F].
Decide = Callable[[Single], Rows]


@dataclass(frozen=True)
class Episode:
    """One episode: a reset, then a step for each further measurement.

    Attributes:
        seed: `reset(seed=seed)` of the environment starts the same episode.
        observations: [budget, P, F].
        actions: [budget - 1], which proposal was chosen.
        rewards: [budget - 1].
        infos: arrays [budget, ...] by name: `action_mask` (proposals that may be chosen), and of
            each measurement `score`, `kept` (no limit broken), `failed`, and `share` (of the
            optimum, the best so far). The first is the default configuration's, at the reset.
    """

    seed: int
    observations: Single
    actions: Rows
    rewards: FloatArray
    infos: dict[str, Any]


def decider(tuner: str, bundle: Bundle | None = None, seed: int = 0) -> Decide:
    """Return what a tuner chooses.

    Args:
        tuner: one of `TUNERS`; `expected_gain` chooses the largest expected gain net of the risk.
        bundle: of `policy`.
        seed: of `random`.

    Raises:
        OptionError: there is no such tuner, or the bundle is missing or has no meaning for it.
    """
    if tuner not in TUNERS or (tuner == "policy") != (bundle is not None):
        raise OptionError(
            f"tuner={tuner!r} must be one of {', '.join(TUNERS)}, and policy alone has a bundle"
        )
    if bundle is not None:
        return partial(_best, NumpyPolicy(bundle).scores)
    if tuner == "expected_gain":
        return rule_choices
    chance = np.random.default_rng(seed)
    return partial(_best, lambda observations: chance.random(observations.shape[:2]))


def masks_of(observations: Single) -> BoolArray:
    """Return the proposals that may be chosen, [..., P], of observations [..., P, F]."""
    return np.asarray(observations[..., ALLOWED] > 0.5)


def _best(scores: Callable[[Single], Floats], observations: Single) -> Rows:
    allowed = np.where(masks_of(observations), scores(observations), -np.inf)
    return np.asarray(allowed.argmax(axis=1))


def play(
    world: World, decide: Decide, seeds: Sequence[int], budget: int, risk: str = "balanced"
) -> Iterator[Episode]:
    """Play one episode for each seed, and yield them in this order.

    Each is the one that `TuningEnv` gives after `reset(seed=seed)` and the same actions, to the
    bit.
    """
    for first in range(0, len(seeds), ROWS):
        yield from _play_together(world, decide, seeds[first : first + ROWS], budget, risk)


def _play_together(
    world: World, decide: Decide, seeds: Sequence[int], budget: int, risk: str
) -> Iterator[Episode]:
    env = TuningVectorEnv(len(seeds), world, budget, risk=risk)
    observation, _ = env.reset(seed=seeds)
    started = env.episodes
    facts = {
        "score": [np.exp(started.log_score[:, 0])],
        "kept": [started.kept[:, 0]],
        "failed": [np.zeros(len(seeds), dtype=bool)],
        "share": [started.share()],
    }
    observations, actions, rewards = [observation], [], []
    ended = np.zeros(len(seeds), dtype=bool)
    while not ended.all():
        action = decide(observation)
        observation, reward, ended, _, told = env.step(action)
        observations.append(told["final_obs"] if ended.all() else observation)
        actions.append(action)
        rewards.append(reward)
        told["kept"] = told["violation"] <= 0
        for name, values in facts.items():
            values.append(told[name])
    for row, seed in enumerate(seeds):
        seen = np.stack([each[row] for each in observations])
        infos = {name: np.array([each[row] for each in values]) for name, values in facts.items()}
        yield Episode(
            seed,
            seen,
            np.array([each[row] for each in actions]),
            np.array([each[row] for each in rewards]),
            {"action_mask": masks_of(seen), **infos},
        )
