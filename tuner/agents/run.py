"""The folder of a training run: what the run is, its checkpoint, and the bundle it ends in."""

import json
import os
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from envs.errors import OptionError
from envs.files import parse_json, read_small, write_text
from envs.problems.world import World
from tuner.agents.agent_options import AgentOptions
from tuner.agents.checkpoint import resume_model, save_checkpoint
from tuner.agents.collecting import Collector
from tuner.agents.export import bundle_of
from tuner.agents.learning_curve import FILE, LearningCurve
from tuner.agents.progress import Watch
from tuner.agents.sources import ProblemSource, is_live
from tuner.agents.training import make_env, make_model
from tuner.console import progress_bar
from tuner.options import plain
from tuner.policy.bundle import save_bundle
from tuner.versions import versions

#: Updates between two checkpoints; on a device that takes seconds for a step, every one is kept.
UPDATES_PER_CHECKPOINT = 50


def open_run(run: Path, identity: dict[str, Any], options: Any, config_name: str) -> None:
    """Write what the run is, or check that the folder holds the same one.

    Args:
        run: the folder.
        identity: what must be equal for the run to go on.
        options: all options, a dataclass; written as a Hydra configuration that repeats the run.
        config_name: of the command, as `tuner.cli.run_command` takes it.

    Raises:
        OptionError: the folder holds another run, or a link that leads out of it.
    """
    check_links(run)
    path = run / "run.json"
    if path.exists():
        try:
            known = parse_json(read_small(path))
        except (OSError, ValueError):
            known = None
        if known != identity:
            raise OptionError(
                f"{run} holds a training with another world, seed or agent: choose another"
                " run_dir, or repeat its own options (config.yaml there)"
            )
    config = {
        # Hydra would configure logging anew, and so close the streams of other packages' handlers.
        "defaults": [
            f"{config_name}_options",
            "_self_",
            {"override hydra/job_logging": "none"},
            {"override hydra/hydra_logging": "none"},
        ],
        **plain(options),
        "hydra": {"run": {"dir": "."}, "output_subdir": None},
    }
    write_text(run / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    write_text(path, json.dumps(identity, indent=2) + "\n")


def check_links(run: Path) -> None:
    """Refuse a folder with a link that leads out of it: what a run writes stays inside.

    Raises:
        OptionError: there is such a link.
    """
    inside = run.resolve()
    for folder, folders, files in os.walk(run):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise OptionError(
                    f"{path} is a link out of the folder of the run: remove it, or choose another"
                    " run_dir"
                )


def train_in(
    run: Path,
    world: World,
    source: ProblemSource,
    agent: AgentOptions,
    seed: int,
    command: str,
    collector: Collector | None = None,
) -> Path:
    """Train, or go on with what the folder holds, and write the policy bundle.

    Args:
        run: the folder.
        world: the problems.
        source: of the problems.
        agent: its options.
        seed: of the training.
        command: the module that was called, which the bundle tells.
        collector: makes the rollouts elsewhere; None to make them here.

    Returns:
        The path of the bundle. It is written after an interruption too, with what was learned.
    """
    checkpoint, bundle_path = run / "checkpoint.zip", run / "policy.bundle"
    env = make_env(world, agent, seed)
    resumed = checkpoint.exists()
    arguments = (env, agent, seed, run / "tensorboard", collector)
    model = resume_model(checkpoint, *arguments) if resumed else make_model(*arguments)
    done = model.num_timesteps
    began_s = time.perf_counter()
    try:
        if done < agent.steps:
            with progress_bar("training", agent.steps, completed=done) as advance:
                every = 1 if is_live(world) else UPDATES_PER_CHECKPOINT
                curve = LearningCurve(run / FILE, done)
                model.learn(
                    agent.steps - done,
                    callback=Watch(advance, curve, checkpoint, every),
                    reset_num_timesteps=not resumed,
                )
    finally:  # Ctrl-C too: what was learned is kept, and the same run_dir goes on from here
        save_checkpoint(model, checkpoint)
        provenance = {
            **source.provenance,
            "origin": world.origin.value,
            "agent": plain(agent),
            "seed": seed,
            "versions": versions(),
            "command": shlex.join(["python", "-m", command, *sys.argv[1:]]),
            "steps": model.num_timesteps,
            "training_s": round(time.perf_counter() - began_s, 1),
        }
        bundle = bundle_of(model, agent.budget, provenance)
        save_bundle(bundle_path, replace(bundle, twin=source.twin))
        write_text(run / "provenance.json", json.dumps(provenance, indent=2) + "\n")
    return bundle_path
