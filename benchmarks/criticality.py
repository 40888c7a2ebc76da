"""Does best effort beside a critical network leave it its latency, and use what is left?

A critical network and a best-effort one share all cores of this computer. Windows are taken in
turns: the critical network alone, and beside best effort in each of four ways. Critical requests
come in a closed loop, at equal intervals, or independently (Poisson) at the given utilisation. Each
window beside best effort is compared with the window alone of the same round.

What is left over is what best effort does alone in the share of time in which the critical network
alone has no request; a closed loop leaves nothing.

python -m benchmarks.criticality
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.criticality_load import ARRIVALS, Submit, Window, window
from benchmarks.criticality_modes import BEST_EFFORT, CRITICAL, MODES, opened
from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import network_files
from envs.arrays import FloatArray
from envs.graph.reading import read_network
from envs.runtimes.serving.load import sample_pool
from envs.runtimes.serving.queue import Sample
from envs.runtimes.serving.runtime import ServingRuntime
from tuner.console import progress_bar, table

#: Seconds of a window that finds how fast the critical network is alone.
PROBE_S = 3.0

#: From this share of time with critical requests on, nothing is left over.
FULL = 0.95


@dataclass(frozen=True)
class Row:
    """One mode under one kind of arrivals: medians over the rounds.

    Attributes:
        p50, p99: of the critical network beside best effort over alone, of paired windows.
        alone: its window alone, and `beside`: the one beside best effort.
        left: what best effort did over what was left over; NaN where nothing was.
        total: the share of the time that the answers of both would take, each network alone.
    """

    arrivals: str
    mode: str
    p50: float
    p99: float
    alone_ms: float
    beside_ms: float
    best_effort_ips: float
    left: float
    total: float


@dataclass(frozen=True)
class Bench:
    """Everything that windows are taken of.

    Attributes:
        runtimes: by mode.
        pools: samples of the critical network and of best effort.
        rate_ips: of critical requests that do not come in a closed loop.
    """

    runtimes: dict[str, ServingRuntime]
    pools: tuple[list[Sample], list[Sample]]
    rate_ips: float

    def take(self, mode: str | None, arrivals: str, window_s: float, seed: int) -> Window:
        """Take one window; without a mode of the critical network alone."""
        runtime = self.runtimes[mode or "ours"]
        critical: Submit = partial(runtime.submit, CRITICAL)
        other: Submit | None = partial(runtime.submit, BEST_EFFORT) if mode else None
        return window(critical, other, self.pools, arrivals, self.rate_ips, window_s, seed)

    def best_effort_alone(self, window_s: float) -> Window:
        """Take one window of best effort alone, whole and in a closed loop, as if critical."""
        submit: Submit = partial(self.runtimes["barrier"].submit, BEST_EFFORT)
        return window(submit, None, (self.pools[1], []), "closed", math.inf, window_s, 0)


def rows_of(bench: Bench, arrivals: str, given: argparse.Namespace) -> list[Row]:
    """Take the windows of all modes in turns, and return a row for each."""
    alone: list[Window] = []
    other_alone: list[Window] = []
    beside: dict[str, list[Window]] = {mode: [] for mode in MODES}
    with progress_bar(f"{arrivals} arrivals", given.rounds) as advance:
        for turn in range(given.rounds):
            take = partial(
                bench.take,
                arrivals=arrivals,
                window_s=given.window,
                seed=turn,
            )
            alone.append(take(None))
            other_alone.append(bench.best_effort_alone(given.window))
            for mode in MODES:
                beside[mode].append(take(mode))
            advance("")
    left_ips = np.array(
        [_left_over_ips(own, other) for own, other in zip(alone, other_alone, strict=True)]
    )
    return [
        _row(arrivals, mode, found, alone, left_ips, _works(found, alone, other_alone))
        for mode, found in beside.items()
    ]


def _row(
    arrivals: str,
    mode: str,
    found: list[Window],
    alone: list[Window],
    left_ips: FloatArray,
    works: FloatArray,
) -> Row:
    best_effort = np.array([each.best_effort_ips for each in found])
    leaves = float(np.median([each.busy for each in alone])) < FULL
    return Row(
        arrivals,
        mode,
        _ratio([each.p50_ms for each in found], [each.p50_ms for each in alone]),
        _ratio([each.p99_ms for each in found], [each.p99_ms for each in alone]),
        float(np.median([each.p99_ms for each in alone])),
        float(np.median([each.p99_ms for each in found])),
        float(np.median(best_effort)),
        float(np.median(best_effort / left_ips)) if leaves else math.nan,
        float(np.median(works)),
    )


def _left_over_ips(alone: Window, other_alone: Window) -> float:
    """Return what is left for best effort: its own rate in the time without critical requests."""
    return other_alone.critical_ips * max(1e-9, 1.0 - alone.busy)


def _ratio(beside: list[float], alone: list[float]) -> float:
    return float(np.median(np.array(beside) / np.array(alone)))


def _works(found: list[Window], alone: list[Window], other_alone: list[Window]) -> FloatArray:
    """Return the share of the time that both networks' answers would take, each alone."""
    return np.array(
        [
            each.critical_ips / own.critical_ips * own.busy
            + each.best_effort_ips / other.critical_ips
            for each, own, other in zip(found, alone, other_alone, strict=True)
        ]
    )


