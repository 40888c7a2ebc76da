"""Checkpoints of a training: written in one step, and resumed without unpickling."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.save_util import load_from_zip_file

from envs.errors import StorageError, TraceError, one_line
from envs.files import parse_json, replacing
from tuner.agents.agent_options import AgentOptions
from tuner.agents.collecting import Collector
from tuner.agents.training import make_model
from tuner.agents.vec_env import SB3TuningVecEnv

#: A checkpoint has some hundred KB.
MAX_CHECKPOINT_BYTES = 1 << 28


def resume_model(
    checkpoint: Path,
    env: SB3TuningVecEnv,
    options: AgentOptions,
    seed: int = 0,
    tensorboard: Path | None = None,
    collector: Collector | None = None,
) -> PPO:
    """Go on from the weights, the optimiser and the count of steps of a checkpoint.

    Everything else comes from the options. `PPO.load` would unpickle the rest of the file, which
    runs whatever its writer wanted; of the weights torch takes tensors alone.

    Raises:
        TraceError: it is damaged, or of another agent.
    """
    model = make_model(env, options, seed, tensorboard, collector)
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_CHECKPOINT_BYTES:
                raise ValueError(f"it claims more than {MAX_CHECKPOINT_BYTES:,} bytes")
            told = parse_json(archive.read("data"))
        steps, updates = told["num_timesteps"], told["_n_updates"]
        if not all(type(count) is int and 0 <= count < 2**53 for count in (steps, updates)):
            raise ValueError("its counts are no whole numbers")
        _, parameters, _ = load_from_zip_file(checkpoint, load_data=False, device="cpu")
        model.set_parameters(parameters, exact_match=True, device="cpu")
        if not all(torch.isfinite(weights).all() for weights in model.policy.parameters()):
            raise ValueError("its weights are not finite")
    except (
        Exception
    ) as error:  # what a damaged file ends in, by where the damage is, has no common base
        raise TraceError(
            f"{checkpoint} cannot be resumed here ({one_line(error)}): it is damaged or of another"
            " training; choose another run_dir"
        ) from error
    model.num_timesteps, model._n_updates = steps, updates
    return model


def save_checkpoint(model: Any, path: Path) -> None:
    """Save in one step, so that an interruption leaves the previous checkpoint.

    Raises:
        StorageError: the disk is full.
    """
    remedy = "free some space and run the same command again to go on"
    try:
        with replacing(path, remedy) as file:
            model.save(file)
    except RuntimeError as error:  # torch reports a full disk so
        raise StorageError(f"cannot write {path}: the disk is full; {remedy}") from error
