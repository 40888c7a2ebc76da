"""Is one good policy luck?

Trains as `make train` does, with several seeds, and compares each policy on networks and limits
that no training drew.

python -m benchmarks.training_seeds
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from envs.problems.draw_options import DrawOptions
from envs.traces.reader import find_trace, read_trace
from tuner.evaluate import EvaluationOptions, evaluate, trace_cases
from tuner.evaluation.simulated import simulated_cases
from tuner.evaluation.statistics import Summary, summarize
from tuner.train import TrainCommand, train


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--trace", help="train on a recording instead of the model of an AGX Orin"
    )
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--objectives", type=int, default=100)
    arguments.add_argument("--out", type=Path, default=Path("runs/training_seeds"))
    given = arguments.parse_args()
    trace = read_trace(find_trace(given.trace)) if given.trace else None
    options = EvaluationOptions(given.objectives, 1, tuners=[])
    found: list[Summary] = []
    for seed in range(given.seeds):
        run = given.out / (given.trace or "agx_orin") / str(seed)
        command = TrainCommand(
            trace=given.trace,
            seed=seed,
            run_dir=str(run),
            draw=DrawOptions(boards=["agx_orin_64"], small_spaces=0.95),
        )
        with contextlib.ExitStack() as stack:
            _, bundle = train(command, stack)
        cases = (
            trace_cases(trace, options)
            if trace
            else simulated_cases(
                DrawOptions(boards=["agx_orin_64"]), given.objectives, options.seed
            )
        )
        result = evaluate(cases, {"policy": bundle}, options, run)
        found.append(summarize(result.comparison, "policy", 3))
    figures: list[Figure] = []
    for name, values, goal in (
        ("share of the oracle, mean", [each.share_mean for each in found], ">= 95"),
        ("share of the oracle, 5th percentile", [each.share_p5 for each in found], ">= 80"),
        ("feasible where possible", [each.feasible_share for each in found], ">= 99"),
    ):
        figures.append(
            figure(
                f"after 3: {name}, mean of {given.seeds} trainings",
                100 * float(np.mean(values)),
                "%",
                goal,
            )
        )
        figures.append(
            figure(
                f"after 3: {name}, worst of {given.seeds} trainings", 100 * min(values), "%", goal
            )
        )
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
