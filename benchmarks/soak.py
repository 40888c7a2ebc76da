"""Half an hour under control, live, with limits that change: memory, broken limits, and throughput against the best fixed configuration.

First every configuration of a small space is measured; then the controller serves through phases, each with a limit of its own; then, for each
phase, the best fixed configuration is chosen with hindsight, among those that keep its limit, and measured in its place.

python -m benchmarks.soak
python -m benchmarks.soak --minutes 5
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx

from benchmarks.figures import Figure, figure, parser, report
from envs.catalog.architectures import build
from envs.configuration import Configuration
from envs.measurement import Measurement
from envs.runtimes.interference import resident_mib
from envs.runtimes.protocol import try_configuration
from tuner.console import progress_bar, table
from tuner.control.assembly import controller_of
from tuner.control.controller import ControlOptions
from tuner.control.period import Period
from tuner.control.service import Asked, Service, service
from tuner.options import cache_folder

PHASES = 6

#: Of the configurations of the grid, by their p99: where the limits of the phases lie, loose and tight in turns.
QUANTILES = (0.6, 0.3, 0.9, 0.4, 0.75, 0.5)


class Grid:
    """What every configuration gave in some windows: [N, W] throughput and p99, NaN where it failed."""

    def __init__(self, served: Service, window_s: float, windows: int) -> None:
        self.configurations = [Configuration.of(row) for row in served.space.catalogue]
        shape = (len(self.configurations), windows)
        self.ips, self.p99_ms = np.full(shape, np.nan), np.full(shape, np.nan)
        with progress_bar("grid", shape[0] * windows) as advance:
            for window in range(windows):
                for row, configuration in enumerate(self.configurations):
                    outcome = try_configuration(served.runtime, configuration, window_s)
                    if isinstance(outcome, Measurement):
                        self.ips[row, window], self.p99_ms[row, window] = outcome.throughput_ips[0], outcome.p99_ms[0]
                    advance(served.space.describe(configuration))

    def best_first(self, limit_ms: float) -> list[Configuration]:
        """Those that kept the limit in every window, the fastest first."""
        kept = (self.p99_ms <= limit_ms).all(axis=1)
        rows = np.flatnonzero(kept)
        return [self.configurations[row] for row in rows[np.argsort(-self.ips[rows].mean(axis=1))]]


def fixed(served: Service, grid: Grid, limit_ms: float, window_s: float, windows: int) -> float:
    """Mean throughput of the best fixed configuration that keeps the limit in all of so many windows."""
    for configuration in grid.best_first(limit_ms):
        outcomes = [try_configuration(served.runtime, configuration, window_s) for _ in range(windows)]
        measured = [each for each in outcomes if isinstance(each, Measurement) and each.p99_ms[0] <= limit_ms]
        if len(measured) == windows:
            return float(np.mean([each.throughput_ips[0] for each in measured]))
    return float("nan")


def controlled(served: Service, limits_ms: list[float], folder: Path, bundle: Path, period_s: float, periods: int) -> tuple[list[list[Period]], list[float]]:
    """The periods of each phase, and the resident memory [MiB] at the end of each."""
    path = folder / "limits.json"
    path.write_text(json.dumps({"p99_ms": limits_ms[0]}))
    controller = controller_of(served, {}, path, bundle, folder, ControlOptions(period_s)).controller
    phases, memory_mib = [], []
    with progress_bar("serving", periods * len(limits_ms)) as advance:
        for limit in limits_ms:
            path.write_text(json.dumps({"p99_ms": limit}))
            phases.append([])
            for _ in range(periods):
                phases[-1].append(controller.step())
                advance(phases[-1][-1].phase.value)
            memory_mib.append(resident_mib())
    return phases, memory_mib


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--minutes", type=float, default=30.0, help="under control")
    arguments.add_argument("--period-s", type=float, default=2.0)
    arguments.add_argument("--windows", type=int, default=3, help="of each configuration of the grid, and ten times as many of the fixed ones")
    arguments.add_argument("--bundle", type=Path, default=Path("checkpoints/reference.bundle"))
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx.save(build("squeezenet1_1", image_size=96, classes=10), folder / "small.onnx")
        asked = Asked("onnxruntime", (folder / "small.onnx",), None, 2, (1, 2, 4), cache_folder(), timeout_s=30.0)
        served = service(asked)
        grid = Grid(served, given.period_s, given.windows)
        limits = [1.1 * float(np.nanquantile(np.nanmax(grid.p99_ms, axis=1), quantile)) for quantile in QUANTILES]
        began_s = time.monotonic()
        per_phase = max(12, round(60 * given.minutes / PHASES / (1.35 * given.period_s)))  # a period takes warm-up and change as well
        phases, memory_mib = controlled(served, limits, folder, given.bundle, given.period_s, per_phase)
        minutes = (time.monotonic() - began_s) / 60
        best = [fixed(served, grid, limit, given.period_s, 10 * given.windows) for limit in limits]
        served.runtime.close()
    every = [period for phase in phases for period in phase]
    shares = []
    rows = []
    for limit, phase, fastest in zip(limits, phases, best, strict=True):
        served_ips = float(np.mean([period.score_ips for period in phase]))
        shares.append(served_ips / fastest)
        broken = sum(not period.kept for period in phase)
        rows.append([f"{limit:.1f}", str(len(phase)), f"{served_ips:.1f}", f"{fastest:.1f}", f"{shares[-1]:.1%}", str(broken)])
    table(["p99 limit [ms]", "periods", "served [1/s]", "best fixed, with hindsight [1/s]", "share", "periods beyond the limit"], rows)
    figures: list[Figure] = [
        figure("minutes under control", minutes, "min"),
        figure("periods beyond a limit, after the first ten", 100 * float(np.mean([not period.kept for period in every[10:]])), "%", "< 1"),
        figure("throughput over the best fixed configuration of each phase, least", 100 * min(shares), "%", ">= 95"),
        figure("resident memory at the end over that after the first phase", 100 * memory_mib[-1] / memory_mib[0], "%", "<= 105"),
    ]
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
