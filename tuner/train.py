"""Train a policy in the device model, on a recording, or on a device: python -m tuner.train."""

import contextlib
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional, Protocol

from envs.errors import DependencyError, OptionError, StorageError, require_positive
from envs.problems.draw_options import DrawOptions
from envs.problems.world import World
from envs.runtimes.protocol import check_objective
from tuner.cli import run_command
from tuner.device import open_device
from tuner.evaluate import EvaluationOptions, evaluate, show, trace_cases
from tuner.evaluation.simulated import simulated_cases
from tuner.objectives import asked, objective_of
from tuner.options import ServeOptions, plain
from tuner.policy.bundle import Bundle, load_bundle
from tuner.policy.forward import NumpyPolicy
from tuner.twin_report import show_twin, twin_sentence

try:
    from tuner.agents.agent_options import AgentOptions, on_twin
    from tuner.agents.collecting import Collector
    from tuner.agents.learning_curve import FILE, read_curve
    from tuner.agents.run import open_run, train_in
    from tuner.agents.sources import (
        DeviceProblems,
        DrawnProblems,
        ProblemSource,
        RecordedProblems,
    )
    from tuner.agents.training import make_env
    from tuner.agents.twin_problems import TwinProblems
    from tuner.evaluation.importance import EPISODES, permutation_importance
    from tuner.evaluation.learning_plot import learning_plot
except ModuleNotFoundError as error:  # the only module that imports torch, and it is a command
    print(f"error: {error.name} is not installed: pip install 'orin-tuner[train]'", file=sys.stderr)
    sys.exit(DependencyError.exit_code)

#: Without a runtime, problems are drawn in the device model, or limits on a recording.
MODEL = "model"


@dataclass(frozen=True)
class TrainCommand(ServeOptions):
    """Options of python -m tuner.train, beside those of the device.

    Attributes:
        runtime: `model` draws problems in the device model, or limits on the recording `trace`;
            every other runtime answers each step of the training itself.
        twin: with a trace, draw problems in a twin of the recorded device (simulated) instead: the
            device model, conditioned on the recording, over the whole space. `network` then names
            the ONNX files of the recorded networks, whose layers improve the model.
        p99_ms: with a runtime, the limit on latency to learn for [ms], or a list, one a network.
        power_w: with a runtime, the limit on power to learn for [W]. Without limits they are
            drawn around what the default configuration gives.
        goal: with a runtime or a trace, the goal to learn for: throughput (the default), energy or
            latency; for problems of the model see draw.goals.
        min_rate_ips: with a runtime or a trace, the least inferences a second, or a list, one a
            network; by default 0.95 of the arrivals where the goal is energy or latency.
        window_s: with a runtime, the length of a measurement [s].
        run_dir: the folder of the run; a stopped run continues in the same folder.
        seed: of everything that is drawn.
        problems: how many problems, or limits, to draw; at most 16 with a runtime.
        jobs: processes that draw problems.
        draw: which problems to draw in the model.
        agent: the agent.
        evaluation: how the result is compared.
    """

    runtime: str = MODEL
    twin: bool = False
    p99_ms: Any = None
    power_w: Optional[float] = None
    goal: Optional[str] = None
    min_rate_ips: Any = None
    window_s: float = 3.0
    run_dir: str = "runs/train"
    seed: int = 0
    problems: int = 240
    jobs: int = 2
    draw: DrawOptions = field(default_factory=DrawOptions)
    agent: AgentOptions = field(default_factory=AgentOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)


#: Limits of a training on a device: each takes a second to prepare, and few are ever seen.
MAX_DEVICE_PROBLEMS = 16


def main(options: TrainCommand) -> int:
    """Train, compare the policy with searches, and print where the bundle is."""
    with contextlib.ExitStack() as stack:
        source, bundle = train(options, stack)
    compare(source, options, bundle)
    print(f"policy bundle: {bundle}")
    return 0


class Rollouts(Protocol):
    """Make the rollouts of a training, here or elsewhere.

    Attributes:
        command: the module of the command.
        config_name: of its options, as `tuner.cli.run_command` takes it.
        identity: what must be equal for a run to go on.
    """

    command: str
    config_name: str
    identity: dict[str, Any]

    def source(self, options: Any, stack: contextlib.ExitStack) -> ProblemSource:
        """Return what to learn from; a device is closed with the stack."""
        ...

    def collector(
        self, source: ProblemSource, world: World, agent: AgentOptions, seed: int
    ) -> contextlib.AbstractContextManager[Collector | None]:
        """Return what makes the rollouts while the block lasts; None for PPO itself."""
        ...


class OwnRollouts:
    """Rollouts of PPO itself, in this process."""

    command = "tuner.train"
    config_name = "train"

    def __init__(self) -> None:
        self.identity: dict[str, Any] = {}

    def source(self, options: TrainCommand, stack: contextlib.ExitStack) -> ProblemSource:
        """Return what the options say to learn from."""
        return source_of(options, stack)

    def collector(
        self, source: ProblemSource, world: World, agent: AgentOptions, seed: int
    ) -> contextlib.AbstractContextManager[None]:
        """Return nothing: PPO makes them."""
        return contextlib.nullcontext()


