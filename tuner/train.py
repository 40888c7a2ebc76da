"""Train a policy in the device model, or on a recorded trace: python -m tuner.train"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import yaml

from envs.errors import OptionError, StorageError, require_positive
from envs.files import parse_json, read_small
from envs.problems.draw import DrawOptions
from envs.problems.problem_batch import Pool
from envs.problems.world import SimulatedWorld, TraceWorld, World
from envs.traces.reader import Trace, find_trace, read_trace
from tuner.agents.export import bundle_of
from tuner.agents.training import (
    AgentOptions,
    Watch,
    make_env,
    make_model,
    resume_model,
    save_checkpoint,
)
from tuner.cli import run_command
from tuner.console import progress_bar
from tuner.evaluate import EvaluationOptions, evaluate, show, trace_cases
from tuner.evaluation.simulated import simulated_cases
from tuner.evaluation.tables import write_atomically
from tuner.options import plain, versions
from tuner.policy.bundle import save_bundle


@dataclass
class TrainCommand:
    """Options of python -m tuner.train.

    Attributes:
        trace: a recording to train on; None for the device model.
        draw: which problems to draw in the model. problems: how many. jobs: processes that draw them.
    """

    trace: Optional[str] = None
    run_dir: str = "runs/train"
    seed: int = 0
    problems: int = 240
    jobs: int = 2
    draw: DrawOptions = field(default_factory=DrawOptions)
    agent: AgentOptions = field(default_factory=AgentOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)


def main(options: TrainCommand) -> int:
    if options.seed < 0:
        raise OptionError(f"seed={options.seed} must not be below zero")
    require_positive("train", options, "problems", "jobs")
    trace = read_trace(find_trace(options.trace)) if options.trace else None
    run = Path(options.run_dir)
    print(what(options, trace))
    open_run(run, trace, options)
    try:
        bundle_path = train(world_of(options, trace), trace, options, run)
    except OSError as error:  # what TensorBoard writes meets a full disk too
        raise StorageError(
            f"cannot write into {run}: {error.strerror or error}; free some space and run the same command again to go on"
        ) from error
    given = options.evaluation
    # Small parts of spaces are for learning quickly; what is compared is whole.
    cases = (
        trace_cases(trace, given)
        if trace
        else simulated_cases(replace(options.draw, small_spaces=0.0), given.objectives, given.seed)
    )
    show(evaluate(cases, {"policy": bundle_path}, given, run))
    print(f"policy bundle: {bundle_path}")
    return 0


def what(options: TrainCommand, trace: Trace | None) -> str:
    """What is trained on, in a sentence."""
    if trace is None:
        boards = ", ".join(options.draw.boards or ["all boards that are not held out"])
        return f"training on {options.problems} problems in the device model (simulated): {boards}"
    served, machine = ", ".join(trace.space.workload.names), trace.space.device.name
    return f"training on {trace.path.name}: {len(trace.rows)} configurations of {served}, measured on {machine}, replayed"


def world_of(options: TrainCommand, trace: Trace | None) -> World:
    """The problems to train on, with a bar while they are drawn."""
    if trace is not None:
        return TraceWorld(trace, "train", options.problems, options.seed)
    kept = Path(options.run_dir) / "problems.npz"
    if kept.exists():  # a run that goes on, or is repeated, learns from what it drew
        return SimulatedWorld.of(Pool.load(str(kept)))
    with progress_bar("drawing problems", options.problems) as advance:
        world = SimulatedWorld(
            options.draw, options.problems, options.seed, options.jobs, lambda new: advance("", new)
        )
    world.pool.save(str(kept))
    return world


def open_run(run: Path, trace: Trace | None, options: TrainCommand) -> None:
    """Write what the run is, or, where there is one already, check that it is the same; OptionError if it is another."""
    source: dict[str, Any] = (
        {"trace_sha256": hashlib.sha256(trace.path.read_bytes()).hexdigest()}
        if trace
        else {"draw": options.draw}
    )
    identity = plain(
        source | {"problems": options.problems, "seed": options.seed, "agent": options.agent}
    )
    identity["agent"].pop("steps")  # a run may be made longer
    check_links(run)
    path = run / "run.json"
    if path.exists():
        try:
            known = parse_json(read_small(path))
        except (OSError, ValueError):
            known = None
        if known != identity:
            raise OptionError(
                f"{run} holds a training with another world, seed or agent: choose another run_dir, or repeat its own options (config.yaml there)"
            )
    # A complete Hydra configuration: --config-dir RUN --config-name config repeats the run.
    defaults = ["train_options", "_self_", {"override hydra/job_logging": "none"}]
    config = {
        "defaults": defaults,
        **plain(options),
        "hydra": {"run": {"dir": "."}, "output_subdir": None},
    }
    write_atomically(run / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    write_atomically(path, json.dumps(identity, indent=2) + "\n")


def check_links(run: Path) -> None:
    """OptionError where a link in the folder of a run leads out of it: what a run writes stays inside."""
    inside = run.resolve()
    for folder, folders, files in os.walk(run):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise OptionError(
                    f"{path} is a link out of the folder of the run: remove it, or choose another run_dir"
                )


def train(world: World, trace: Trace | None, options: TrainCommand, run: Path) -> Path:
    """Train, or go on with what `run` holds, and write the policy bundle."""
    checkpoint, bundle_path = run / "checkpoint.zip", run / "policy.bundle"
    env = make_env(world, options.agent, options.seed)
    resumed = checkpoint.exists()
    agent = (env, options.agent, options.seed, run / "tensorboard")
    model = resume_model(checkpoint, *agent) if resumed else make_model(*agent)
    done = model.num_timesteps
    began_s = time.perf_counter()
    try:
        if done < options.agent.steps:
            with progress_bar("training", options.agent.steps, completed=done) as advance:
                model.learn(
                    options.agent.steps - done,
                    callback=Watch(advance, checkpoint),
                    reset_num_timesteps=not resumed,
                )
    finally:  # Ctrl-C too: what was learned is kept, and the same run_dir goes on from here
        save_checkpoint(model, checkpoint)
        source = (
            {
                "name": trace.path.name,
                **{key: trace.metadata.get(key) for key in ("machine", "started", "versions")},
            }
            if trace
            else None
        )
        provenance = {
            **(
                {"trace": source}
                if trace
                else {"draw": plain(options.draw), "problems": options.problems}
            ),
            "origin": world.origin.value,
            "agent": plain(options.agent),
            "seed": options.seed,
            "versions": versions(),
            "command": shlex.join(["python", "-m", "tuner.train", *sys.argv[1:]]),
            "steps": model.num_timesteps,
            "training_s": round(time.perf_counter() - began_s, 1),
        }
        save_bundle(bundle_path, bundle_of(model, options.agent.budget, provenance))
        write_atomically(run / "provenance.json", json.dumps(provenance, indent=2) + "\n")
        print(
            f"\n{model.num_timesteps} steps; python -m tuner.train --config-dir {run} --config-name config goes on from here"
        )
    return bundle_path


if __name__ == "__main__":
    run_command("train", TrainCommand, main)
