"""Measure what is lost, and how many windows are saved, by a search that ends by itself.

Each tuner solves the same simulated problems, on boards, networks and limits that no training drew,
twice: with all measurements of its budget, and until nothing promises more than a small share
(`tuner.policy.ending`), as `python -m tuner.tune` does. Problems without a configuration that keeps
the limits are left out of the shares. An answer that truly breaks a limit by more than 5 %, which
no window tells from noise, is worth nothing; one that breaks it by less may exceed 100 %.

python -m benchmarks.ending
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option
from envs.belief.risk import RISKS
from envs.problems.draw_options import DrawOptions
from envs.problems.problem import Problem
from envs.spec import Configuration, verdict_of
from tuner.evaluation.cases import Case
from tuner.evaluation.simulated import simulated_cases
from tuner.policy.belief_tuner import BeliefTuner
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.expected_gain import ExpectedGainTuner

#: Measurements of a search, and the violation that counts as noise, a logarithm.
BUDGET, NOISE = 8, 0.05

#: Windows, repeats and broken limits of a search, and its answer's share of the optimum.
Result = tuple[int, int, int, float]


def solve(tuner: BeliefTuner, case: Case, ends: bool) -> Result:
    """Let a tuner search, and judge its answer by the truth."""
    measure, asked, broke = case.session(0), list[Configuration](), 0
    while len(asked) < BUDGET and not (ends and tuner.finished()):
        asked.append(tuner.ask_worthwhile() if ends else tuner.ask())
        tuner.tell(asked[-1], measure(asked[-1]))
        broke += tuner.broke
    kept = tuner.answer
    return len(asked), len(asked) - len(set(asked)), broke, _share(case, kept)


def _share(case: Case, answer: Configuration) -> float:
    assert case.truth is not None
    problem, weights = case.problem, np.array(case.problem.space.workload.weights)
    true = verdict_of(case.truth(answer.array()[None]), weights, problem.objective)
    return float(true.score[0] / case.best.score) if true.violation[0] <= NOISE else 0.0


def figures_of(name: str, results: list[Result], feasible: list[bool]) -> list[Figure]:
    """Return the means over the problems."""
    windows, repeats, broke, share = np.array(results).T
    return [
        figure(f"{name}: windows of a search", windows.mean(), ""),
        figure(f"{name}: of which repeated a configuration", repeats.mean(), ""),
        figure(f"{name}: of which broke a limit", broke.mean(), ""),
        figure(f"{name}: share of the optimum", 100 * share[np.array(feasible)].mean(), "%"),
    ]


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    add_bundle_option(arguments)
    arguments.add_argument("--problems", type=int, default=100)
    given = arguments.parse_args()
    bold, bundle = RISKS["bold"], load_bundle(given.bundle)
    makers: dict[str, Callable[[Problem], BeliefTuner]] = {
        "policy": partial(LearnedTuner, bundle, risk=bold),
        "rule": partial(ExpectedGainTuner, risk=bold),
    }
    found: dict[str, list[Result]] = {}
    feasible = []
    for case in simulated_cases(DrawOptions(), given.problems, 7):
        feasible.append(case.best.exists)
        for name, make in makers.items():
            for ends, how in ((False, f"all {BUDGET}"), (True, "ends by itself")):
                one = solve(make(case.problem), case, ends)
                found.setdefault(f"{name}, {how}", []).append(one)
    figures = [each for name, rows in found.items() for each in figures_of(name, rows, feasible)]
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
