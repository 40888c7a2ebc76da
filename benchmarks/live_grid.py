"""Do the policy, which was trained in the model, and the untrained rule tune this computer well?

For each network, every configuration of a space is measured once, and limits are drawn from that.
For each of the limits both have 8 live measurements. Each answer and the best configuration of the
grid under the same limits are then measured again in turns. The rule has the price of a broken
limit at which it breaks as many limits as the policy in the model of this computer. As in
`benchmarks.transfer`, a limit counts if some configuration of the grid keeps it by more than
windows scatter; the others are shown in the table.

python -m benchmarks.live_grid
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option, invented_samples, network_files
from envs.problems.limits import LimitRange, draw_objectives, uniforms_per_draw
from envs.problems.problem import Problem
from envs.problems.twin import twin_world
from envs.runtimes.protocol import Runtime, try_configuration
from envs.spec import Configuration, MeasurementBatch, Objective, Outcome
from tuner.console import progress_bar, table
from tuner.device import Device, open_device
from tuner.evaluation.equal_risk import equal_risk, sentence
from tuner.evaluation.reference import can_be_kept
from tuner.evaluation.rollouts import policy_decides
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.expected_gain import ExpectedGainTuner
from tuner.search.oracle import best_scores
from tuner.search.protocol import Tuner


@dataclass(frozen=True)
class Answer:
    """A tuner's answer under one limit, and the best configuration of the grid.

    Attributes:
        tuner: its name.
        share: throughput of the answer over that of the best, measured in turns; 0 without one.
        broke: live measurements that broke the limit.
        clear: True if the grid keeps the limit by more than windows scatter.
    """

    tuner: str
    limit_ms: float
    best: Configuration
    answer: Configuration | None
    share: float
    broke: int
    clear: bool


def measured_grid(runtime: Runtime, window_s: float, name: str) -> list[Outcome]:
    """Measure every configuration of the runtime's space once."""
    outcomes = []
    with progress_bar(f"grid of {name}", len(runtime.space.catalogue)) as advance:
        for row in runtime.space.catalogue:
            outcomes.append(try_configuration(runtime, Configuration.of(row), window_s))
            advance(runtime.space.describe(Configuration.of(row)))
    return outcomes


def answered(
    runtime: Runtime, problem: Problem, tuner: Tuner, window_s: float, measurements: int
) -> tuple[Configuration | None, int]:
    """Tune with some live measurements.

    Returns:
        The fastest configuration that kept the limits, and how many measurements broke them.
    """
    best, found, broke = 0.0, None, 0
    for _ in range(measurements):
        configuration = tuner.ask()
        outcome = try_configuration(runtime, configuration, window_s)
        tuner.tell(configuration, outcome)
        score, violation = problem.judge(outcome)
        broke += violation > 0
        if violation <= 0 and score > best:
            best, found = score, configuration
    return found, broke


def in_turns(
    runtime: Runtime,
    problem: Problem,
    pair: tuple[Configuration, Configuration],
    window_s: float,
    turns: int,
) -> float:
    """Return the throughput of the first configuration over that of the second.

    Each is the median of some windows. The windows are taken in turns, because the computer is not
    equally fast all the time.
    """
    scores = [
        [problem.judge(try_configuration(runtime, each, window_s))[0] for each in pair]
        for _ in range(turns)
    ]
    first, second = np.median(scores, axis=0)
    return float(first / second)


