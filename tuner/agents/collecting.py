"""PPO whose rollouts are made elsewhere, in shards that depend on nothing but weights and seed.

All episodes of an update begin and end with it, so that a shard of it is a function: of the weights
of the policy, the seed of the training, the number of the update and its own number. It does not
matter where it runs, or how often: a shard that was lost is made again, and is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from envs.arrays import BoolArray, Single
from envs.errors import OptionError
from tuner.agents.policy_net import CandidatePolicy
from tuner.agents.vec_env import SB3TuningVecEnv

#: Weights of a policy by name.
Weights = dict[str, Single]


class Shard(NamedTuple):
    """Name a part of the rollouts of one update.

    Attributes:
        update: updates of the policy before it.
        number: of the part.
        steps: of each of its rows.
    """

    update: int
    number: int
    steps: int


@dataclass(frozen=True)
class Rollout:
    """N steps of B rows.

    Attributes:
        observations: [N, B, M, F].
        actions: [N, B].
        rewards, values, log_probs: [N, B].
        starts: [N, B], True where an episode begins.
        ends: [N, B], True where one ends.
        gains, broken: [N, B], of an episode that ends there: its gain, and the share of its
            measurements that broke a limit; NaN elsewhere.
    """

    observations: Single
    actions: np.ndarray
    rewards: Single
    values: Single
    log_probs: Single
    starts: BoolArray
    ends: BoolArray
    gains: Single
    broken: Single

    @classmethod
    def joined(cls, parts: Sequence[Rollout]) -> Rollout:
        """Return the rows of all parts side by side, in this order."""
        columns = ((getattr(part, each.name) for part in parts) for each in fields(cls))
        return cls(*(np.concatenate(list(column), axis=1) for column in columns))

    def infos(self, step: int) -> list[dict[str, Any]]:
        """Return what `Monitor` would tell of each row after a step."""
        length = 1 + step - int(np.flatnonzero(self.starts[: step + 1].any(axis=1))[-1])
        return [
            {"episode": {"r": float(gain), "l": length, "t": 0.0, "broke": float(broke)}}
            if ends
            else {}
            for ends, gain, broke in zip(
                self.ends[step], self.gains[step], self.broken[step], strict=True
            )
        ]


class Collector(Protocol):
    """Makes the rollouts of an update, in this process or elsewhere."""

    def collect(self, weights: Weights, update: int, steps: int) -> Rollout:
        """Return the rollouts of all rows, in the order of the shards.

        Args:
            weights: of the policy.
            update: updates before this one.
            steps: of each row.
        """
        ...


class Roller:
    """Makes shards with an environment and a policy of its own.

    Args:
        env: rows of one shard.
        hidden: width of the policy.
        seed: of the training.
    """

    def __init__(self, env: SB3TuningVecEnv, hidden: int, seed: int) -> None:
        self._env, self._seed = env, seed
        spaces = (env.observation_space, env.action_space)
        self._policy = CandidatePolicy(*spaces, lambda _: 0.0, hidden=hidden)
        self._policy.set_training_mode(False)

    def roll(self, weights: Mapping[str, Single], shard: Shard) -> Rollout:
        """Make one shard, the same whatever was made before."""
        self._policy.load_state_dict(
            {name: torch.from_numpy(np.array(values)) for name, values in weights.items()}
        )
        numbers = np.random.SeedSequence([self._seed, shard.update, shard.number])
        for_env, for_actions = (int(each) for each in numbers.generate_state(2))
        self._env.seed(for_env)
        observations: Any = self._env.reset()
        starts = np.ones(self._env.num_envs, dtype=bool)
        steps = []
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(for_actions)
            for _ in range(shard.steps):
                chosen = self._policy(torch.as_tensor(observations))
                actions, values, log_probs = (each.numpy().reshape(-1) for each in chosen)
                seen, rewards, ends, infos = self._env.step(actions)
                told = [
                    [info["episode"][key] if "episode" in info else np.nan for info in infos]
                    for key in ("r", "broke")
                ]
                row = (observations, actions, rewards, values, log_probs, starts, ends, *told)
                steps.append(row)
                observations, starts = seen, ends
        return Rollout(*(_stacked(column) for column in zip(*steps, strict=True)))


def _stacked(column: Sequence[Any]) -> np.ndarray:
    values = np.stack([np.asarray(each) for each in column])
    return values.astype(np.float32) if values.dtype == np.float64 else values


class CollectingPPO(PPO):
    """PPO that asks a collector for the rollouts of each update.

    Attributes:
        collector: makes them; to be set before `learn`.
    """

    collector: Collector

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the buffer with the rollouts of an update; False where a callback stops it."""
        rollout_buffer.reset()
        callback.on_rollout_start()
        update = self.num_timesteps // (n_rollout_steps * env.num_envs)
        weights = {name: each.numpy() for name, each in self.policy.state_dict().items()}
        rollout = self.collector.collect(weights, update, n_rollout_steps)
        for step in range(n_rollout_steps):
            infos = rollout.infos(step)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, rollout.ends[step])
            rollout_buffer.add(
                rollout.observations[step],
                rollout.actions[step][:, None],
                rollout.rewards[step],
                rollout.starts[step].astype(np.float32),
                torch.from_numpy(rollout.values[step]),
                torch.from_numpy(rollout.log_probs[step]),
            )
        # All episodes of an update end with it, so nothing comes after the last step.
        rollout_buffer.compute_returns_and_advantage(
            last_values=torch.zeros(env.num_envs), dones=rollout.ends[-1].astype(np.float32)
        )
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True


def rows_of_shard(rows: int, shards: int) -> int:
    """Return how many rows each shard has.

    Raises:
        OptionError: the rows do not divide evenly.
    """
    if rows % shards:
        raise OptionError(f"agent.envs={rows} must be a multiple of the {shards} shards")
    return rows // shards
