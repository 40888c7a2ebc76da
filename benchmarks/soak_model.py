"""The soak on the device model: a controller through limits that change, on many devices.

Each device is drawn as in training, beside the belief that its controller starts from. Windows of
p99 have heavy tails, the device gets faster and slower by itself, a neighbour comes and goes, and
every third device gets slower for good. Limits change as in `benchmarks.soak`. What was served is
compared with the best fixed configuration of each phase, chosen with hindsight: of those that kept
the limit in 98 % of the windows without a neighbour, the one that served most within the limit. A
period that broke its limit counts as nothing served, on both sides.

python -m benchmarks.soak_model
python -m benchmarks.soak_model --seeds 4 --periods 40 --misfits wider
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option
from benchmarks.soak_phases import PLACES
from benchmarks.soak_worlds import (
    EVERY,
    PERIOD_S,
    WanderingRuntime,
    Windows,
    drawn_device,
    drawn_windows,
)
from envs.problems.misfits import KINDS
from tuner.console import progress_bar, table
from tuner.control.build import controller_of
from tuner.control.controller import ControlOptions
from tuner.control.guard import Phase
from tuner.control.period import Period

#: Share of the windows without a neighbour in which a fixed configuration must keep the limit.
KEPT_SHARE = 0.98

#: Periods of a device that are left out of the share of broken limits, as in `benchmarks.soak`.
FIRST = 10


@dataclass(frozen=True)
class Soak:
    """One device through all phases.

    Attributes:
        shares: served over the best fixed configuration, by phase; NaN where none serves.
        periods: all of them.
        windows: what every configuration would have given.
    """

    shares: list[float]
    periods: list[Period]
    windows: Windows

    def broken_percent(self, phase: Phase | None = None, *, disturbed: bool = True) -> float:
        """Return the share of all periods after the first that broke a limit [%].

        Args:
            phase: count only those of a phase of the controller.
            disturbed: count those beside a neighbour as well.
        """
        counted = [
            not period.kept
            and (phase is None or period.phase is phase)
            and (disturbed or not self.windows.disturbed[number])
            for number, period in enumerate(self.periods)
        ]
        return 100 * float(np.mean(counted[FIRST:]))


def soak(seed: int, kind: str, misfits: list[str], periods: int, bundle: Path) -> Soak:
    """Play one device, with so many periods in a phase."""
    rng = np.random.default_rng(seed)
    drawn = drawn_device(kind, misfits, rng)
    total = periods * len(PLACES)
    slower_from = 2 * periods + periods // 2 if seed % EVERY == 0 else None
    windows, limits_ms = drawn_windows(drawn, total, slower_from, rng)
    runtime, served, shares = WanderingRuntime(drawn, windows), list[Period](), list[float]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "limits.json"
        _write(path, limits_ms[0], 0)
        options = ControlOptions(PERIOD_S)
        control = controller_of(runtime.device(), {}, path, bundle, folder, options).controller
        for number, limit_ms in enumerate(limits_ms):
            _write(path, limit_ms, number)
            phase = range(number * periods, (number + 1) * periods)
            for runtime.period in phase:
                served.append(control.step())
            worth = np.mean([period.score * period.kept for period in served[-periods:]])
            best_ips = best_fixed_ips(windows, phase, limit_ms)
            shares.append(float(worth) / best_ips if best_ips else math.nan)
    return Soak(shares, served, windows)


def _write(path: Path, limit_ms: float, number: int) -> None:
    path.write_text(json.dumps({"p99_ms": limit_ms}))
    os.utime(path, ns=(number, number))  # every content has a time of its own


def best_fixed_ips(windows: Windows, phase: range, limit_ms: float) -> float:
    """Return the throughput within the limit of the best fixed configuration of a phase."""
    some = slice(phase.start, phase.stop)
    kept, alone = windows.p99_ms[some] <= limit_ms, ~windows.disturbed[some]
    worth = (windows.ips[some] * kept).mean(axis=0)
    safe = kept[alone].mean(axis=0) >= KEPT_SHARE if alone.any() else np.zeros(len(worth), bool)
    return float(worth[safe].max() if safe.any() else worth.max())


def figures_of(kind: str, soaks: list[Soak]) -> list[Figure]:
    """Return the figures of all devices of a kind."""
    shares = 100 * np.array([each.shares for each in soaks])
    took = [period.decision_us for each in soaks for period in each.periods]
    return [
        figure(
            f"{kind}: share of the best fixed configuration, mean", np.nanmean(shares), "%", ">= 95"
        ),
        figure(
            f"{kind}: the same, standard error",
            np.nanmean(shares, 1).std() / len(soaks) ** 0.5,
            "%",
        ),
        figure(
            f"{kind}: the same, worst phase, mean over devices", np.nanmin(shares, 1).mean(), "%"
        ),
        figure(f"{kind}: phases at 95 % or more", 100 * (shares >= 95).mean(), "%"),
        figure(f"{kind}: periods that broke a limit", _broken(soaks), "%"),
        figure(f"{kind}: the same, of experiments", _broken(soaks, Phase.SEARCHING), "%"),
        figure(f"{kind}: the same, without a neighbour", _broken(soaks, alone=True), "%", "< 1"),
        figure(f"{kind}: choosing, median", float(np.median(took)), "us"),
    ]


def _broken(soaks: list[Soak], phase: Phase | None = None, *, alone: bool = False) -> float:
    return float(np.mean([each.broken_percent(phase, disturbed=not alone) for each in soaks]))


def options() -> argparse.Namespace:
    """Return the options of the command."""
    arguments = parser(__doc__)
    arguments.add_argument("--kinds", nargs="+", default=["computers", "boards"])
    arguments.add_argument("--seeds", type=int, default=20, help="devices of each kind")
    arguments.add_argument("--first-seed", type=int, default=0)
    arguments.add_argument("--periods", type=int, default=60, help="periods of a phase")
    arguments.add_argument(
        "--misfits", nargs="*", default=[], choices=list(KINDS), help="how truths may depart"
    )
    add_bundle_option(arguments)
    return arguments.parse_args()


def main() -> int:
    """Run the benchmark and return its exit code."""
    given = options()
    logging.getLogger("tuner").setLevel(logging.WARNING)
    figures = []
    for kind in given.kinds:
        soaks = []
        with progress_bar(kind, given.seeds) as advance:
            for seed in range(given.first_seed, given.first_seed + given.seeds):
                soaks.append(soak(seed, kind, given.misfits, given.periods, given.bundle))
                advance(f"seed {seed}: {100 * np.nanmean(soaks[-1].shares):.1f} %")
        figures += figures_of(kind, soaks)
        rows = [[f"{limit:.1f} %" for limit in 100 * np.nanmean([s.shares for s in soaks], axis=0)]]
        table([f"{kind}, phase {number + 1}" for number in range(len(PLACES))], rows)
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
