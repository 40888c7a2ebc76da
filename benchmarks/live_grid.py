"""Does the policy, which was trained in the model, tune this very computer well?

For each network, every configuration of a space is measured once, and limits are drawn from that.
For each of the limits the policy has 8 live measurements. Its answer and the best configuration of
the grid under the same limits are then measured again in turns. As in `benchmarks.transfer`, a
limit counts if some configuration of the grid keeps it by more than windows scatter; the others
are shown in the table.

python -m benchmarks.live_grid
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option, network_files
from envs.graph.layers import read_layers
from envs.problems.limits import LimitRange, draw_objectives, uniforms_per_draw
from envs.problems.problem import Problem
from envs.runtimes.onnxruntime.engines import onnxruntime_runtime
from envs.runtimes.protocol import Runtime, try_configuration
from envs.simulator.device_model import model_for
from envs.spec.measurement import MeasurementBatch, Outcome
from envs.spec.objective import Objective
from envs.spec.space import Configuration
from tuner.console import progress_bar, table
from tuner.evaluation.simulated import can_be_kept
from tuner.options import DeviceOptions, SpaceOptions, WorkloadOptions, cache_folder, live_space
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.oracle import best_scores


def measured_grid(runtime: Runtime, window_s: float, name: str) -> list[Outcome]:
    """Measure every configuration of the runtime's space once."""
    outcomes = []
    with progress_bar(f"grid of {name}", len(runtime.space.catalogue)) as advance:
        for row in runtime.space.catalogue:
            outcomes.append(try_configuration(runtime, Configuration.of(row), window_s))
            advance(runtime.space.describe(Configuration.of(row)))
    return outcomes


def answered(
    runtime: Runtime, problem: Problem, bundle: Path, window_s: float, measurements: int
) -> tuple[Configuration | None, int]:
    """Tune with some live measurements.

    Returns:
        The fastest configuration that kept the limits, and how many measurements broke them.
    """
    tuner, best, found, broke = LearnedTuner(load_bundle(bundle), problem), 0.0, None, 0
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


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--networks", nargs="+", default=["resnet50", "squeezenet1_1"], help="names or files"
    )
    add_bundle_option(arguments)
    arguments.add_argument("--instances", type=int, default=3)
    arguments.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments.add_argument("--limits", type=int, default=5)
    arguments.add_argument("--measurements", type=int, default=8)
    arguments.add_argument("--turns", type=int, default=3)
    arguments.add_argument("--window", type=float, default=1.0, help="seconds of each measurement")
    given = arguments.parse_args()
    figures: list[Figure] = []
    rows = []
    for path in network_files(given.networks):
        space = live_space(
            DeviceOptions(),
            WorkloadOptions([str(path)]),
            SpaceOptions(given.instances, list(given.batches)),
        )
        name, layers = space.workload.names[0], (read_layers(path),)
        with onnxruntime_runtime(space, [Path(path)], cache_folder()) as runtime:
            batch = MeasurementBatch.of(measured_grid(runtime, given.window, name), 1)
            limits = draw_objectives(
                LimitRange.of(batch),
                np.random.default_rng(0).random((given.limits, uniforms_per_draw(1))),
                "held_out",
            )
            rows_of_best, _, exists = best_scores(batch, np.ones(1), limits)
            shares, broken = [], 0
            for index in np.flatnonzero(exists):
                clear = can_be_kept(batch, limits.row(index))
                asked = Objective(tuple(limits.p99_ms[index]), float("inf"))
                problem = Problem(
                    space, space.catalogue, asked, space.default(), model=model_for(space, layers)
                )
                found, broke = answered(
                    runtime, problem, given.bundle, given.window, given.measurements
                )
                best = Configuration.of(space.catalogue[rows_of_best[index]])
                share = (
                    in_turns(runtime, problem, (found, best), given.window, given.turns)
                    if found
                    else 0.0
                )
                if clear:
                    shares.append(share)
                    broken += broke
                told = "" if clear else "within the scatter of a window"
                words = [
                    space.describe(each).split(": ")[1] if each else "none"
                    for each in (best, found)
                ]
                rows.append(
                    [
                        name,
                        f"{limits.p99_ms[index, 0]:.1f}",
                        *words,
                        f"{share:.1%}",
                        str(broke),
                        told,
                    ]
                )
        figures.append(
            figure(
                f"{name}: live answer over the best of {len(batch)} live configurations, mean",
                100 * float(np.mean(shares)),
                "%",
                ">= 90",
            )
        )
        figures.append(
            figure(f"{name}: the same, worst of {len(shares)} limits", 100 * min(shares), "%")
        )
        figures.append(
            figure(
                f"{name}: live measurements that broke a limit",
                100 * broken / (len(shares) * given.measurements),
                "%",
            )
        )
    table(
        [
            "network",
            "p99 limit [ms]",
            "best of the grid",
            "answer",
            "throughput, in turns",
            "broke",
            "",
        ],
        rows,
    )
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
