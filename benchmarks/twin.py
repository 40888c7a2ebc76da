"""Train on a twin of a recorded device, and compare on the whole grid that it was recorded from.

Of a built-in grid, some rows are kept at random. The device model is conditioned on them, and a
policy is trained in it (simulated). It then tunes the device that the grid was recorded on, with
every configuration to choose from, under limits that no training drew (replayed). Errors of the
twin are on the rows that it did not see.

python -m benchmarks.twin
python -m benchmarks.twin --quick
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option
from envs.arrays import FloatArray
from envs.problems.held_out import NINETY, predicted, quantities
from envs.problems.problem import Problem
from envs.problems.trace_world import trace_model
from envs.problems.twin import recording_of
from envs.simulator.device_model import DeviceModel
from envs.spec import verdict_of
from envs.traces.reader import Trace, find_trace, read_trace
from envs.traces.writer import write_parquet
from tuner.console import exit_code, progress_bar, table
from tuner.evaluate import EvaluationOptions, trace_cases
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.running import compare
from tuner.evaluation.statistics import curves
from tuner.policy.bundle import Bundle, load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.candidates import OrderedSearch
from tuner.search.protocol import Tuner
from tuner.train import TrainCommand, train

#: Grids that hold every configuration of their space.
GRIDS = ("resnet50", "resnet50_mobilenet_v2")

#: Measurements after which shares are compared.
BUDGETS = (3, 8)

#: The policy that is trained on the twin, and what it is compared with.
TRAINED = "trained on the twin"
UNTRAINED = "reference policy, told what the twin knows"
FORGETFUL = "trained on the twin, not told what it knows"
REFERENCE = "reference policy"
RECORDED = "the best of the recorded rows"

#: Goal of the mean share of the optimum after three measurements, for the trained policy [%].
BAR = ">= 97"


class RecordedBest(OrderedSearch):
    """Asks for the recorded rows, the best by their own record first: it needs no model."""

    def __init__(self, part: Trace, problem: Problem) -> None:
        self._part = part
        super().__init__(problem)

    def _plan(self) -> Iterable[int]:
        weights = np.array(self.problem.space.workload.weights)
        verdict = verdict_of(self._part.batch, weights, self.problem.objective)
        order = np.lexsort((-verdict.score, verdict.violation))
        rows = self.rows(self._part.placements[order])
        return [int(row) for row in rows if row >= 0]


@dataclass(frozen=True)
class Recorded:
    """Some rows of a grid, kept at random.

    Attributes:
        whole: the grid.
        part: the rows kept, as a trace of its own.
        rest: those left out.
    """

    whole: Trace
    part: Trace
    rest: Trace

    @classmethod
    def of(cls, name: str, rows: int, seed: int, folder: Path) -> Recorded:
        """Keep rows of a built-in grid, and write them to a folder."""
        whole = read_trace(find_trace(name))
        order = np.random.default_rng(seed).permutation(len(whole.rows))
        path = folder / f"{name}_{seed}.parquet"
        kept = [whole.rows[row] for row in order[:rows]]
        write_parquet(path, whole.space, {**whole.metadata, "complete": False}, kept)
        left = [whole.rows[row] for row in order[rows:]]
        return cls(whole, read_trace(path), replace(whole, rows=left))

    def unseen(self, twin: DeviceModel) -> tuple[FloatArray, FloatArray]:
        """Return relative errors of the twin on rows left out, and those inside its interval.

        Both are [Q, N], NaN for what was not read.
        """
        recording = recording_of(self.rest)
        mean, spread = predicted(twin, recording)
        error = np.abs(recording.logs - mean)
        inside = np.where(np.isfinite(error), error <= NINETY * spread, np.nan)
        return np.expm1(error), inside


def trained(recorded: Recorded, problems: int, seed: int, run: Path) -> Path:
    """Train on the twin of some rows as `tuner.train` does, and return the bundle."""
    command = TrainCommand(
        trace=str(recorded.part.path), twin=True, problems=problems, seed=seed, run_dir=str(run)
    )
    with contextlib.ExitStack() as stack, contextlib.redirect_stdout(io.StringIO()):
        return train(command, stack)[1]


def compared(
    recorded: Recorded, own: Bundle, known: Bundle, objectives: int, seed: int
) -> Comparison:
    """Let the policies tune on the whole grid, under limits drawn with this seed.

    Args:
        recorded: the grid, and what was kept of it.
        own: the policy trained on the twin.
        known: the policy that it is compared with.
        objectives: limits.
        seed: of their draw.
    """
    policies = {
        TRAINED: own,
        UNTRAINED: replace(known, twin=own.twin),
        FORGETFUL: replace(own, twin=None),
        REFERENCE: replace(known, twin=None),
    }
    factories: dict[str, Callable[[Problem], Tuner]] = {
        name: partial(LearnedTuner, each) for name, each in policies.items()
    }
    factories[RECORDED] = partial(RecordedBest, recorded.part)
    cases = trace_cases(recorded.whole, EvaluationOptions(objectives, 1, seed))
    return compare(factories, cases, [seed], BUDGETS, jobs=2)


def comparison_figures(grid: str, found: list[Comparison]) -> list[Figure]:
    """Print shares of the optimum over all recordings of a grid, and return them as figures."""
    rows, figures = [], []
    for tuner in found[0].tuners:
        for budget in BUDGETS:
            every = [(each.exists, curves(each, tuner)) for each in found]
            share, kept, broke = (
                np.concatenate(
                    [np.ravel(pick(curve)[known][..., budget - 1]) for known, curve in every]
                )
                for pick in (lambda c: c.share, lambda c: c.feasible, lambda c: c.broken)
            )
            values = {
                "share of the optimum, mean": 100 * float(share.mean()),
                "share of the optimum, 5th percentile": 100 * float(np.quantile(share, 0.05)),
                "answers that keep the limits": 100 * float(kept.mean()),
                "measurements beyond a limit": 100 * float(broke.mean()),
            }
            rows.append([tuner, str(budget), *(f"{value:.1f}" for value in values.values())])
            for name, value in values.items():
                goal = BAR if (tuner, budget, name.endswith("mean")) == (TRAINED, 3, True) else ""
                figures.append(figure(f"{grid}, {tuner}, after {budget}: {name}", value, "%", goal))
    cases = sum(int(each.exists.sum()) for each in found)
    print(f"\n{grid}: replayed, {len(found)} recordings, {cases} limits that can be kept")
    table(
        ["", "measurements", "mean [%]", "5th [%]", "within limits [%]", "broke a limit [%]"], rows
    )
    return figures


def error_figures(
    grid: str, names: list[str], errors: FloatArray, inside: FloatArray
) -> list[Figure]:
    """Print the errors [Q, N] of the twins on rows that they did not see, and return them."""
    rows, figures = [], []
    for name, error, within in zip(names, errors, inside, strict=True):
        read = np.isfinite(error)
        if not read.any():
            rows.append([f"{name}: none was recorded", "0", "", "", ""])
            continue
        values = {
            "median error on unseen rows": 100 * float(np.median(error[read])),
            "worst error on unseen rows": 100 * float(error[read].max()),
            "unseen rows within the interval of 90 %": 100 * float(within[read].mean()),
        }
        rows.append([name, str(int(read.sum())), *(f"{value:.1f}" for value in values.values())])
        figures += [figure(f"{grid}, {name}: {what}", value, "%") for what, value in values.items()]
    print(f"\n{grid}: errors of the twins (simulated) on rows that they did not see")
    table(["quantity", "rows", "median [%]", "worst [%]", "within the 90 % interval [%]"], rows)
    return figures


def verdict(grid: str, figures: list[Figure]) -> str:
    """Say what the twin adds after three measurements, and where it adds nothing."""
    value = {each.name: each.value for each in figures}

    def mean(tuner: str) -> float:
        return value[f"{grid}, {tuner}, after 3: share of the optimum, mean"]

    told, training = mean(UNTRAINED) - mean(REFERENCE), mean(TRAINED) - mean(UNTRAINED)
    return (
        f"{grid}: what the twin knows {_adds(told)} over the reference policy, and training on the"
        f" twin {_adds(training)} over that; the policy is {mean(TRAINED) - mean(RECORDED):+.1f}"
        " points from the best of the recorded rows."
    )


def _adds(points: float) -> str:
    """Return the gain in words; half a point is within what the choice of rows moves it by."""
    return f"adds {points:+.1f} points" if points > 0.5 else f"adds nothing ({points:+.1f} points)"


def figures_of(grid: str, known: Bundle, given: argparse.Namespace) -> list[Figure]:
    """Record, train and compare on one grid, as often as options say, and print the tables."""
    found, errors, inside, names = [], [], [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        progress_bar(f"{grid}, {given.rows} rows", given.recordings) as advance,
    ):
        for seed in range(given.recordings):
            recorded = Recorded.of(grid, given.rows, seed, Path(folder))
            path = trained(recorded, given.problems, seed, Path(folder) / f"run{seed}")
            own = load_bundle(path)
            assert own.twin is not None, "it was trained on one"
            twin = own.twin.informed(trace_model(recorded.whole))
            names = quantities(twin)
            for kept, new in zip((errors, inside), recorded.unseen(twin), strict=True):
                kept.append(new)
            found.append(compared(recorded, own, known, given.objectives, 1000 + seed))
            advance(f"choice {seed + 1}")
    figures = comparison_figures(grid, found)
    return figures + error_figures(grid, names, np.hstack(errors), np.hstack(inside))


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    add_bundle_option(arguments)
    arguments.add_argument("--rows", type=int, default=40, help="rows kept of each grid")
    arguments.add_argument("--recordings", type=int, help="choices of rows (default: 5)")
    arguments.add_argument("--problems", type=int, help="of a training (default: 240)")
    arguments.add_argument("--objectives", type=int, default=30, help="limits for each of them")
    arguments.add_argument("--quick", action="store_true", help="2 choices of rows, 120 problems")
    given = arguments.parse_args()
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(library, "1")  # the worker processes read it: one core each
    given.recordings = given.recordings or (2 if given.quick else 5)
    given.problems = given.problems or (120 if given.quick else TrainCommand.problems)
    known = load_bundle(given.bundle)
    by_grid = {grid: figures_of(grid, known, given) for grid in GRIDS}
    for grid, figures in by_grid.items():
        print(verdict(grid, figures))
    return report([*chain.from_iterable(by_grid.values())], given.json, goals_only=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))
