"""Do the policy, which was trained in the model, and the untrained rule tune this computer well?

For each network, every configuration of a space is measured once, and limits on p99 are drawn from
that; a limit counts if some configuration of the grid keeps it by more than windows scatter. Under
each of them both tune live as `python -m tuner.tune` does: with some measurements at most, and with
windows that confirm the answer. The answers are measured in turns with the best configuration of
the grid, whose few best were measured again before, since the best of many single windows is the
luckiest, too. An answer that breaks the limit then, by more than noise, is worth nothing. The rule
has the price of a broken limit at which it breaks as many as the policy in the model of this
computer.

python -m benchmarks.live_grid
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.live_networks import live_files
from benchmarks.live_tuning import LiveOptions, Result, live_grid
from benchmarks.setup import add_bundle_option, invented_samples
from envs.belief.risk import parse_risk
from envs.problems.problem import Problem
from envs.problems.twin import twin_world
from envs.runtimes.serving.measuring import ServingOptions
from tuner.api import MEASUREMENTS
from tuner.confirming import FEWEST_PAIRS
from tuner.console import progress_bar, table
from tuner.device import Device, open_device
from tuner.evaluation.equal_risk import equal_risk, sentence
from tuner.evaluation.rollouts import policy_decides
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.expected_gain import ExpectedGainTuner
from tuner.search.protocol import Tuner

#: Networks that no training draws, with a millisecond each at least; one has attention.
NETWORKS = ("squeezenet1_1_64", "temporal", "convnext", "resnet50_32", "transformer", "u_net")

#: The price of a broken limit: the bar allows fewer windows over a limit than `bold` gives.
RISK = "balanced"

#: The first batches of an instance run before it counts as applied: windows need little more.
WARMUP_S = 0.1

#: Of the policy: its answers on average, the worst of them, windows over a limit, and windows of
#: one configuration.
GOALS = (">= 95", ">= 85", "<= 3", "<= 3")

#: Measurements of an answer's search: those made, and those given; the others were not worth it.
COUNTS = ("searched", "planned")

HEAD = [
    *("network", "tuner", "p99 limit [ms]", "best of the grid", "answer", "score, in turns"),
    *("broke", "windows", "of one"),
]


def tuners_of(device: Device, given: argparse.Namespace) -> dict[str, Callable[[Problem], Tuner]]:
    """Return makers of the policy, and of the rule at the price at which it risks as much."""
    bundle = load_bundle(given.bundle)
    with progress_bar("drawing problems of this computer", given.training_problems) as advance:
        world = twin_world(
            device.model, given.training_problems, 0, 2, lambda new: advance("", new)
        )
    risk = parse_risk(given.risk)
    equal = equal_risk(world, policy_decides(bundle), risk=risk)
    print(sentence(equal))
    return {
        "policy": partial(LearnedTuner, bundle, risk=risk),
        "rule": partial(ExpectedGainTuner, risk=equal.risk),
    }


def results_of(path: Path, given: argparse.Namespace) -> list[Result]:
    """Measure the grid of a network, tune live under limits drawn from it, and compare."""
    options = LiveOptions(
        given.limits, given.measurements, given.pairs, given.window, turns=given.turns
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        open_device(
            path,
            max_instances=given.instances,
            batches=given.batches,
            serving=ServingOptions(warmup_s=WARMUP_S),
            **invented_samples(path, Path(folder)),
        ) as device,
    ):
        grid = live_grid(device, options)
        tuners = tuners_of(device, given)
        return [
            each
            for objective in grid.objectives()
            for each in grid.compare(device.problem(objective), tuners)
        ]


def figures_of(found: dict[str, list[Result]]) -> list[Figure]:
    """Return the figures of both tuners over all networks and limits."""
    figures = [figure("networks that no training drew", len(found), "")]
    every = [each for results in found.values() for each in results]
    for tuner in dict.fromkeys(each.tuner for each in every):
        own = [each for each in every if each.tuner == tuner]
        goals = GOALS if tuner == "policy" else ("",) * len(GOALS)
        shares, broke = [each.share for each in own], sum(len(each.broke) for each in own)
        searched, given = (sum(getattr(each.answer, n) for each in own) for n in COUNTS)
        rows = [
            ("live answer over the best of the live grid, mean", 100 * np.mean(shares), "%"),
            (f"the same, worst of {len(own)} limits", 100 * min(shares), "%"),
            ("measurements over the limit, of all that were given", 100 * broke / given, "%"),
            ("windows of a configuration in a search, most", max(e.most_windows for e in own), ""),
        ]
        figures += [
            figure(f"{tuner}: {name}", float(number), unit, goal)
            for (name, number, unit), goal in zip(rows, goals, strict=True)
        ]
        figures += [
            figure(f"{tuner}: measurements of a search that were made", searched / len(own), ""),
            figure(f"{tuner}: of those, over the limit", 100 * broke / searched, "%"),
            figure(
                f"{tuner}: over the limit in the mean of all windows of the configuration, too",
                100 * sum(len(each.beyond) for each in own) / given,
                "%",
            ),
        ]
    figures.append(
        figure(
            "best of the live grid: windows in turns over the limit",
            100 * float(np.mean([each.best_broke for each in every])),
            "%",
        )
    )
    for network, results in found.items():
        shares = [each.share for each in results if each.tuner == "policy"]
        figures.append(figure(f"{network}, policy: mean", 100 * float(np.mean(shares)), "%"))
    return figures


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--networks", nargs="+", default=NETWORKS, help="names or files")
    add_bundle_option(arguments)
    arguments.add_argument("--instances", type=int, default=2)
    arguments.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4])
    arguments.add_argument("--limits", type=int, default=4)
    arguments.add_argument("--measurements", type=int, default=MEASUREMENTS)
    arguments.add_argument("--pairs", type=int, default=FEWEST_PAIRS)
    arguments.add_argument("--risk", default=RISK, help="the price of a broken limit")
    arguments.add_argument(
        "--training-problems", type=int, default=40, help="on which the price of the rule is found"
    )
    arguments.add_argument("--turns", type=int, default=3)
    arguments.add_argument("--window", type=float, default=0.5, help="seconds of each measurement")
    given = arguments.parse_args()
    found: dict[str, list[Result]] = {}
    for path in live_files(given.networks):
        found[path.stem] = results_of(path, given)
        table(HEAD, [row_of(path.stem, each) for each in found[path.stem]])
    return report(figures_of(found), given.json)


def row_of(network: str, result: Result) -> list[str]:
    """Return a result as a row of the table."""
    tried, numbers = result.answer, [result.answer.searched, result.most_windows]
    return [
        network,
        result.tuner,
        f"{result.limits_ms[0]:.2f}",
        str(result.best),
        str(tried.configuration),
        f"{result.share:.1%}",
        ", ".join(map(str, result.broke)),
        *map(str, numbers),
    ]


if __name__ == "__main__":
    sys.exit(main())
