"""Compare the policy with searches on boards, networks and limits that no training drew.

Shares are after a few measurements. Every number is simulated. Problems are drawn from held-out
boards, networks and bands of limits, and in each of them the device departs from the model in its
own way. Tuners that decide fast are compared on all problems; those that decide slowly, and longer
budgets, on the first few.

python -m benchmarks.transfer
python -m benchmarks.transfer --quick
python -m benchmarks.transfer --policy-only
python -m benchmarks.transfer --two-tenants
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option
from envs.problems.draw import draw_problem
from envs.problems.draw_options import DrawOptions
from envs.problems.problem import Problem
from envs.simulator.device_model import DeviceModel
from envs.spec import ConfigurationSpace
from tuner.console import progress_bar, table
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.reference import exhaustive, searched
from tuner.evaluation.report import write_report
from tuner.evaluation.running import compare
from tuner.evaluation.simulated import SimulatedCases, simulated_cases
from tuner.evaluation.statistics import Summary, summarize
from tuner.evaluation.tables import write_runs_csv
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.protocol import Tuner
from tuner.search.registry import make_search

FAST = (
    "random",
    "hill_climb",
    "gradient",
    "model_argmax",
    "model_refit",
    "vendor_gpu",
    "vendor_gpu_dla",
)

#: The model as it is, and refitted after each measurement, without any training.
UNTRAINED = ("model_argmax", "model_refit")

#: Goals of the policy by number of measurements: mean and 5th percentile of the share of the
#: oracle, share with a feasible answer, and share of measurements that broke a limit.
BARS = {3: (">= 95", ">= 80", ">= 99", ""), 8: (">= 98", ">= 90", ">= 99.5", "<= 5")}

#: The oracle of large spaces is a search. It is compared with full enumeration in this many small
#: two-tenant spaces.
CHECKED, SMALL_BATCHES, SMALL_INSTANCES = 12, (1, 4), 2

Factories = Mapping[str, Callable[[Problem], Tuner]]


@dataclass(frozen=True)
class Part:
    """Tuners on the first `cases` problems with some seeds, after some budgets."""

    tuners: tuple[str, ...]
    cases: int
    seeds: int
    budgets: tuple[int, ...]


def parts(cases: int, seeds: int, quick: bool) -> list[Part]:
    """Return the comparisons: fast tuners on all problems, slow ones and long budgets on some."""
    some, few = (6, 2) if quick else (12, 6)
    return [
        Part(FAST, cases, seeds, (3, 8)),
        Part(("tpe",), min(some, cases), min(2, seeds), (3, 8, 15, 30, 50)),
        Part(("gp",), min(few, cases), 1, (3, 8) if quick else (3, 8, 15)),
        Part(
            ("random", "hill_climb", "gradient", "model_argmax", "model_refit"),
            min(some, cases),
            min(2, seeds),
            (15, 30, 50, 100),
        ),
    ]


def run_parts(
    every: Sequence[Part], problems: SimulatedCases, policy: Factories, budget: int, jobs: int
) -> list[Comparison]:
    """Run one comparison for each part; the policy takes part in the first."""
    found = []
    for number, part in enumerate(every):
        factories = {
            **(policy if number == 0 else {}),
            **{name: partial(make_search, name) for name in part.tuners},
        }
        with progress_bar(
            f"up to {part.budgets[-1]} measurements, {part.cases} problems", part.cases
        ) as advance:
            cases = replace(problems, count=part.cases)
            found.append(
                compare(
                    factories,
                    cases,
                    range(part.seeds),
                    part.budgets,
                    dict.fromkeys(policy, budget),
                    advance,
                    jobs,
                )
            )
    return found


def figures_of(
    comparison: Comparison, budgets: Sequence[int]
) -> tuple[list[Summary], list[Figure]]:
    """Return summaries and five figures for each tuner and budget; the policy has goals."""
    summaries, figures = [], []
    for tuner in comparison.tuners:
        for budget in budgets:
            if budget > len(comparison.runs(tuner)[0][0]):
                continue
            each = summarize(comparison, tuner, budget)
            summaries.append(each)
            goals = BARS.get(budget, ("",) * 4) if tuner == "policy" else ("",) * 4
            shares = {
                "share of the oracle, mean": each.share_mean,
                "share of the oracle, 5th percentile": each.share_p5,
                "feasible where possible": each.feasible_share,
                "measurements beyond a limit": each.broken_share,
                "answers over 5 % beyond a limit without noise": each.overrun_share,
            }
            where = f"{each.cases} problems x {len(comparison.seeds)} seeds"
            for (name, share), goal in zip(shares.items(), (*goals, ""), strict=True):
                figures.append(
                    figure(f"{tuner} after {budget}: {name} ({where})", 100 * share, "%", goal)
                )
    return summaries, figures


def searched_over_exhaustive(count: int) -> float:
    """Return the smallest share of the optimum that the oracle's search finds in small spaces.

    It is 0 if the search misses that the limits can be kept.
    """
    rng, least = np.random.default_rng(0), 1.0
    with progress_bar("checking the reference of large spaces", count) as advance:
        for _ in range(count):
            drawn = draw_problem(DrawOptions(split="held_out", tenants=[0.0, 1.0]), rng)
            space = drawn.model.space
            small = ConfigurationSpace(space.device, space.workload, SMALL_INSTANCES, SMALL_BATCHES)
            model = DeviceModel(drawn.model.machine, small, drawn.model.networks)
            truth = model.drawn(rng, 1)
            best, found = (
                exhaustive(model, truth, drawn.objective, small.catalogue),
                searched(model, truth, drawn.objective),
            )
            if best.exists:
                least = min(least, found.score / best.score if found.exists else 0.0)
            advance(drawn.name)
    return least


def print_table(summaries: Sequence[Summary], comparison: Comparison) -> None:
    """Print the tuners, the best first within each budget."""
    print(
        f"\nsimulated: {summaries[0].cases} problems x {len(comparison.seeds)} seeds; "
        f"{summaries[0].impossible_cases} more have no answer"
    )
    head = [
        "tuner",
        "measurements",
        "mean [%]",
        "5th [%]",
        "feasible [%]",
        "5 % beyond [%]",
        "broke a limit [%]",
        "decision [ms]",
    ]
    rows = []
    for each in sorted(summaries, key=lambda each: (each.budget, -each.share_mean)):
        shares = (
            each.share_mean,
            each.share_p5,
            each.feasible_share,
            each.overrun_share,
            each.broken_share,
        )
        rows.append(
            [
                each.tuner,
                str(each.budget),
                *(f"{100 * share:.1f}" for share in shares),
                f"{1000 * each.decision_s:.2f}",
            ]
        )
    table(head, rows)


def policy_of(path: Path | None) -> tuple[Factories, int]:
    """Return the learned tuner and its budget; nothing without a bundle."""
    if path is None:
        return {}, 0
    bundle = load_bundle(path)
    return {"policy": partial(LearnedTuner, bundle)}, bundle.budget


def options(arguments: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the options of the command."""
    add_bundle_option(arguments)
    arguments.add_argument("--cases", type=int, help="problems (default: 500)")
    arguments.add_argument("--seeds", type=int, help="of each tuner (default: 10)")
    arguments.add_argument("--seed", type=int, default=1000, help="of the draw")
    arguments.add_argument(
        "--two-tenants",
        type=float,
        nargs="?",
        const=1.0,
        default=0.0,
        metavar="SHARE",
        help="problems with two networks at once",
    )
    arguments.add_argument(
        "--quick", action="store_true", help="20 problems, 2 seeds, short budgets"
    )
    arguments.add_argument(
        "--policy-only",
        action="store_true",
        help="the policy beside the model without training, on all problems, and no search",
    )
    arguments.add_argument("--jobs", type=int, default=2, help="processes")
    arguments.add_argument("--out", type=Path, default=Path("runs/transfer"))
    return arguments.parse_args()


