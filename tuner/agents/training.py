"""PPO of stable-baselines3 on a world: made, resumed, watched and saved."""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from envs.episode import RewardOptions
from envs.errors import OptionError, StorageError, TraceError, require_positive
from envs.tuning_env import TuningVectorEnv
from envs.world import World
from tuner.agents.policy_net import CandidatePolicy
from tuner.agents.vec_env import SB3TuningVecEnv


@dataclass
class AgentOptions:
    """PPO and its environment.

    Attributes:
        steps: environment steps of the whole training. envs: episodes side by side.
        budget: measurements of an episode, the default configuration's included.
        episodes_per_update: of each environment, between two updates.
        price: what a measurement that breaks a limit costs, as a share of the optimum's throughput.
        changes: share of episodes in which conditions change on the way.
        gamma: discount of a measurement; low, because an answer after three is worth more than the same after eight.
        threads: of torch.
    """

    steps: int = 300_000
    envs: int = 512
    budget: int = 8
    episodes_per_update: int = 2
    batch_size: int = 1792
    epochs: int = 4
    learning_rate: float = 1e-3
    entropy: float = 0.003
    gamma: float = 0.7
    gae_lambda: float = 0.95
    hidden: int = 32
    price: float = 0.06
    changes: float = 0.0
    threads: int = 1

    def __post_init__(self) -> None:
        require_positive("agent", self, "steps", "envs", "episodes_per_update", "epochs", "learning_rate", "hidden", "threads")
        if self.batch_size < 2:
            raise OptionError(f"agent.batch_size={self.batch_size} must be at least 2")
        if self.budget < 2:  # said before problems are drawn, which takes minutes
            raise OptionError(f"agent.budget={self.budget} must be at least 2: the first measurement is the default configuration's")
        for key in ("changes", "gamma", "gae_lambda"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise OptionError(f"agent.{key}={getattr(self, key)} must lie in 0..1")


def make_env(world: World, options: AgentOptions, seed: int) -> SB3TuningVecEnv:
    """The training environment; all its rows draw from one generator."""
    reward = RewardOptions(price=options.price)
    env = TuningVectorEnv(options.envs, world, options.budget, reward=reward, changes=options.changes, shared_noise=True)
    return SB3TuningVecEnv(env, seed)


def make_model(env: VecEnv, options: AgentOptions, seed: int, tensorboard: Path | None) -> PPO:
    """A fresh agent; its learning rate falls to zero over the training."""
    torch.set_num_threads(options.threads)
    return PPO(
        CandidatePolicy,
        env,
        learning_rate=LinearSchedule(options.learning_rate),
        n_steps=(options.budget - 1) * options.episodes_per_update,
        batch_size=options.batch_size,
        n_epochs=options.epochs,
        gamma=options.gamma,
        gae_lambda=options.gae_lambda,
        ent_coef=options.entropy,
        policy_kwargs={"hidden": options.hidden},
        seed=seed,
        tensorboard_log=None if tensorboard is None else str(tensorboard),
        device="cpu",
    )


class LinearSchedule:
    """From `start` to zero. A class and not a lambda, so that a saved model can be loaded anywhere."""

    def __init__(self, start: float) -> None:
        self.start = start

    def __call__(self, remaining: float) -> float:
        return self.start * remaining


def resume_model(checkpoint: Path, env: SB3TuningVecEnv, options: AgentOptions) -> PPO:
    """Go on from a checkpoint of a run directory of one's own; TraceError if it is damaged or of another world."""
    torch.set_num_threads(options.threads)
    try:
        return PPO.load(checkpoint, env, device="cpu")
    except DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TraceError(f"{checkpoint} cannot be resumed here ({reason}): it is damaged or of another training; choose another run_dir") from error


#: What reading a damaged checkpoint raises, by where the damage is.
DAMAGE = (ValueError, KeyError, OSError, EOFError, RuntimeError, AttributeError, AssertionError, zlib.error, pickle.UnpicklingError, zipfile.BadZipFile)


class Watch(BaseCallback):
    """Moves the progress bar and saves a checkpoint now and then."""

    def __init__(self, advance: Callable[..., None], checkpoint: Path, every: int = 50) -> None:
        super().__init__()
        self._advance = advance
        self._checkpoint = checkpoint
        self._every = every
        self._shown = 0
        self._rollouts = 0

    def _on_training_start(self) -> None:
        self._shown = self.num_timesteps

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        returns = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        gain = f"gain per episode {sum(returns) / len(returns):.2f}" if returns else ""
        self._advance(gain, self.num_timesteps - self._shown)
        self._shown = self.num_timesteps
        self._rollouts += 1
        if self._rollouts % self._every == 0:
            save_checkpoint(self.model, self._checkpoint)


def save_checkpoint(model: Any, path: Path) -> None:
    """In one step, so that an interruption leaves the previous one; StorageError if the disk is full."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            model.save(file)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}: {getattr(error, 'strerror', None) or 'the disk is full'}; free some space and run the same command again to go on"
        ) from error
