"""Half an hour under control, live, with limits that change.

Reports memory, broken limits, and throughput against the best fixed configuration. First every
configuration of a small space is measured. Then the controller serves through phases, each with a
limit of its own. Every few periods it pauses for a round, in which the fastest configurations that
kept the limit in the grid are measured, one window each: a computer drifts, so what is compared
has to be measured at the same time and brought to the same level. The best fixed configuration of
a phase is chosen with hindsight, among those that kept its limit in all rounds.

python -m benchmarks.soak
python -m benchmarks.soak --minutes 5
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option, invented_samples
from benchmarks.soak_phases import PLACES, Grid, Phase, measured
from envs.catalog.architectures import build
from envs.errors import BundleError
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.process_memory import resident_mib
from envs.spec import Measurement
from tuner.console import progress_bar, table
from tuner.control.build import controller_of
from tuner.control.controller import ControlOptions
from tuner.control.events import EventKind
from tuner.control.journal import Journal
from tuner.control.period import Period
from tuner.device import Device, open_device
from tuner.policy.bundle import load_bundle

#: Number of fixed configurations that a phase is compared with.
RIVALS = 3


def phases(
    served: Device,
    grid: Grid,
    folder: Path,
    bundle: Path,
    period_s: float,
    periods: int,
    count: int,
    journal: Journal,
) -> Iterator[Phase]:
    """Serve under each limit in turn, with one controller, in `count` rounds of some periods."""
    path = folder / "limits.json"
    limits = grid.limits_ms()
    path.write_text(json.dumps({"p99_ms": limits[0]}))
    controller = controller_of(
        served, {}, path, bundle, folder, ControlOptions(period_s)
    ).controller
    with progress_bar("serving", periods * len(limits)) as advance:
        for limit_ms in limits:
            path.write_text(json.dumps({"p99_ms": limit_ms}))
            rivals = grid.best_first(limit_ms)[:RIVALS]
            passed: list[Period] = []
            rounds: list[list[tuple[float, float]]] = []
            after: list[int] = []
            for number in range(periods):
                passed.append(controller.step())
                journal.write(passed[-1].as_dict(served.space))
                advance(f"{passed[-1].phase.value}, p99 <= {limit_ms:.1f} ms")
                if (number + 1) * count // periods > len(rounds):
                    rounds.append([measured(served, rival, period_s) for rival in rivals])
                    after.append(number + 1)
            ips, p99_ms = np.array(rounds).transpose(2, 1, 0)
            yield Phase(limit_ms, passed, after, rivals, ips, p99_ms, resident_mib())


def options() -> argparse.Namespace:
    """Return the options of the command; wrong ones end it before anything is measured."""
    arguments = parser(__doc__)
    arguments.add_argument("--minutes", type=float, default=30.0, help="under control")
    arguments.add_argument("--period-s", type=float, default=2.0)
    arguments.add_argument(
        "--windows", type=int, default=3, help="of each configuration of the grid"
    )
    arguments.add_argument(
        "--rounds", type=int, default=20, help="rounds of each phase that measure its rivals"
    )
    arguments.add_argument("--journal", type=Path, help="write a JSON line a period to this file")
    add_bundle_option(arguments)
    given = arguments.parse_args()
    if min(given.minutes, given.period_s, given.windows, given.rounds) <= 0:
        arguments.error("--minutes, --period-s, --windows and --rounds must be above zero")
    try:
        load_bundle(given.bundle)
    except BundleError as error:
        arguments.error(str(error))
    return given


def served_phases(given: argparse.Namespace, folder: Path) -> list[Phase]:
    """Measure the grid of a small network, then serve it under one limit after the other."""
    onnx.save(build("squeezenet1_1", image_size=96, classes=10), folder / "small.onnx")
    # A period takes warm-up and change as well as its window.
    periods = max(12, round(60 * given.minutes / len(PLACES) / (1.2 * given.period_s)))
    serving = ServingOptions(timeout_s=30.0)
    with open_device(
        folder / "small.onnx",
        max_instances=2,
        batches=[1, 2, 4],
        serving=serving,
        **invented_samples(folder / "small.onnx", folder),
    ) as device:
        grid = Grid(device, given.period_s, given.windows)
        journal = Journal(given.journal or folder / "journal")
        every = phases(
            device,
            grid,
            folder,
            given.bundle,
            given.period_s,
            periods,
            given.rounds,
            journal,
        )
        return list(every)


def main() -> int:
    """Run the benchmark and return its exit code."""
    given = options()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        every = served_phases(given, Path(name))
    show(every)
    whole = figure("the whole run", (time.monotonic() - began_s) / 60, "min")
    return report([whole, *figures_of(every)], given.json)


def figures_of(every: list[Phase]) -> list[Figure]:
    """Return the figures of all phases together."""
    periods = [period for phase in every for period in phase.periods]
    measured_s = [p.outcome.window_s for p in periods if isinstance(p.outcome, Measurement)]
    failures = sum(
        event.kind is EventKind.POLICY_FAILED for period in periods for event in period.events
    )
    later = periods[10:]
    alone = [
        period
        for period in later
        if not (isinstance(period.outcome, Measurement) and period.outcome.disturbed)
    ]
    return [
        figure(f"windows of {len(periods)} periods under control", sum(measured_s) / 60, "min"),
        figure(
            "periods that broke a limit, after the first ten",
            broken_percent(later),
            "%",
            "< 1",
        ),
        figure(
            "the same, of periods that nothing else on the computer disturbed",
            broken_percent(alone),
            "%",
        ),
        figure(
            "the same, of the windows of the best fixed configurations",
            100 * float(np.mean([phase.fixed[1] for phase in every])),
            "%",
        ),
        figure(
            "throughput over the best fixed configuration of each phase, least",
            100 * float(np.nanmin([phase.share for phase in every])),
            "%",
            ">= 95",
        ),
        figure("times that the policy failed", failures, "", "== 0"),
        figure(
            "resident memory after a phase over the first one with its limit, largest",
            100 * growth(every),
            "%",
            "<= 105",
        ),
    ]


def broken_percent(periods: list[Period]) -> float:
    """Return the share of periods that broke a limit [%]."""
    return 100 * float(np.mean([not period.kept for period in periods])) if periods else math.nan


def growth(every: list[Phase]) -> float:
    """Return the largest growth of resident memory between phases with the same limit."""
    first: dict[float, float] = {}
    return max(
        phase.memory_mib / first.setdefault(phase.limit_ms, phase.memory_mib) for phase in every
    )


def show(every: list[Phase]) -> None:
    """Print a row for each phase."""
    rows = []
    for phase in every:
        served, (fixed, broken) = phase.served_ips, phase.fixed
        numbers = (
            f"{phase.limit_ms:.1f}",
            str(len(phase.periods)),
            f"{served:.0f}",
            f"{fixed:.0f}",
            f"{phase.share:.1%}",
        )
        rows.append(
            [
                *numbers,
                f"{phase.broken / len(phase.periods):.1%}",
                f"{broken:.1%}",
                f"{phase.memory_mib:.0f}",
            ]
        )
    fixed_columns = [
        "best fixed, with hindsight [1/s]",
        "share",
        "beyond the limit",
        "best fixed beyond it",
    ]
    table(["p99 limit [ms]", "periods", "served [1/s]", *fixed_columns, "resident [MiB]"], rows)


if __name__ == "__main__":
    sys.exit(main())