def main() -> int:
    """Run the benchmark and return its exit code."""
    given = options(parser(__doc__))
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(library, "1")  # the worker processes read it: one core each
    cases = given.cases or (20 if given.quick else 500)
    seeds = given.seeds or (2 if given.quick else 10)
    policy, budget = policy_of(given.bundle)
    problems = simulated_cases(
        DrawOptions(tenants=[1 - given.two_tenants, given.two_tenants]), cases, given.seed
    )
    every = parts(cases, seeds, given.quick)
    if given.policy_only:
        every = [Part(UNTRAINED, cases, seeds, (3, 8))]
    figures: list[Figure] = []
    for part, comparison in zip(
        every, run_parts(every, problems, policy, budget, given.jobs), strict=True
    ):
        if not comparison.exists.any():
            continue
        summaries, found = figures_of(comparison, part.budgets)
        print_table(summaries, comparison)
        figures += found
        if part is every[0]:
            write_report(given.out / "report.html", comparison, None)
            write_runs_csv(given.out / "runs.csv", comparison)
    if given.two_tenants:
        least = searched_over_exhaustive(CHECKED)
        figures.append(
            figure(
                "reference of large spaces: least share of the optimum in small ones",
                100 * least,
                "%",
                ">= 99",
            )
        )
    return report(figures, given.json, goals_only=True)


if __name__ == "__main__":
    sys.exit(main())