def figures_of(name: str, rows: list[Row]) -> list[Figure]:
    """Return the figures of a mix."""
    figures = []
    for row in rows:
        start, ours = f"{name}, {row.arrivals} arrivals, {row.mode}", row.mode == "ours"
        figures += [
            figure(f"{start}: critical p99 over alone", row.p99, "", "<= 1.15" if ours else ""),
            figure(f"{start}: critical median over alone", row.p50, ""),
            figure(
                f"{start}: best effort over what is left",
                100 * row.left,
                "%",
                ">= 80" if ours and not math.isnan(row.left) else "",
            ),
            figure(f"{start}: work done, of the time", 100 * row.total, "%"),
        ]
    return figures


def measured_mix(paths: list[Path], segments: int, given: argparse.Namespace) -> list[Row]:
    """Measure a critical network and a best-effort one in all modes."""
    networks = [read_network(path) for path in paths]
    pools = sample_pool(networks[0], 0), sample_pool(networks[1], 1)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        runtimes = {
            mode: stack.enter_context(opened(mode, paths, segments, Path(folder))) for mode in MODES
        }
        for runtime in runtimes.values():
            for tenant, pool in zip((CRITICAL, BEST_EFFORT), pools, strict=True):
                runtime.submit(tenant, pool[0]).result()
        probe = Bench(runtimes, pools, math.inf).take(None, "closed", PROBE_S, 0)
        bench = Bench(runtimes, pools, given.utilisation * probe.critical_ips)
        return [row for each in given.arrivals for row in rows_of(bench, each, given)]


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--mixes",
        nargs="+",
        default=["resnet50+mobilenet_v2:4", "mobilenet_v2+resnet50:8"],
        help="critical+best_effort:segments, names or files",
    )
    arguments.add_argument("--arrivals", nargs="+", default=list(ARRIVALS), choices=ARRIVALS)
    arguments.add_argument("--utilisation", type=float, default=0.4, help="by critical requests")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--window", type=float, default=4.0, help="seconds")
    given = arguments.parse_args()
    figures: list[Figure] = []
    for mix in given.mixes:
        names, _, segments = mix.rpartition(":")
        rows = measured_mix(network_files(names.split("+")), int(segments), given)
        figures += figures_of(mix, rows)
        head = ["arrivals", "mode", "median", "p99", "alone [ms]", "beside [ms]"]
        table(
            [*head, "best effort [1/s]", "of what is left", "work done"],
            [
                [
                    *(row.arrivals, row.mode, f"{row.p50:.2f} x", f"{row.p99:.2f} x"),
                    *(f"{row.alone_ms:.1f}", f"{row.beside_ms:.1f}", f"{row.best_effort_ips:.1f}"),
                    "" if math.isnan(row.left) else f"{row.left:.0%}",
                    f"{row.total:.0%}",
                ]
                for row in rows
            ],
        )
    return report(figures, given.json, goals_only=True)


if __name__ == "__main__":
    sys.exit(main())
