"""Compare the policy with searches on boards, networks and limits that no training drew.

Shares are after a few measurements. Every number is simulated. Problems are drawn from held-out
boards, networks and bands of limits, and in each of them the device departs from the model in its
own way. The untrained rule has the price of a broken limit at which it breaks as many limits as
the policy on problems of the training split. Tuners that decide fast are compared on all problems;
those that decide slowly, and longer budgets, on the first few.

python -m benchmarks.transfer
python -m benchmarks.transfer --quick
python -m benchmarks.transfer --policy-only
python -m benchmarks.transfer --two-tenants
python -m benchmarks.transfer --goal energy       or latency; a share is of the best by that goal
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option, draw_world, one_core_each
from benchmarks.transfer_figures import figures_of, over_rule, print_table
from benchmarks.transfer_reference import CHECKED, saving_on_trace, searched_over_exhaustive
from envs.belief.risk import BALANCED
from envs.problems.draw_options import DrawOptions
from envs.problems.problem import Problem
from envs.spec import Goal
from tuner.console import progress_bar
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.equal_risk import equal_risk, sentence
from tuner.evaluation.front import RULE
from tuner.evaluation.report import write_report
from tuner.evaluation.rollouts import policy_decides
from tuner.evaluation.running import compare
from tuner.evaluation.sentences import rule_sentence
from tuner.evaluation.simulated import SimulatedCases, simulated_cases
from tuner.evaluation.tables import write_runs_csv
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.expected_gain import ExpectedGainTuner
from tuner.search.protocol import Tuner
from tuner.search.registry import make_search

FAST = (
    "random",
    "hill_climb",
    "gradient",
    "model_argmax",
    "model_refit",
    RULE,
    "vendor_gpu",
    "vendor_gpu_dla",
)

#: The model as it is, refitted after each measurement, and the rule, all without any training.
UNTRAINED = ("model_argmax", "model_refit", RULE)

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
    every: Sequence[Part],
    problems: SimulatedCases,
    policy: Factories,
    budget: int,
    rule_risk: float,
    jobs: int,
) -> list[Comparison]:
    """Run one comparison for each part; the policy takes part in the first."""
    found = []
    for number, part in enumerate(every):
        factories: dict[str, Callable[[Problem], Tuner]] = {
            **(policy if number == 0 else {}),
            **{name: partial(make_search, name) for name in part.tuners},
        }
        if RULE in factories:
            factories[RULE] = partial(ExpectedGainTuner, risk=rule_risk)
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


def policy_of(path: Path) -> tuple[Factories, int]:
    """Return the learned tuner and its budget."""
    bundle = load_bundle(path)
    return {"policy": partial(LearnedTuner, bundle)}, bundle.budget


def price_of_rule(path: Path, draw: DrawOptions, count: int, risk: float = BALANCED) -> float:
    """Return the rule's price of a broken limit at which it breaks as many as the policy.

    Args:
        path: of the policy.
        draw: of problems; those of the training split are taken.
        count: how many.
        risk: the policy's price of a broken limit.
    """
    world = draw_world(replace(draw, split="train"), count, title="drawing training problems")
    found = equal_risk(world, policy_decides(load_bundle(path)), risk=risk)
    print(sentence(found))
    return found.risk


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
        "--goal", choices=[each.value for each in Goal], default=Goal.THROUGHPUT.value
    )
    arguments.add_argument(
        "--quick", action="store_true", help="20 problems, 2 seeds, short budgets"
    )
    arguments.add_argument(
        "--policy-only",
        action="store_true",
        help="the policy beside the model without training, on all problems, and no search",
    )
    arguments.add_argument(
        "--training-problems", type=int, default=60, help="on which the price of the rule is found"
    )
    arguments.add_argument("--jobs", type=int, default=2, help="processes")
    arguments.add_argument("--out", type=Path, default=Path("runs/transfer"))
    return arguments.parse_args()


def main() -> int:
    """Run the benchmark and return its exit code."""
    given = options(parser(__doc__))
    one_core_each()
    cases = given.cases or (20 if given.quick else 500)
    seeds = given.seeds or (2 if given.quick else 10)
    policy, budget = policy_of(given.bundle)
    draw = DrawOptions(tenants=[1 - given.two_tenants, given.two_tenants], goals={given.goal: 1.0})
    problems = simulated_cases(draw, cases, given.seed)
    rule_risk = price_of_rule(given.bundle, draw, given.training_problems)
    every = parts(cases, seeds, given.quick)
    if given.policy_only:
        every = [Part(UNTRAINED, cases, seeds, (3, 8))]
    figures: list[Figure] = []
    for part, comparison in zip(
        every, run_parts(every, problems, policy, budget, rule_risk, given.jobs), strict=True
    ):
        if not comparison.exists.any():
            continue
        summaries, found = figures_of(comparison, part.budgets, Goal(given.goal))
        print_table(summaries, comparison)
        figures += found
        if part is every[0]:
            print(rule_sentence(comparison, "policy"))
            figures += over_rule(comparison)
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
    if given.goal == Goal.ENERGY.value:
        figures += saving_on_trace(given.bundle)
    return report(figures, given.json, goals_only=True)


if __name__ == "__main__":
    sys.exit(main())
