"""Compare tuners where mappings of layer groups are choices beside whole accelerators.

Problems are drawn as in `benchmarks.transfer`, from boards, networks and limits that no training
drew, and those are kept whose network has mappings that are worth being places. At most eight of
them join the space. A share is of the best configuration of this larger space. The gain of an
oracle is its score over that of the best configuration without mappings, on the same device with
the same limits. Every number is simulated; the policy was trained without mappings.

python -m benchmarks.mapping_space
python -m benchmarks.mapping_space --quick
python -m benchmarks.mapping_space --two-tenants
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option
from benchmarks.transfer_figures import print_table
from envs.mappings.front import MEMBERS
from envs.mappings.places import mapping_names
from envs.problems.draw import DrawnProblem, draw_problem
from envs.problems.draw_options import DrawOptions
from envs.problems.problem import Problem
from envs.simulator.known_layers import known_groups
from envs.spec import Configuration, rank
from envs.traces.reader import Trace
from tuner.console import progress_bar, table
from tuner.evaluation.cases import Best, Case
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.front import RULE
from tuner.evaluation.reference import exhaustive, searched
from tuner.evaluation.running import compare
from tuner.evaluation.simulated import MAX_LISTED, simulated_case
from tuner.evaluation.statistics import Summary, summarize
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.protocol import Tuner
from tuner.search.registry import make_search

#: Measurements after which tuners are compared.
BUDGETS = (3, 8)

#: Least mean share of the oracle after 8 measurements, in percent.
BAR = ">= 97"


@dataclass(frozen=True)
class Drawing:
    """A problem whose networks have mappings.

    Attributes:
        key: numbers of its draw.
        names: [T] mappings of each network.
        whole: the best configuration without mappings.
    """

    key: tuple[int, ...]
    names: tuple[tuple[str, ...], ...]
    whole: Best


@dataclass(frozen=True)
class MappedCases:
    """Problems with mappings among their places.

    Attributes:
        options: to draw from.
        drawings: of these problems.
    """

    options: DrawOptions
    drawings: tuple[Drawing, ...]

    @property
    def trace(self) -> Trace | None:
        """Return None: nothing is replayed."""
        return None

    def __len__(self) -> int:
        return len(self.drawings)

    def __getitem__(self, index: int) -> Case:
        drawing = self.drawings[index]
        rng = np.random.default_rng(np.random.SeedSequence(drawing.key))
        drawn = draw_problem(self.options, rng).with_mappings(drawing.names)
        case = simulated_case(drawn, rng, drawing.key)
        scores, beyond = (
            [getattr(each, name) for each in (case.best, drawing.whole)]
            for name in ("score", "violation")
        )
        if rank(np.array(scores), np.array(beyond)).argmax() == 0:
            return case
        wider = np.zeros((*case.problem.space.shape, 2), dtype=np.int16)
        placements = drawing.whole.configuration.array()
        wider[:, : placements.shape[1]] = placements
        best = replace(drawing.whole, configuration=Configuration.of(wider))
        return replace(case, best=best)


def drawings(
    options: DrawOptions, count: int, seed: int, advance: Callable[[str], object]
) -> tuple[Drawing, ...]:
    """Return the first problems that have mappings."""
    found: list[Drawing] = []
    number = 0
    while len(found) < count:
        key = (seed, number)
        number += 1
        drawn = draw_problem(options, np.random.default_rng(np.random.SeedSequence(key)))
        names = names_of(drawn)
        if any(names):
            found.append(Drawing(key, names, whole_best(drawn)))
            advance(drawn.name)
    return tuple(found)


def names_of(drawn: DrawnProblem) -> tuple[tuple[str, ...], ...]:
    """Return the mappings [T] of each network, at most `MEMBERS` together."""
    model = drawn.model
    most = MEMBERS // len(model.networks)
    return tuple(
        mapping_names(known_groups(layers), model.space.device, model.machine, most=most)
        for layers in model.networks
    )


def whole_best(drawn: DrawnProblem) -> Best:
    """Return the best configuration of a problem without mappings."""
    model, space = drawn.model, drawn.model.space
    if space.combinations <= MAX_LISTED:
        return exhaustive(model, drawn.truth, drawn.objective, space.catalogue)
    return searched(model, drawn.truth, drawn.objective)


def gains(comparison: Comparison, every: Sequence[Drawing]) -> list[Figure]:
    """Print the oracle's gain over whole-network placement, and return its figures.

    Gains are over the problems whose limits can be kept without mappings.
    """
    by_place: Mapping[str, Mapping[str, list[float]]] = {
        kind: defaultdict(list) for kind in ("board", "network")
    }
    shares, newly = [], 0
    for case, drawing in zip(comparison.cases, every, strict=True):
        if not drawing.whole.exists:
            newly += case.best.exists
            continue
        shares.append(case.best.score / drawing.whole.score - 1)
        for kind, found in by_place.items():
            for value in case.groups[kind]:
                found[value].append(shares[-1])
    for kind, found in by_place.items():
        rows = [
            [name, str(len(own)), *(f"{100 * each:.1f}" for each in (np.mean(own), max(own)))]
            for name, own in sorted(found.items())
        ]
        print(f"\nsimulated: gain of the oracle by mappings, by {kind}")
        table([kind, "problems", "mean [%]", "most [%]"], rows)
    one_in_20 = float(np.mean(np.array(shares) > 0.05))
    return [
        figure("gain of the oracle by mappings, mean", 100 * float(np.mean(shares)), "%"),
        figure("gain of the oracle by mappings, most", 100 * max(shares), "%"),
        figure("problems in which mappings gain more than 5 %", 100 * one_in_20, "%"),
        figure("problems that only mappings solve", newly, "problems"),
    ]


def shares_of(comparison: Comparison, summaries: Sequence[Summary]) -> list[Figure]:
    """Return the shares of the oracle."""
    where = f"{summaries[0].cases} problems x {len(comparison.seeds)} seeds"
    figures = []
    for each in summaries:
        bar = BAR if each.tuner == "policy" and each.budget == max(BUDGETS) else ""
        name = f"{each.tuner} after {each.budget}"
        figures += [
            figure(f"{name}: share of the oracle, mean ({where})", 100 * each.share_mean, "%", bar),
            figure(f"{name}: share of the oracle, 5th percentile", 100 * each.share_p5, "%"),
            figure(f"{name}: feasible where possible", 100 * each.feasible_share, "%"),
            figure(f"{name}: measurements beyond a limit", 100 * each.broken_share, "%"),
        ]
    return figures


def options(arguments: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the options of the command."""
    add_bundle_option(arguments)
    arguments.add_argument("--cases", type=int, help="problems (default: 200)")
    arguments.add_argument("--seeds", type=int, help="of each tuner (default: 5)")
    arguments.add_argument("--seed", type=int, default=1000, help="of the draw")
    arguments.add_argument("--two-tenants", action="store_true", help="two networks at once")
    arguments.add_argument("--quick", action="store_true", help="16 problems, 1 seed")
    arguments.add_argument("--jobs", type=int, default=2, help="processes")
    return arguments.parse_args()


