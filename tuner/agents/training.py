"""A fresh agent, PPO of stable-baselines3, and the environment that it trains in."""

import math
from pathlib import Path

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from envs.problems.world import World
from envs.tuning_env import TuningVectorEnv
from tuner.agents.agent_options import ANY_RISK, REFERENCE, SCRATCH, AgentOptions
from tuner.agents.collecting import CollectingPPO, Collector
from tuner.agents.export import start_from
from tuner.agents.policy_net import CandidatePolicy
from tuner.agents.vec_env import SB3TuningVecEnv
from tuner.folders import reference_bundle
from tuner.policy.bundle import Bundle, load_bundle


def make_env(
    world: World, options: AgentOptions, seed: int, rows: int | None = None
) -> SB3TuningVecEnv:
    """Make the training environment; all its rows draw from one generator.

    Args:
        world: whose problems are tuned.
        options: of the agent.
        seed: of the draws.
        rows: episodes side by side; None for those of the options.
    """
    env = TuningVectorEnv(
        rows or options.envs,
        world,
        options.budget,
        changes=options.changes,
        risk=None if options.risk == ANY_RISK else options.risk,
        budget_s=None if options.timed else math.inf,
        builds=options.builds,
        shared_noise=True,
    )
    return SB3TuningVecEnv(env, seed)


def make_model(
    env: VecEnv,
    options: AgentOptions,
    seed: int,
    tensorboard: Path | None,
    collector: Collector | None = None,
) -> PPO:
    """Make a fresh agent, whose learning rate falls to zero over the training.

    Args:
        env: has the spaces and the rows, and makes the rollouts unless a collector does.
        options: of the agent.
        seed: of weights, actions and batches.
        tensorboard: folder of its logs.
        collector: makes the rollouts elsewhere.
    """
    torch.set_num_threads(options.threads)
    bundle = starting_bundle(options)
    model = (CollectingPPO if collector else PPO)(
        CandidatePolicy,
        env,
        learning_rate=LinearSchedule(options.learning_rate),
        n_steps=(options.budget - 1) * options.episodes_per_update,
        batch_size=options.batch_size,
        n_epochs=options.epochs,
        gamma=options.gamma,
        gae_lambda=options.gae_lambda,
        ent_coef=options.entropy,
        policy_kwargs={"hidden": width_of(options, bundle)},
        seed=seed,
        tensorboard_log=None if tensorboard is None else str(tensorboard),
        device="cpu",
    )
    if bundle:
        start_from(model, bundle)
    if isinstance(model, CollectingPPO) and collector:
        model.collector = collector
    return model


def starting_bundle(options: AgentOptions) -> Bundle | None:
    """Return the policy to start from; None for none."""
    if options.start is None or options.start == SCRATCH:
        return None
    named = options.start == REFERENCE
    return load_bundle(reference_bundle() if named else Path(options.start))


def width_of(options: AgentOptions, bundle: Bundle | None) -> int:
    """Return the width of the policy: that of the one to start from, or the option."""
    return bundle.weights["first.bias"].size if bundle else options.hidden


class LinearSchedule:
    """A learning rate that falls from `start` to zero."""

    def __init__(self, start: float) -> None:
        self.start = start

    def __call__(self, remaining: float) -> float:
        return self.start * remaining
