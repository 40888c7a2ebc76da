"""Tuning with knobs as actions: the environments for agents that bring their own idea of a space.

`envs.tuning_env` has the environments whose actions are proposals of the device model.
"""

from __future__ import annotations

from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from envs.arrays import BoolArray, Rows
from envs.base_env import Observation, SingleEnv, Tuning, box
from envs.knobs_episode import KnobEpisodes
from envs.knobs_features import BOUND
from envs.spec import Configuration, Failure
from envs.tuning_env import TuningVectorEnv


class KnobTuning(Tuning):
    """The same world, draws and reward with knobs as actions."""

    kind = KnobEpisodes

    def _spaces(self) -> tuple[gym.Space[Observation], gym.Space[Any]]:
        episodes = cast(KnobEpisodes, self.episodes)
        actions = gym.spaces.MultiDiscrete(episodes.layout.sizes)
        return box(BOUND, (len(episodes.features),)), actions


class KnobsEnv(SingleEnv[npt.NDArray[np.int64]]):
    """One episode of tuning in which an action sets every knob.

    An action is `MultiDiscrete`: for each tenant in order, and for each of its accelerators in
    order, the number of instances (0 to the most) and the index of the batch size
    (`envs.spec.knob_layout`). `action_of(configuration)` and `configuration_of(action)` translate.

    An invalid combination is a failure: `info["failure"]` has its kind and reason, nothing is
    applied, the measurement is used up, and the reward has the price of a broken limit. So is one
    that a trace does not hold, or that a device cannot serve. `action_masks()` marks the options
    that may be part of a valid configuration, number by number.

    An observation [F] is a `Box` of numbers that `feature_names` names. It holds five measurements
    (the default's, the best one that kept the limits, the last three): whether it kept the limits
    or failed; logarithms of throughput, p99 and power over the default's and over the limits; and
    the knobs that were asked for, as shares of the most. Then come how much of the budget is used,
    the limits, what the default gave, and facts of the networks and of the space. World, budget,
    reward, and options of `reset` are those of `TuningEnv`. Where a simulated world is given as an
    object, it must have been drawn with `whole=True`.

    >>> import gymnasium
    >>> env = gymnasium.make("envs:Tuning-v0", world="resnet50", actions="knobs")
    >>> env.action_space  # instances and batch on cpu_fp32, then on cpu_int8
    MultiDiscrete([5 4 5 4])
    >>> observation, info = env.reset(seed=0)
    >>> action = env.unwrapped.action_of(info["space"].default())
    >>> observation, reward, terminated, truncated, info = env.step(action)
    >>> sorted(info)
    ['failed', 'failure', 'score', 'share', 'spent_s', 'violation']
    >>> env.step(0 * action)[4]["failure"].kind.value  # no instance of anything
    'invalid'
    """

    kind = KnobTuning

    @property
    def episodes(self) -> KnobEpisodes:
        """Return the state of the episode, a batch of one."""
        return cast(KnobEpisodes, super().episodes)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Return the names [F] of what an observation holds."""
        return self.episodes.features

    def action_masks(self) -> BoolArray:
        """Return the options that may be part of a valid configuration.

        The options of each number of an action follow one another, the convention of sb3-contrib.
        """
        return self.episodes.masks(0)

    def action_of(self, configuration: Configuration) -> Rows:
        """Return the action [2 K] that asks for a configuration of the problem at hand."""
        return self.episodes.layout.action(self.spec_of_problem.space, configuration)

    def configuration_of(self, action: npt.NDArray[np.int64]) -> Configuration | Failure:
        """Return the configuration that an action asks for, or why it is invalid."""
        return self.episodes.layout.configuration(self.spec_of_problem.space, action)

    def describe(self, slot: int) -> str:
        """Return what was asked for as text, slot 0 being the default."""
        asked = self.episodes.asked[0][slot]
        if isinstance(asked, Failure):
            return f"{asked.kind.value}, {asked.reason}"
        return self.spec_of_problem.space.describe(asked)


class KnobsVectorEnv(TuningVectorEnv):
    """Many episodes in step, each row the same as a `KnobsEnv` with that row's seed."""

    kind = KnobTuning

    def action_masks(self) -> BoolArray:
        """Return what `KnobsEnv.action_masks` does of each row, [B, ...]."""
        episodes = cast(KnobEpisodes, self.episodes)
        return np.stack([episodes.masks(row) for row in range(self.num_envs)])
