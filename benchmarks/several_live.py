"""Tune three and four networks at once on this computer, and compare with a long search.

200 random configurations are measured. Limits on p99 lie half way, in logarithms, between what the
calmest of them gave and what the one with the most throughput gave, by windows of their own; so
one of them keeps all limits by more than windows scatter (`benchmarks.several_limits`). Under these
limits hill climbing goes on from the best for 100 measurements. Then the policy and the untrained
rule tune as `python -m tuner.tune` does, but use all of their 12 measurements, before a few pairs
of windows confirm the answer; both pay the same price for a broken limit. The best few of the 300
are measured again, since the best of many single windows is the luckiest, and the answers are
measured in turns with the best of those. An answer that breaks a limit then, by more than noise, is
worth nothing.

The windows of the search and the limits are kept in files: after an interruption the same command
goes on with them. A search that came to its end is measured anew.

python -m benchmarks.several_live
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.live_networks import live_files
from benchmarks.live_tuning import LiveOptions, Measured, Result
from benchmarks.setup import add_bundle_option, invented_samples
from benchmarks.several_limits import kept_ends
from envs.problems.problem import Problem
from envs.problems.sampling import sample_placements
from envs.runtimes.serving.measuring import ServingOptions
from envs.spec import Configuration, ConfigurationSpace, Outcome
from envs.traces.schema import configuration_of, outcome_of
from envs.traces.writer import TraceWriter
from tuner.confirming import FEWEST_PAIRS
from tuner.console import progress_bar, table
from tuner.device import Device, open_device
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.expected_gain import ExpectedGainTuner
from tuner.search.hill_climb import HillClimb
from tuner.search.protocol import Tuner

#: Networks that no training drew; the first three, or all four, are served at once. A core serves
#: one image in 3 to 20 ms: p99 of networks of a millisecond is that of the computer's scheduler.
NETWORKS = ("squeezenet1_1_224", "transformer", "resnet50_96", "u_net")

#: The share of the best in percent that the policy's answer reaches at least.
GOAL = ">= 90"

#: The first batches of an instance run before it counts as applied: windows need little more.
WARMUP_S = 0.1

HEAD = ["case", "tuner", "p99 limits [ms]", "best", "answer", "score, in turns", "broke"]

NUMBERS = {2: "two", 3: "three", 4: "four"}


class Search(NamedTuple):
    """A finished search under one limit for each network, and what the tuners made of the same.

    Attributes:
        kept: share of its configurations that kept the limits in their single windows.
        climbed: True if hill climbing found the best of those.
        results: of the tuners.
    """

    kept: float
    climbed: bool
    results: list[Result]


class Asked:
    """A tuner that uses all of its measurements: it does not say when nothing more is worth one.

    Args:
        make: makes the tuner.
        problem: to solve.
    """

    def __init__(self, make: Callable[[Problem], Tuner], problem: Problem) -> None:
        self._tuner = make(problem)

    def ask(self) -> Configuration:
        """Return the next configuration to measure."""
        return self._tuner.ask()

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        """Learn the outcome of a configuration."""
        self._tuner.tell(configuration, outcome)


class Recorded(Measured):
    """Configurations whose windows are kept in a file, from which an interrupted search goes on.

    Args:
        device: to measure.
        options: how.
        writer: of the file.
    """

    def __init__(self, device: Device, options: LiveOptions, writer: TraceWriter) -> None:
        super().__init__(device, options)
        self._writer = writer
        for row in writer.rows:
            super().add(configuration_of(device.space, row), outcome_of(device.space, row))

    def __len__(self) -> int:
        return len(self.outcomes)

    def add(self, configuration: Configuration, outcome: Outcome | None = None) -> Outcome:
        """Measure a configuration, or take its outcome, and keep and return the outcome."""
        found = super().add(configuration, outcome)
        self._writer.append(configuration, found, 1, time.time())
        return found


@contextmanager
def opened(paths: list[Path]) -> Iterator[Device]:
    """Open a device that serves some networks in a closed loop."""
    with tempfile.TemporaryDirectory() as name:
        samples = [invented_samples(path, Path(name))["samples"][0] for path in paths]
        with open_device(
            paths,
            max_instances=2,
            batches=[1, 2, 4],
            serving=ServingOptions(warmup_s=WARMUP_S),
            samples=samples,
            min_agreement=0.0,
        ) as device:
            yield device


def searches_of(tenants: int, given: argparse.Namespace) -> list[Search]:
    """Search the configurations of so many networks, tune under the same limits, and compare."""
    options = LiveOptions(
        given.limits,
        given.measurements,
        given.pairs,
        given.window,
        finalists=given.finalists,
        again=given.again,
        turns=given.turns,
    )
    path = given.out / f"{NUMBERS[tenants]}_networks.parquet"
    ends = path.with_suffix(".limits.json")
    if not path.with_name(path.name + ".journal").exists():  # it came to its end, or never began
        path.unlink(missing_ok=True)
        ends.unlink(missing_ok=True)
    names = ("random", "climbed", "limits", "window")
    plan = {"plan": {name: getattr(given, name) for name in names}}
    with (
        opened(live_files(list(NETWORKS[:tenants]))) as device,
        TraceWriter(path, device.space, plan) as writer,
    ):
        measured = Recorded(device, options, writer)
        measure_random(measured, device.space, given.random)
        found = []
        for objective in kept_ends(ends, measured, given.random, given.again).objectives(
            given.limits
        ):
            problem = device.problem(objective)
            climb(measured, problem, given.random + (len(found) + 1) * given.climbed)
            found.append(compared(measured, problem, given))
        writer.publish(complete=True)
    return found


def measure_random(measured: Recorded, space: ConfigurationSpace, count: int) -> None:
    """Measure those of the random configurations that have no window yet."""
    drawn = sample_placements(space, np.random.default_rng(0), 2 * count)
    chosen = list(dict.fromkeys(Configuration.of(each) for each in drawn))[:count]
    title = f"{space.shape[0]} networks, random"
    with progress_bar(title, count, min(len(measured), count)) as advance:
        for configuration in chosen[len(measured) :]:
            measured.add(configuration)
            advance(space.describe(configuration))


def climb(measured: Recorded, problem: Problem, count: int) -> None:
    """Climb from the best that was measured until so many configurations were."""
    search = HillClimb(problem)
    for each in zip(measured.configurations, measured.outcomes, strict=True):
        search.tell(*each)
    with progress_bar("hill climbing", max(count - len(measured), 0)) as advance:
        while len(measured) < count:
            configuration = search.ask()
            search.tell(configuration, measured.add(configuration))
            advance(problem.space.describe(configuration))


def compared(measured: Recorded, problem: Problem, given: argparse.Namespace) -> Search:
    """Let both tuners tune, and compare their answers with the best that was measured."""
    bundle = replace(load_bundle(given.bundle), budget=given.measurements)
    makers = {"policy": partial(LearnedTuner, bundle), "rule": ExpectedGainTuner}
    tuners = {name: partial(Asked, make) for name, make in makers.items()}
    kept = [problem.judge(each)[1] <= 0 for each in measured.outcomes]
    results = measured.compare(problem, tuners)
    climbed = measured.configurations.index(results[0].best) >= given.random
    return Search(float(np.mean(kept)), climbed, results)


def figures_of(tenants: int, searches: list[Search], count: int) -> list[Figure]:
    """Return the figures of both tuners over the limits, and print what they are made of."""
    label, figures, rows = f"{NUMBERS[tenants]} networks", [], []
    for tuner in ("policy", "rule"):
        own = [each for found in searches for each in found.results if each.tuner == tuner]
        rows += [row_of(label, each) for each in own]
        searched = sum(each.answer.searched for each in own)
        broke = [len(each.broke) for each in own]
        beyond = [len(each.beyond) for each in own]
        mean = 100 * float(np.mean([each.share for each in own]))
        goal = GOAL if tuner == "policy" else ""
        figures += [
            figure(f"{label}, {tuner}: answer over the best of {count} measured", mean, "%", goal),
            figure(f"{label}, {tuner}: measurements of its search", searched / len(own), ""),
            figure(f"{label}, {tuner}: of those, over a limit", 100 * sum(broke) / searched, "%"),
            figure(
                f"{label}, {tuner}: over it in the mean of all windows of the configuration, too",
                100 * sum(beyond) / searched,
                "%",
            ),
        ]
    table(HEAD, rows)
    shares = {
        "measured configurations within the limits, in single windows": [e.kept for e in searches],
        "limits of which hill climbing found the best": [each.climbed for each in searches],
        "windows of the best, in turns, that broke a limit": [
            each.results[0].best_broke for each in searches
        ],
    }
    return figures + [
        figure(f"{label}: {name}", 100 * float(np.mean(values)), "%")
        for name, values in shares.items()
    ]


def row_of(label: str, result: Result) -> list[str]:
    """Return a result as a row of the table."""
    return [
        label,
        result.tuner,
        " ".join(f"{each:.1f}" for each in result.limits_ms),
        str(result.best),
        str(result.answer.configuration),
        f"{result.share:.1%}",
        f"{len(result.broke)} of {result.answer.searched}",
    ]


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    add_bundle_option(arguments)
    arguments.add_argument("--tenants", type=int, nargs="+", default=[3, 4], choices=list(NUMBERS))
    arguments.add_argument("--random", type=int, default=200, help="configurations")
    arguments.add_argument("--climbed", type=int, default=100, help="configurations for each limit")
    arguments.add_argument("--limits", type=int, default=1, help="for each number of networks")
    arguments.add_argument("--measurements", type=int, default=12, help="of a tuner, at most")
    arguments.add_argument("--pairs", type=int, default=FEWEST_PAIRS, help="that confirm an answer")
    arguments.add_argument("--finalists", type=int, default=6)
    arguments.add_argument("--again", type=int, default=3, help="windows more of each finalist")
    arguments.add_argument("--turns", type=int, default=5)
    arguments.add_argument("--window", type=float, default=2.0, help="seconds of each measurement")
    arguments.add_argument("--out", type=Path, default=Path("runs/several_live"))
    given = arguments.parse_args()
    figures = []
    for tenants in given.tenants:
        count = given.random + given.climbed
        figures += figures_of(tenants, searches_of(tenants, given), count)
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
