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

import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option
from envs.catalog.architectures import build
from envs.errors import BundleError
from envs.runtimes.protocol import try_configuration
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.process_memory import resident_mib
from envs.spec.measurement import Measurement
from envs.spec.space import Configuration
from tuner.console import progress_bar, table
from tuner.control.build import controller_of
from tuner.control.controller import ControlOptions
from tuner.control.events import EventKind
from tuner.control.journal import Journal
from tuner.control.period import Period
from tuner.device import Device, open_device
from tuner.policy.bundle import load_bundle

#: Positions along the front of throughput and p99, from slow to fast. The limit of a phase is one
#: that the configuration there keeps, so that limits bind.
PLACES = (1.0, 0.5, 0.75, 0.25, 1.0, 0.6)

#: A limit is this multiple of that configuration's p99 in the grid, because a computer that shares
#: its host with others is not equally fast for half an hour.
ROOM = 2.0

#: Number of fixed configurations that a phase is compared with.
RIVALS = 3


class Grid:
    """Throughput and p99 of every configuration in some windows [N, W]; NaN where it failed."""

    def __init__(self, served: Device, window_s: float, windows: int) -> None:
        self.configurations = [Configuration.of(row) for row in served.space.catalogue]
        shape = (len(self.configurations), windows)
        self.ips, self.p99_ms = np.empty(shape), np.empty(shape)
        with progress_bar("grid", shape[0] * windows) as advance:
            for window in range(windows):
                for row, configuration in enumerate(self.configurations):
                    self.ips[row, window], self.p99_ms[row, window] = measured(
                        served, configuration, window_s
                    )
                    advance(served.space.describe(configuration))

    def front(self) -> list[int]:
        """Return the rows that no other beats in both throughput and p99, the slowest first."""
        ips, p99_ms = self.ips.mean(axis=1), self.p99_ms.max(axis=1)
        order = [row for row in np.lexsort((-ips, p99_ms)) if np.isfinite(ips[row] + p99_ms[row])]
        return [
            row
            for place, row in enumerate(order)
            if all(ips[row] > ips[other] for other in order[:place])
        ]

    def limits_ms(self) -> list[float]:
        """Return the limit of each phase."""
        front = self.front()
        return [
            ROOM * float(np.median(self.p99_ms[front[round(place * (len(front) - 1))]]))
            for place in PLACES
        ]

    def best_first(self, limit_ms: float) -> list[Configuration]:
        """Return the configurations that kept the limit in every window, the fastest first."""
        kept = (self.p99_ms <= limit_ms).all(axis=1)
        rows = np.flatnonzero(kept)
        return [self.configurations[row] for row in rows[np.argsort(-self.ips[rows].mean(axis=1))]]


@dataclass(frozen=True)
class Phase:
    """One limit for a while.

    Attributes:
        periods: under control.
        rounds: after how many periods each round came.
        rivals: the configurations that were measured in the rounds.
        rivals_ips, rivals_p99_ms: [RIVALS, rounds], NaN where one failed.
        memory_mib: resident at the end.
    """

    limit_ms: float
    periods: list[Period]
    rounds: list[int]
    rivals: list[Configuration]
    rivals_ips: np.ndarray
    rivals_p99_ms: np.ndarray
    memory_mib: float

    @property
    def served_ips(self) -> float:
        """Mean throughput of all periods; a period that broke the limit counts as 0."""
        return float(np.mean([period.score_ips * period.kept for period in self.periods]))

    @cached_property
    def fixed(self) -> tuple[float, float]:
        """Throughput of the best fixed configuration, and the share of its rounds that broke.

        It is the best of those that kept the limit in every round. If none did, a round that broke
        the limit counts as 0, as a period does.
        """
        kept = (self.rivals_p99_ms <= self.limit_ms).mean(axis=1)
        ips = self._rivals_at_all_times()
        worth = np.where(kept == 1, ips, np.nan) if (kept == 1).any() else ips * kept
        best = int(np.nanargmax(worth))
        return float(worth[best]), float(1 - kept[best])

    def _rivals_at_all_times(self) -> np.ndarray:
        """Return the mean throughput that each rival would have had in the periods [RIVALS].

        It allows for how fast the computer was at the time.
        """
        windows = [
            (at, period.configuration, period.score_ips)
            for at, period in enumerate(self.periods)
            if period.score_ips > 0
        ]
        for rival, row in zip(self.rivals, self.rivals_ips, strict=True):
            windows += [
                (at - 0.5, rival, ips)
                for at, ips in zip(self.rounds, row, strict=True)
                if np.isfinite(ips)
            ]
        windows.sort(key=lambda window: window[0])
        at, configurations, ips = zip(*windows, strict=True)
        kinds = {
            configuration: kind for kind, configuration in enumerate(dict.fromkeys(configurations))
        }
        own, level = levelled(
            np.log(ips), np.array([kinds[configuration] for configuration in configurations])
        )
        in_periods = np.exp(level[np.array(at) % 1 == 0]).mean()
        return np.array(
            [
                np.exp(own[kinds[rival]]) * in_periods if rival in kinds else np.nan
                for rival in self.rivals
            ]
        )

    @property
    def share(self) -> float:
        """Served throughput over the best fixed one; NaN if every fixed one served nothing."""
        fixed_ips = self.fixed[0]
        return self.served_ips / fixed_ips if fixed_ips > 0 else math.nan

    @property
    def broken(self) -> int:
        """Number of periods that broke the limit."""
        return sum(not period.kept for period in self.periods)


