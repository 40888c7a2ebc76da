"""Is one good policy luck?

Trains as `make train` does, with several seeds, and compares each policy on networks and limits
that no training drew. With `--experiment` it trains a recipe of conf/experiment instead, and all
seeds learn from the problems that the first one drew: drawing takes longer than learning.

python -m benchmarks.training_seeds
python -m benchmarks.training_seeds --experiment reference --seeds 10        about an hour
python -m benchmarks.rule --bundles runs/training_seeds/reference/*/policy.bundle
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from envs.problems.draw_options import DrawOptions
from envs.traces.reader import find_trace, read_trace
from tuner.cli import composed
from tuner.evaluate import EvaluationOptions, evaluate, trace_cases
from tuner.evaluation.simulated import simulated_cases
from tuner.evaluation.statistics import summarize
from tuner.train import TrainCommand, train


def trained(recipe: TrainCommand, seeds: int, folder: Path, *, share: bool) -> dict[str, Path]:
    """Train with several seeds, or go on, and return the bundles.

    Args:
        recipe: the options of all of them.
        seeds: how many.
        folder: of the runs.
        share: give all seeds the problems that the first one drew.
    """
    bundles = {}
    for seed in range(seeds):
        run, kept = folder / str(seed), folder / "0" / "problems.npz"
        if share and seed and not (run / kept.name).exists():
            run.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept, run / kept.name)
        with contextlib.ExitStack() as stack:
            _, bundle = train(replace(recipe, seed=seed, run_dir=str(run)), stack)
        bundles[f"policy_{seed}"] = bundle
    return bundles


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--trace", help="train on a recording instead of the model of an AGX Orin"
    )
    arguments.add_argument("--experiment", help="a recipe of conf/experiment instead")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--objectives", type=int, default=100)
    arguments.add_argument("--out", type=Path, default=Path("runs/training_seeds"))
    given = arguments.parse_args()
    trace = read_trace(find_trace(given.trace)) if given.trace else None
    options = EvaluationOptions(given.objectives, 1, tuners=[], jobs=2)
    compared_on = DrawOptions(boards=["agx_orin_64"])
    recipe = TrainCommand(trace=given.trace, draw=replace(compared_on, small_spaces=0.95))
    if given.experiment:
        recipe = composed("train", TrainCommand, f"experiment={given.experiment}")
        compared_on = DrawOptions()
    folder = given.out / (given.experiment or given.trace or "agx_orin")
    bundles = trained(recipe, given.seeds, folder, share=given.experiment is not None)
    cases = (
        trace_cases(trace, options)
        if trace
        else simulated_cases(compared_on, given.objectives, options.seed)
    )
    result = evaluate(cases, bundles, options, folder)
    found = [summarize(result.comparison, name, 3) for name in bundles]
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
