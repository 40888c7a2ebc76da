"""Train a policy on a recorded trace: python -m tuner.train trace=resnet50"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from envs.errors import StorageError
from envs.traces.reader import Trace, find_trace, read_trace
from envs.world import TraceWorld
from tuner.agents.export import bundle_of
from tuner.agents.training import AgentOptions, Watch, make_env, make_model, resume_model, save_checkpoint
from tuner.cli import run_command
from tuner.console import progress_bar
from tuner.evaluate import EvaluationOptions, evaluate, show
from tuner.options import versions
from tuner.policy.bundle import save_bundle


@dataclass
class TrainCommand:
    """Options of python -m tuner.train."""

    trace: str = "resnet50"
    run_dir: str = "runs/train"
    seed: int = 0
    agent: AgentOptions = field(default_factory=AgentOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)


def main(options: TrainCommand) -> int:
    trace = read_trace(find_trace(options.trace))
    run = Path(options.run_dir)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the run directory {run}: {error.strerror}; choose another with run_dir=") from error
    machine = trace.metadata.get("machine", {}).get("name", "an unnamed computer")
    print(f"training on {trace.path.name}: {len(trace.rows)} configurations of {', '.join(trace.space.workload.names)}, measured on {machine}, replayed")
    bundle_path = train(trace, options, run)
    report = evaluate(trace, {"policy": bundle_path}, options.evaluation, run)
    show(report)
    print(f"policy bundle: {bundle_path}")
    return 0


def train(trace: Trace, options: TrainCommand, run: Path) -> Path:
    """Train, or go on with what `run` holds, and write the policy bundle."""
    checkpoint, bundle_path = run / "checkpoint.zip", run / "policy.bundle"
    world = TraceWorld(trace)
    env = make_env(world, options.agent, options.seed)
    resumed = checkpoint.exists()
    model = resume_model(checkpoint, env, options.agent) if resumed else make_model(env, options.agent, options.seed, run / "tensorboard")
    done = model.num_timesteps
    provenance = {
        "trace": {"name": trace.path.name, **{key: trace.metadata.get(key) for key in ("machine", "started", "versions")}},
        "origin": world.origin.value,
        "agent": asdict(options.agent),
        "seed": options.seed,
        "versions": versions(),
        "command": shlex.join(["python", "-m", "tuner.train", *sys.argv[1:]]),
    }
    began_s = time.perf_counter()
    try:
        if done < options.agent.steps:
            with progress_bar("training", options.agent.steps, completed=done) as advance:
                model.learn(options.agent.steps - done, callback=Watch(advance, checkpoint), reset_num_timesteps=not resumed)
    finally:  # Ctrl-C too: what was learned is kept, and the same command goes on from here
        save_checkpoint(model, checkpoint)
        provenance |= {"steps": model.num_timesteps, "training_s": round(time.perf_counter() - began_s, 1)}
        save_bundle(bundle_path, bundle_of(model, trace.space, world.candidates, options.agent.budget, provenance))
        (run / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")
        print(f"\n{model.num_timesteps} steps; checkpoint: {checkpoint}")
    return bundle_path


if __name__ == "__main__":
    run_command("train", TrainCommand, main)