def train(
    options: TrainCommand, stack: contextlib.ExitStack, rollouts: Rollouts | None = None
) -> tuple[ProblemSource, Path]:
    """Train, or go on with the run in `run_dir`.

    Args:
        options: all of them.
        stack: closes the device, where there is one.
        rollouts: makes them; None for PPO itself.

    Returns:
        What was learned from, and the path of the policy bundle.

    Raises:
        OptionError: an option is wrong, or the folder holds another run.
        StorageError: the disk is full.
    """
    if options.seed < 0:
        raise OptionError(f"seed={options.seed} must not be below zero")
    require_positive("train", options, "problems", "jobs", "window_s")
    run = Path(options.run_dir)
    rollouts = rollouts or OwnRollouts()
    source = rollouts.source(options, stack)
    if isinstance(source, TwinProblems):
        show_twin(source.report, source.trace.path.name)
    print(source.sentence)
    chosen = agent_of(options)
    agent = plain(chosen)
    agent.pop("steps")  # a run may be made longer
    identity = source.identity | {"problems": options.problems, "seed": options.seed}
    identity |= rollouts.identity | {"agent": agent}
    open_run(run, identity, options, rollouts.config_name)
    try:
        if isinstance(source, DeviceProblems):
            print(source.check_time(chosen))
        world = source.world(run)
        collector = stack.enter_context(rollouts.collector(source, world, chosen, options.seed))
        bundle = train_in(run, world, source, chosen, options.seed, rollouts.command, collector)
    except OSError as error:  # what TensorBoard writes meets a full disk too
        raise StorageError(
            f"cannot write into {run}: {error.strerror or error}; free some space and run the same"
            " command again to go on"
        ) from error
    finally:
        again = f"python -m {rollouts.command} --config-dir {run} --config-name config"
        print(f"\n{again} goes on from here")
    return source, bundle


def agent_of(options: TrainCommand) -> AgentOptions:
    """Return the options of the agent, with what differs on a twin."""
    return on_twin(options.agent) if options.twin else options.agent


def source_of(options: TrainCommand, stack: contextlib.ExitStack) -> ProblemSource:
    """Return what to learn from; a device is closed with the stack.

    Raises:
        OptionError: options that belong to a runtime are given without one.
    """
    if options.twin and (options.runtime != MODEL or not options.trace):
        raise OptionError(
            "twin=true needs a recording and no runtime: give trace= a file of"
            " python -m tuner.record, or a built-in trace"
        )
    if options.runtime != MODEL:
        device = stack.enter_context(open_device(options, power_w=options.power_w))
        limits = asked(options.p99_ms, options.power_w, options.goal, options.min_rate_ips)
        objective = objective_of(limits, device.space.workload)  # says what is wrong at once
        check_objective(device.runtime, objective)
        problems = min(options.problems, MAX_DEVICE_PROBLEMS)
        return DeviceProblems(device, options, limits, problems, options.seed, options.window_s)
    of_trace = ("goal", "min_rate_ips") if options.trace and not options.twin else ()
    for key in ("network", "board", "mode", "p99_ms", "power_w", "goal", "min_rate_ips"):
        allowed = key in of_trace or (key == "network" and options.twin)
        if getattr(options, key) and not allowed:
            raise OptionError(
                f"{key} belongs to a device: give runtime=onnxruntime, tensorrt, simulated or"
                " replayed, or choose problems of the model with draw="
            )
    if options.trace and options.twin:
        drawn = (options.problems, options.seed, options.jobs)
        return TwinProblems(options.trace, options.network, *drawn)
    if options.trace:
        limits = asked(goal=options.goal, min_rate_ips=options.min_rate_ips)
        return RecordedProblems(options.trace, options.problems, options.seed, limits)
    return DrawnProblems(options.draw, options.problems, options.seed, options.jobs)


def compare(source: ProblemSource, options: TrainCommand, bundle: Path) -> None:
    """Compare the policy with searches where the optimum is known, and say so where it is not."""
    given = options.evaluation
    if isinstance(source, DeviceProblems):
        print(
            "the best configuration of a device is not known, so nothing is compared here; try the"
            f" policy with python -m tuner.tune --bundle {bundle} --network ..."
        )
        return
    about = ""
    if isinstance(source, TwinProblems):
        about = f"The twin: {twin_sentence(source.report)}."
    if isinstance(source, RecordedProblems):
        cases: Any = trace_cases(source.trace, given, source.limits)
    else:  # small parts of spaces are for learning quickly; whole ones are compared
        draw = replace(options.draw, small_spaces=0.0)
        cases = simulated_cases(draw, given.objectives, given.seed)
    run = Path(options.run_dir)
    # On a recording the rule's price is found in the device model: its rows are what is compared.
    training = None if isinstance(source, RecordedProblems) else source.world(run).problems
    drawn = drawn_learning(source, options, load_bundle(bundle))
    show(
        evaluate(
            cases,
            {"policy": bundle},
            given,
            run,
            about=about,
            training=training,
            learning=drawn,
        )
    )


def drawn_learning(source: ProblemSource, options: TrainCommand, bundle: Bundle) -> str:
    """Return a plot of how the policy learned and of what it looks at, on training problems."""
    run = Path(options.run_dir)
    agent = replace(agent_of(options), envs=EPISODES)
    env = make_env(source.world(run), agent, options.seed).env
    importances = permutation_importance(NumpyPolicy(bundle), env, options.seed)
    return learning_plot(read_curve(run / FILE), importances)


if __name__ == "__main__":
    run_command("train", TrainCommand, main)
