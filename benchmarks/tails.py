"""Measure how windows of one configuration scatter, and how heavy the tails of their p99 are.

Windows of the same configuration, recorded one after another, are in `benchmarks/data`: those of
plain networks on two cores of an x86 computer (`--record` adds some of this one), and those that
others published of a ResNet-18 behind a web server on a Jetson Orin Nano, of ten seconds, beside a
detector. The logarithm of p99 is taken to be sigma z exp(h z^2 / 2), with z normal: h = 0 is a
normal distribution, and larger h a heavier tail. The built-in recordings have one window of each
configuration; the intervals of p99 that they hold say how much windows scatter at least.

python -m benchmarks.tails
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from benchmarks.figures import ROOT, Figure, figure, parser, report
from benchmarks.tails_recording import Window, read_windows, record, write_windows
from envs.arrays import FloatArray
from envs.simulator.window_noise import noise_spread
from envs.traces.reader import find_trace, read_trace
from tuner.console import table

DATA = ROOT / "benchmarks" / "data" / "p99_windows.csv"

#: Shares of the windows within a distance of the median, from which the tail is told: the normal
#: distribution has them within these standard deviations.
LEVELS = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
SIGMAS = np.array([NormalDist().inv_cdf((1 + level) / 2) for level in LEVELS])

#: Series with fewer windows say nothing about scatter, and nothing about tails.
LEAST_WINDOWS, LEAST_FOR_TAIL = 5, 20

#: Bootstrap resamples of an interval of 90 %.
RESAMPLES = 400


@dataclass(frozen=True)
class Tail:
    """Describe how the windows of one series scatter.

    Attributes:
        sigma, weight: of the logarithm of p99, see the module. Of a few windows, sigma is the
            standard deviation, and the weight and its interval are NaN.
        low, high: an interval of 90 % of the weight.
        throughput: scatter of the logarithm of the throughput; the middle half tells it.
    """

    sigma: float
    weight: float
    low: float
    high: float
    throughput: float


def fitted(logs: FloatArray) -> tuple[float, float]:
    """Return sigma and tail weight h of numbers [N], from their distances to the median.

    For a share of the numbers, the logarithm of their largest distance over that of a normal
    distribution is log sigma + h z^2 / 2: a line, whose slope is not below 0.
    """
    distances = np.quantile(np.abs(logs - np.median(logs)), LEVELS)
    excess = np.log(np.maximum(distances, 1e-9) / SIGMAS)
    squares = SIGMAS**2 / 2
    slope = np.cov(squares, excess)[0, 1] / squares.var(ddof=1)
    weight = max(float(slope), 0.0)
    return math.exp(float(np.mean(excess - weight * squares))), weight


def tail_of(windows: list[Window]) -> Tail:
    """Return how windows of one configuration scatter."""
    logs = np.log([each.p99_ms for each in windows])
    quarter, upper = np.quantile(np.log([each.throughput_ips for each in windows]), [0.25, 0.75])
    middle = float(upper - quarter) / (2 * SIGMAS[0])
    if len(windows) < LEAST_FOR_TAIL:
        return Tail(float(logs.std(ddof=1)), math.nan, math.nan, math.nan, middle)
    rng = np.random.default_rng(0)
    again = [fitted(rng.choice(logs, len(logs)))[1] for _ in range(RESAMPLES)]
    low, high = np.quantile(again, [0.05, 0.95])
    return Tail(*fitted(logs), float(low), float(high), middle)


def series_of(windows: list[Window]) -> dict[str, list[Window]]:
    """Return the calm windows by series, those with enough of them, by their p99."""
    named: dict[str, list[Window]] = {}
    for each in windows:
        if each.calm:
            named.setdefault(each.series, []).append(each)
    enough = {name: each for name, each in named.items() if len(each) >= LEAST_WINDOWS}
    return dict(sorted(enough.items(), key=lambda item: _middle(item[1], "p99_ms")))


def _middle(windows: list[Window], name: str) -> float:
    return float(np.median([getattr(each, name) for each in windows]))


def measured(windows: list[Window]) -> list[Figure]:
    """Print a table of the series, and return their figures."""
    figures, rows = [], []
    for name, those in series_of(windows).items():
        tail = tail_of(those)
        ips, length_s = (_middle(those, each) for each in ("throughput_ips", "window_s"))
        late_ms = np.array([_middle(those, "p99_ms")])
        board = "Orin" in name
        told_ips, told, _ = noise_spread(np.array([ips]), length_s, None if board else late_ms)
        numbers = [f"{_middle(those, 'p99_ms'):.2f}", f"{_middle(those, 'requests'):.0f}"]
        scatter = [f"{value:.3f}" for value in (tail.throughput, told_ips, tail.sigma, told)]
        weight = f"{tail.weight:.2f} ({tail.low:.2f} to {tail.high:.2f})"
        weight = "too few windows" if math.isnan(tail.weight) else weight
        rows.append([name, str(len(those)), *numbers, *scatter, weight])
        figures += [
            figure(f"{name}: scatter of p99", 100 * tail.sigma, "%"),
            figure(f"{name}: tail weight h of p99", tail.weight, ""),
        ]
    head = ["series", "windows", "p99 [ms]", "requests", "scatter of throughput", "in the model"]
    table([*head, "scatter of p99", "in the model", "h (90 %)"], rows)
    return figures


def within(trace: str) -> list[Figure]:
    """Return how much p99 scatters within the windows of a built-in recording, by latency."""
    recording = read_trace(find_trace(trace))
    figures = []
    for name in recording.space.workload.names:
        low, high, late = (
            np.array([row[f"{name}.{each}"] for row in recording.rows])
            for each in ("p99_low_ms", "p99_high_ms", "p99_ms")
        )
        spread = np.log(high / low) / (2 * NormalDist().inv_cdf(0.975))
        for below, above in ((0.0, 30.0), (30.0, 100.0), (100.0, math.inf)):
            chosen = (late >= below) & (late < above) & np.isfinite(spread)
            if chosen.sum() >= LEAST_WINDOWS:
                where = f"p99 of {below:g} ms and more"
                where = where if math.isinf(above) else f"p99 of {below:g} to {above:g} ms"
                label = f"{trace}, {name}, {where}: interval of p99 as a standard deviation"
                figures.append(figure(label, 100 * float(np.median(spread[chosen])), "%"))
    return figures


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, default=DATA)
    arguments.add_argument("--record", type=int, default=0, help="calm windows to record of each")
    arguments.add_argument("--window", type=float, default=1.0, help="seconds of each window")
    arguments.add_argument("--patience", type=float, default=1800.0, help="seconds of recording")
    given = arguments.parse_args()
    windows = read_windows(given.data) if given.data.exists() else []
    if given.record:
        record(given.record, given.window, given.patience, windows.append)
        write_windows(windows, given.data)
    figures = measured(windows)
    for trace in ("resnet50", "resnet50_mobilenet_v2"):
        figures += within(trace)
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
