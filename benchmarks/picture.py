"""Draw the README's picture: how good the best answer is after each measurement (simulated).

python -m benchmarks.picture          writes docs/picture.svg, about two minutes on two cores
"""

from __future__ import annotations

import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drawing import (
    Label,
    colours,
    label_right,
    new_figure,
    plain_ticks,
    shown,
    style,
    to_svg,
)
from benchmarks.figures import ROOT, figure, parser, report
from benchmarks.setup import add_bundle_option
from envs.arrays import FloatArray
from envs.files import replacing
from envs.problems.draw_options import DrawOptions
from tuner.charts.palette import FAINT, GRID
from tuner.console import progress_bar
from tuner.evaluation.bootstrap import interval
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.running import compare
from tuner.evaluation.simulated import simulated_cases
from tuner.evaluation.statistics import NEAR_OPTIMUM, curves, summarize
from tuner.policy.bundle import Bundle, load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.registry import make_search

SEARCHES = ("model_refit", "model_argmax", "gradient", "hill_climb", "random", "vendor_gpu")
BUDGETS = (1, 2, 3, 5, 8, 15, 30)


def compared(bundle: Bundle, problems: int, seeds: int) -> Comparison:
    """Compare the policy with searches on held-out problems of the device model."""
    factories = {"policy": partial(LearnedTuner, bundle)}
    factories |= {name: partial(make_search, name) for name in SEARCHES}
    cases = simulated_cases(DrawOptions(), problems, 1000)
    limits = {"policy": bundle.budget}
    with progress_bar("comparing", problems) as advance:
        return compare(factories, cases, range(seeds), BUDGETS, limits, advance, jobs=2)


def progress_plot(comparison: Comparison, focus: str) -> str:
    """Plot the best answer so far, as a share of the optimum, against the measurements made."""
    ink = colours(comparison.tuners, focus)
    with style():
        figure = new_figure(9.6, 4.6)
        axes = figure.add_axes((0.075, 0.12, 0.66, 0.84))
        labels, lowest = [], 1.0
        for tuner in sorted(comparison.tuners, key=lambda name: name == focus):  # the focus on top
            found = curves(comparison, tuner)
            mean, low, high = interval(found.share[found.exists])
            if not np.isfinite(mean).all():
                continue
            _progress_line(axes, comparison, (mean, low, high), ink[tuner], tuner == focus)
            short = f" at {len(mean)}" if len(mean) < comparison.budgets[-1] else ""
            text = f"{shown(tuner)} {100 * mean[-1]:.1f} %{short}"
            end = (float(len(mean)), float(100 * mean[-1]))
            labels.append(Label(end, text, ink[tuner], tuner == focus))
            lowest = min(lowest, float(low.min()))
        axes.set_xscale("log")
        axes.set_xlim(0.93, max(comparison.budgets[-1], 2))
        plain_ticks(axes.xaxis, comparison.budgets)
        bottom = min(20.0 * math.floor(5 * lowest), 80.0)
        axes.set_ylim(bottom, 101.5)
        marks = np.arange(bottom, 95, 20 if bottom < 60 else 10 if bottom < 80 else 5)
        plain_ticks(axes.yaxis, [*marks, 100 * NEAR_OPTIMUM])
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
        axes.axhline(100 * NEAR_OPTIMUM, color=FAINT, lw=1, ls=(0, (4, 3)), zorder=1)
        axes.set_xlabel("measurements made")
        axes.set_ylabel("score of best answer, % of optimum")
        label_right(axes, labels)
        return to_svg(figure, "Share of the optimum against measurements")


def _progress_line(
    axes: Any,
    comparison: Comparison,
    found: tuple[FloatArray, FloatArray, FloatArray],
    ink: str,
    strong: bool,
) -> None:
    mean, low, high = (100 * each for each in found)
    steps = np.arange(1, len(mean) + 1)
    alpha, line, dot, layer = (0.22, 3.2, 6.0, 5) if strong else (0.10, 1.5, 3.5, 3)
    axes.fill_between(steps, low, high, color=ink, alpha=alpha, lw=0, zorder=2)
    axes.plot(steps, mean, color=ink, lw=line, zorder=layer)
    budgets = [budget for budget in comparison.budgets if budget <= len(mean)]
    axes.plot(budgets, mean[np.array(budgets) - 1], "o", color=ink, ms=dot, zorder=layer + 1)


def main() -> int:
    """Draw the picture and return the exit code."""
    arguments = parser(__doc__)
    add_bundle_option(arguments)
    arguments.add_argument("--problems", type=int, default=60)
    arguments.add_argument("--seeds", type=int, default=2)
    arguments.add_argument("--out", type=Path, default=ROOT / "docs" / "picture.svg")
    given = arguments.parse_args()
    comparison = compared(load_bundle(given.bundle), given.problems, given.seeds)
    drawing = progress_plot(comparison, "policy").replace('width="100%"', 'width="960"', 1)
    with replacing(given.out) as file:
        file.write(f"{drawing}\n".encode())
    shares = [
        (tuner, budget, summarize(comparison, tuner, budget).share_mean)
        for tuner in comparison.tuners
        for budget in (3, 8)
    ]
    return report(
        [
            figure(f"{name} after {n}: share of the optimum, mean", 100 * s, "%")
            for name, n, s in shares
        ],
        given.json,
    )


if __name__ == "__main__":
    sys.exit(main())