def levelled(logs: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Separate what configurations give from how fast the computer was, by least squares.

    Windows scatter as much as the computer changes between them.

    Args:
        logs: logarithms of throughput [N], in the order of time.
        which: configuration of each window [N], 0 to K - 1.

    Returns:
        The logarithm of each configuration's throughput [K], and of the computer's level at the
        time of each window [N].
    """
    count, kinds = len(logs), int(which.max()) + 1
    own, moves = np.eye(kinds)[which], np.diff(np.eye(count), axis=0)
    rows = [
        np.hstack([own, np.eye(count)]),
        np.hstack([np.zeros((count - 1, kinds)), moves]),
        np.r_[np.zeros(kinds), np.ones(count)][None],
    ]
    found = np.linalg.lstsq(np.vstack(rows), np.r_[logs, np.zeros(count)], rcond=None)[0]
    return found[:kinds], found[kinds:]


def measured(served: Device, configuration: Configuration, window_s: float) -> tuple[float, float]:
    """Measure throughput [1/s] and p99 [ms]; both are NaN where it failed."""
    outcome = try_configuration(served.runtime, configuration, window_s)
    return (
        (outcome.throughput_ips[0], outcome.p99_ms[0])
        if isinstance(outcome, Measurement)
        else (np.nan, np.nan)
    )


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


def main() -> int:
    """Run the benchmark and return its exit code."""
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
        load_bundle(given.bundle)  # fails now, not after the minutes that the grid takes
    except BundleError as error:
        arguments.error(str(error))
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx.save(build("squeezenet1_1", image_size=96, classes=10), folder / "small.onnx")
        served = open_device(
            folder / "small.onnx",
            max_instances=2,
            batches=[1, 2, 4],
            serving=ServingOptions(timeout_s=30.0),
        )
        grid = Grid(served, given.period_s, given.windows)
        each = max(
            # A period takes warm-up and change as well.
            12,
            round(60 * given.minutes / len(PLACES) / (1.2 * given.period_s)),
        )
        every = list(
            phases(
                served,
                grid,
                folder,
                given.bundle,
                given.period_s,
                each,
                given.rounds,
                Journal(given.journal or folder / "journal"),
            )
        )
        served.close()
    show(every)
    periods = [period for phase in every for period in phase.periods]
    failures = sum(
        event.kind is EventKind.POLICY_FAILED for period in periods for event in period.events
    )
    shares = [phase.share for phase in every]
    alone = [
        period
        for period in periods[10:]
        if not (isinstance(period.outcome, Measurement) and period.outcome.disturbed)
    ]
    lasted_s = sum(
        period.outcome.window_s for period in periods if isinstance(period.outcome, Measurement)
    )
    figures: list[Figure] = [
        figure("the whole run", (time.monotonic() - began_s) / 60, "min"),
        figure(f"windows of {len(periods)} periods under control", lasted_s / 60, "min"),
        figure(
            "periods that broke a limit, after the first ten",
            100 * float(np.mean([not period.kept for period in periods[10:]])),
            "%",
            "< 1",
        ),
        figure(
            "the same, of periods that nothing else on the computer disturbed",
            100 * float(np.mean([not period.kept for period in alone])),
            "%",
        ),
        figure(
            "the same, of the windows of the best fixed configurations",
            100 * float(np.mean([phase.fixed[1] for phase in every])),
            "%",
        ),
        figure(
            "throughput over the best fixed configuration of each phase, least",
            100 * float(np.nanmin(shares)),
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
    return report(figures, given.json)


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