def tuners(bundle: Path) -> dict[str, Callable[[Problem], Tuner]]:
    """Return the policy, and the rule and the model without training."""
    return {
        "policy": partial(LearnedTuner, load_bundle(bundle)),
        **{name: partial(make_search, name) for name in (RULE, "model_argmax")},
    }


def main() -> int:
    """Run the benchmark and return its exit code."""
    given = options(parser(__doc__))
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(library, "1")  # the worker processes read it: one core each
    cases, seeds = (
        given.cases or (16 if given.quick else 200),
        given.seeds or (1 if given.quick else 5),
    )
    draw = DrawOptions(split="held_out", tenants=[0.0, 1.0] if given.two_tenants else [1.0])
    with progress_bar("drawing problems with mappings", cases) as advance:
        every = drawings(draw, cases, given.seed, advance)
    with progress_bar(f"up to {max(BUDGETS)} measurements, {cases} problems", cases) as advance:
        comparison = compare(
            tuners(given.bundle),
            MappedCases(draw, every),
            range(seeds),
            BUDGETS,
            progress=advance,
            jobs=given.jobs,
        )
    summaries = [
        summarize(comparison, tuner, budget) for tuner in comparison.tuners for budget in BUDGETS
    ]
    print_table(summaries, comparison)
    figures = [*shares_of(comparison, summaries), *gains(comparison, every)]
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