def answers_of(device: Device, name: str, given: argparse.Namespace) -> tuple[int, list[Answer]]:
    """Measure the grid of a network, tune live under limits drawn from it, and compare."""
    space, runtime = device.space, device.runtime
    batch = MeasurementBatch.of(measured_grid(runtime, given.window, name), 1)
    uniforms = np.random.default_rng(0).random((given.limits, uniforms_per_draw(1)))
    limits = draw_objectives(LimitRange.of(batch), uniforms, "held_out")
    rows_of_best, _, exists = best_scores(batch, np.ones(1), limits)
    tuners, found = tuners_of(device, given), []
    for index in np.flatnonzero(exists).tolist():
        problem = device.problem(Objective(tuple(limits.p99_ms[index]), float("inf")))
        best = Configuration.of(space.catalogue[rows_of_best[index]])
        clear = can_be_kept(batch, limits.row(index), plain=True)
        for tuner, make in tuners.items():
            answer, broke = answered(
                runtime, problem, make(problem), given.window, given.measurements
            )
            pair = (answer, best) if answer else None
            share = in_turns(runtime, problem, pair, given.window, given.turns) if pair else 0.0
            found.append(Answer(tuner, limits.p99_ms[index, 0], best, answer, share, broke, clear))
    return len(batch), found


def tuners_of(device: Device, given: argparse.Namespace) -> dict[str, Callable[[Problem], Tuner]]:
    """Return makers of the policy, and of the rule at the price at which it risks as much."""
    bundle = load_bundle(given.bundle)
    with progress_bar("drawing problems of this computer", given.training_problems) as advance:
        world = twin_world(
            device.model, given.training_problems, 0, 2, lambda new: advance("", new)
        )
    equal = equal_risk(world, policy_decides(bundle))
    print(sentence(equal))
    return {
        "policy": partial(LearnedTuner, bundle),
        "rule": partial(ExpectedGainTuner, risk=equal.risk),
    }


def figures_of(
    name: str, tuner: str, count: int, found: list[Answer], measurements: int
) -> list[Figure]:
    """Return the figures of one network and tuner, over the limits that are clear."""
    clear = [each for each in found if each.clear and each.tuner == tuner]
    start, goal = f"{name}, {tuner}", ">= 90" if tuner == "policy" else ""
    shares = [each.share for each in clear]
    broke = sum(each.broke for each in clear) / (len(clear) * measurements)
    return [
        figure(
            f"{start}: live answer over the best of {count} live configurations, mean",
            100 * float(np.mean(shares)),
            "%",
            goal,
        ),
        figure(f"{start}: the same, worst of {len(shares)} limits", 100 * min(shares), "%"),
        figure(f"{start}: live measurements that broke a limit", 100 * broke, "%"),
    ]


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--networks", nargs="+", default=["resnet50", "squeezenet1_1"], help="names or files"
    )
    add_bundle_option(arguments)
    arguments.add_argument("--instances", type=int, default=3)
    arguments.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments.add_argument("--limits", type=int, default=5)
    arguments.add_argument("--measurements", type=int, default=8)
    arguments.add_argument(
        "--training-problems", type=int, default=40, help="on which the price of the rule is found"
    )
    arguments.add_argument("--turns", type=int, default=3)
    arguments.add_argument("--window", type=float, default=1.0, help="seconds of each measurement")
    given = arguments.parse_args()
    figures: list[Figure] = []
    rows = []
    for path in network_files(given.networks):
        with (
            tempfile.TemporaryDirectory() as folder,
            open_device(
                path,
                max_instances=given.instances,
                batches=given.batches,
                **invented_samples(path, Path(folder)),
            ) as device,
        ):
            name = device.space.workload.names[0]
            count, found = answers_of(device, name, given)
        for tuner in dict.fromkeys(each.tuner for each in found):
            figures += figures_of(name, tuner, count, found, given.measurements)
        for each in found:
            both = [
                device.space.describe(one).split(": ")[1] if one else "none"
                for one in (each.best, each.answer)
            ]
            note = "" if each.clear else "within the scatter of a window"
            numbers = [f"{each.share:.1%}", str(each.broke), note]
            rows.append([name, each.tuner, f"{each.limit_ms:.1f}", *both, *numbers])
    head = [
        "network",
        "tuner",
        "p99 limit [ms]",
        "best of the grid",
        "answer",
        "throughput, in turns",
    ]
    table([*head, "broke", ""], rows)
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
