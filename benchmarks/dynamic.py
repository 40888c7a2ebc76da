"""Let tenants come and go, rates triple and limits halve, and see what service makes of it.

Six scenarios are played on a simulated board, each with some draws of the board's truth. The
requests that are answered within their limits are compared with those of a placement that is chosen
with hindsight for each phase and costs no change. With `--live` the scenarios are played on this
computer, where the best of a small grid, measured in the same phase, is the placement to compare
with; its arrivals are such that a placement of the grid keeps every phase with room. Changes of
rates are not told: the controller has to notice them.

python -m benchmarks.dynamic
python -m benchmarks.dynamic --live
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.dynamic_scenarios import SCENARIOS, Scenario
from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option
from envs.spec import Measurement
from tuner.console import progress_bar
from tuner.control.guard import Phase
from tuner.control.period import Period

#: Periods at the begin of each phase in which the placement is searched for.
SEARCHING = 10


def options() -> argparse.Namespace:
    """Return the options of the command."""
    arguments = parser(__doc__)
    arguments.add_argument("--live", action="store_true", help="on this computer")
    arguments.add_argument("--only", nargs="+", type=int, help="numbers of scenarios, from 1")
    arguments.add_argument("--seeds", type=int, default=2, help="draws of the simulated truth")
    arguments.add_argument("--periods", type=int, default=40, help="of each phase")
    arguments.add_argument("--period-s", type=float, help="default: 3 s simulated, 1 s live")
    add_bundle_option(arguments)
    given = arguments.parse_args()
    if given.only and not set(given.only) <= set(range(1, len(SCENARIOS) + 1)):
        arguments.error(f"--only takes numbers from 1 to {len(SCENARIOS)}")
    if given.periods <= SEARCHING:
        arguments.error(f"--periods must be above {SEARCHING}")
    return given


def main() -> int:
    """Run the benchmark and return its exit code."""
    given = options()
    every = [each for n, each in enumerate(SCENARIOS, 1) if not given.only or n in given.only]
    figures = live_figures(given, every) if given.live else simulated_figures(given, every)
    return report(figures, given.json)


def simulated_figures(given: argparse.Namespace, every: Sequence[Scenario]) -> list[Figure]:
    """Play the scenarios on the simulated board."""
    from benchmarks.dynamic_simulated import play

    figures, phases = [], []
    with progress_bar("simulated", len(every) * given.seeds) as advance:
        for scenario in every:
            played = []
            for seed in range(given.seeds):
                played += play(scenario, given.bundle, seed, given.periods, given.period_s or 3.0)
                advance(scenario.name)
            share = sum(each.good for each in played) / sum(each.hindsight for each in played)
            name = f"simulated, {scenario.name}: goodput over hindsight"
            figures.append(figure(name, 100 * share, "%", ">= 95"))
            phases += played
    unserved = sum(each.unserved for each in phases)
    worst = min(each.good / each.hindsight for each in phases)
    return [
        *figures,
        figure("simulated: the same, of the worst phase", 100 * worst, "%"),
        *limit_figures("simulated", [each.periods for each in phases]),
        figure("simulated: periods with an active tenant unserved", unserved, "", "== 0"),
        *change_figures("simulated", [period for each in phases for period in each.periods]),
        figure(
            "simulated: longest decision, in processor time",
            max(each.deciding_s for each in phases),
            "s",
        ),
    ]


def live_figures(given: argparse.Namespace, every: Sequence[Scenario]) -> list[Figure]:
    """Play the scenarios on this computer."""
    from benchmarks.dynamic_live import play_all

    figures, phases = [], []
    for scenario, played in play_all(every, given.bundle, given.periods, given.period_s or 1.0):
        share = sum(each.good for each in played) / sum(each.hindsight for each in played)
        name = f"live, {scenario.name}: goodput over hindsight"
        figures.append(figure(name, 100 * share, "%", ">= 95"))
        phases += played
    broken = 100 * float(np.mean([each.hindsight_broken for each in phases]))
    longest_s = max(period.decision_us for each in phases for period in each.periods) / 1e6
    return [
        *figures,
        *limit_figures("live", [each.periods for each in phases]),
        figure("live: the same, of the placements chosen with hindsight", broken, "%"),
        *cause_figures([each.periods for each in phases]),
        figure(
            "live: accepted requests without an answer", sum(p.lost for p in phases), "", "== 0"
        ),
        figure("live: requests that were refused", sum(each.refused for each in phases), ""),
        *change_figures("live", [period for each in phases for period in each.periods]),
        figure("live: longest decision", longest_s, "s"),
    ]


def limit_figures(label: str, phases: Sequence[Sequence[Period]]) -> list[Figure]:
    """Return how many periods broke a limit."""
    later = [not period.kept for periods in phases for period in periods[SEARCHING:]]
    whole = [not period.kept for periods in phases for period in periods]
    name = f"{label}: periods that broke a limit, after the first {SEARCHING} of each phase"
    return [
        figure(name, 100 * float(np.mean(later)), "%", "<= 2"),
        figure(f"{label}: the same, of all periods", 100 * float(np.mean(whole)), "%"),
    ]


def cause_figures(phases: Sequence[Sequence[Period]]) -> list[Figure]:
    """Return the broken periods after the first ten by why their configurations served."""
    later = [period for periods in phases for period in periods[SEARCHING:]]
    return [
        figure(
            f"live: of those after the first {SEARCHING}, broken while {reason.value}",
            100 * sum(not each.kept and each.phase is reason for each in later) / len(later),
            "%",
        )
        for reason in Phase
    ]


def change_figures(label: str, periods: Sequence[Period]) -> list[Figure]:
    """Return what changes cost, and what was expected."""
    changes = [
        (period.expected, period.outcome)
        for period in periods
        if period.expected is not None and isinstance(period.outcome, Measurement)
    ]
    if not changes:
        return []
    expected = np.array([[float(each) for each in change] for change, _ in changes])
    paid = np.array([[o.apply_s, o.change_requests, o.change_j] for _, o in changes])
    figures = [figure(f"{label}: changes of the placement", len(changes), "")]
    for column, (what, unit) in enumerate(
        (("seconds of a change", "s"), ("requests delayed by a change", ""), ("joules", "J"))
    ):
        if np.isnan(paid[:, column]).all():
            sensors = {outcome.sensor for _, outcome in changes}
            why = ": this computer has no power sensor" if sensors == {"none"} else ""
            print(f"{label}: {what} of a change were not measured{why}")
            continue
        figures += [
            figure(f"{label}: {what}, mean", float(np.nanmean(paid[:, column])), unit),
            figure(f"{label}: {what}, expected", float(np.mean(expected[:, column])), unit),
        ]
    return figures


if __name__ == "__main__":
    sys.exit(main())
