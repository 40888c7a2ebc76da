"""Plots of a comparison, each an SVG string that answers one question."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tuner.evaluation.drawing import (
    EMPHASIS,
    FAINT,
    GRID,
    INK,
    colours,
    label_right,
    new_figure,
    plain_ticks,
    shown,
    style,
    to_svg,
    weight,
)
from tuner.evaluation.protocol import Comparison
from tuner.evaluation.statistics import (
    NEAR_OPTIMUM,
    cost_to_reach,
    curves,
    interval,
    measurements_to_reach,
    shares_at,
)

#: More dots than this in one row tell no more; as many are drawn by chance.
MAX_STRIP_DOTS = 200


def progress_plot(comparison: Comparison, focus: str) -> str:
    """Best so far as a share of the optimum, against the number of measurements."""
    ink = colours(comparison.tuners, focus)
    with style():
        figure = new_figure(9.6, 4.6)
        axes = figure.add_axes((0.075, 0.12, 0.66, 0.84))
        ends, texts, names = [], [], []
        lowest = 1.0
        for tuner in sorted(
            comparison.tuners, key=lambda name: name == focus
        ):  # the emphasised one last, on top
            found = curves(comparison, tuner)
            mean, low, high = interval(found.share[found.exists])
            if not np.isfinite(mean).all():
                continue
            steps = np.arange(1, len(mean) + 1)
            strong = tuner == focus
            axes.fill_between(
                steps,
                100 * low,
                100 * high,
                color=ink[tuner],
                alpha=0.22 if strong else 0.10,
                lw=0,
                zorder=2,
            )
            axes.plot(
                steps,
                100 * mean,
                color=ink[tuner],
                lw=3.2 if strong else 1.5,
                zorder=5 if strong else 3,
            )
            at = [budget for budget in comparison.budgets if budget <= len(mean)]
            axes.plot(
                at,
                100 * mean[np.array(at) - 1],
                "o",
                color=ink[tuner],
                ms=6 if strong else 3.5,
                zorder=6 if strong else 4,
            )
            ends.append((float(steps[-1]), float(100 * mean[-1])))
            names.append(tuner)
            texts.append(
                f"{shown(tuner)} {100 * mean[-1]:.1f} %"
                + (f" at {len(mean)}" if len(mean) < comparison.budgets[-1] else "")
            )
            lowest = min(lowest, float(low.min()))
        axes.set_xscale("log")
        axes.set_xlim(0.93, max(comparison.budgets[-1], 2))
        plain_ticks(axes.xaxis, comparison.budgets)
        bottom = 20.0 * math.floor(5 * lowest)
        axes.set_ylim(bottom, 101.5)
        plain_ticks(
            axes.yaxis, [*np.arange(bottom, 90, 20 if bottom < 60 else 10), 100 * NEAR_OPTIMUM]
        )
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
        axes.axhline(100 * NEAR_OPTIMUM, color=FAINT, lw=1, ls=(0, (4, 3)), zorder=1)
        axes.set_xlabel("measurements made")
        axes.set_ylabel("throughput of best answer, % of optimum")
        label_right(
            axes, ends, texts, [ink[name] for name in names], [name == focus for name in names]
        )
        return to_svg(figure, "Share of the optimum against measurements")


def outcome_plot(comparison: Comparison, focus: str, at: int = 3) -> str:
    """Where every run of each tuner ended after `at` measurements: dots, the middle half as a bar, the mean as a number."""
    ink = colours(comparison.tuners, focus)
    shares = {tuner: shares_at(comparison, tuner, at).ravel() for tuner in comparison.tuners}
    order = sorted(
        (tuner for tuner in shares if len(shares[tuner])),
        key=lambda name: (float(shares[name].mean()), name == focus),
    )
    with style():
        figure = new_figure(9.6, 0.9 + 0.42 * max(len(order), 1))
        axes = _bar_axes(figure, order, focus)
        random = np.random.default_rng(0)
        for row, tuner in enumerate(order):
            values = 100 * shares[tuner]
            some = (
                values
                if len(values) <= MAX_STRIP_DOTS
                else random.choice(values, MAX_STRIP_DOTS, replace=False)
            )
            axes.scatter(
                some,
                row + random.uniform(-0.22, 0.22, len(some)),
                s=10,
                color=ink[tuner],
                alpha=0.35,
                lw=0,
            )
            first, middle, third = np.quantile(values, (0.25, 0.5, 0.75))
            axes.plot(
                [first, third],
                [row, row],
                color=ink[tuner],
                lw=9,
                alpha=0.35,
                solid_capstyle="butt",
            )
            axes.plot([middle, middle], [row - 0.3, row + 0.3], color=ink[tuner], lw=2.5)
            axes.text(
                103,
                row,
                f"mean {values.mean():.1f} %",
                color=ink[tuner],
                va="center",
                fontweight=weight(tuner == focus),
                fontsize=10.5,
            )
        axes.set_xlim(-1, 101)
        axes.grid(axis="x", color=GRID)
        axes.set_axisbelow(True)
        axes.set_xlabel(
            f"% of optimum after {at} measurements, one dot a run (0: no answer within the limits yet)"
        )
        return to_svg(figure, "Where every run ended")


def cost_plot(comparison: Comparison, focus: str) -> str:
    """Seconds, and joules where power was measured, that the measurements took until the mean is near the optimum."""
    ink = colours(comparison.tuners, focus)
    costs = {tuner: cost_to_reach(comparison, tuner) for tuner in comparison.tuners}
    counts = {tuner: measurements_to_reach(comparison, tuner) for tuner in comparison.tuners}
    order = sorted(
        costs,
        key=lambda name: (
            not math.isnan(costs[name][0]),
            -costs[name][0] if counts[name] else 0.0,
            name == focus,
        ),
    )
    panels = [(0, "s")] + (
        [(1, "J")] if any(math.isfinite(joules) for _, joules in costs.values()) else []
    )
    with style():
        figure = new_figure(9.6, 0.9 + 0.40 * len(order))
        for panel, unit in panels:
            width = 0.60 if len(panels) == 1 else 0.25
            axes = _bar_axes(
                figure, order, focus, left=0.15 + 0.5 * panel, width=width, names=panel == 0
            )
            top = max(
                (costs[tuner][panel] for tuner in order if math.isfinite(costs[tuner][panel])),
                default=1.0,
            )
            for row, tuner in enumerate(order):
                value, count = costs[tuner][panel], counts[tuner]
                steps = len(comparison.runs(tuner)[0][0])
                text = f"{value:,.3g} {unit}" if value < 100 else f"{value:,.0f} {unit}"
                if panel == 0:
                    text = (
                        f"not within {steps} measurements"
                        if count is None
                        else f"{text} ({count} measurement{'s' * (count > 1)})"
                    )
                elif count is None:
                    text = ""
                axes.barh(
                    row,
                    np.nan_to_num(value),
                    height=0.62,
                    color=ink[tuner],
                    alpha=1.0 if tuner == focus else 0.7,
                )
                colour = FAINT if count is None else EMPHASIS if tuner == focus else INK
                end = float(np.nan_to_num(value)) + 0.015 * top
                axes.text(
                    end,
                    row,
                    text,
                    va="center",
                    color=colour,
                    fontsize=10,
                    fontweight=weight(tuner == focus),
                )
            axes.set_xlim(0, 1.02 * top or 1.0)
            what = "seconds of measuring" if panel == 0 else "joules"
            axes.set_xlabel(f"{what} to within {100 * (1 - NEAR_OPTIMUM):.0f} % of the optimum")
        return to_svg(figure, "Cost of tuning")


def _bar_axes(
    figure: Any,
    order: list[str],
    focus: str,
    left: float = 0.15,
    width: float = 0.68,
    names: bool = True,
) -> Any:
    """Axes with one row a tuner."""
    height = figure.get_figheight()
    axes = figure.add_axes((left, 0.62 / height, width, 1 - 0.72 / height))
    axes.set_ylim(-0.6, max(len(order), 1) - 0.4)
    axes.set_yticks(
        range(len(order)), [shown(tuner) for tuner in order] if names else [""] * len(order)
    )
    for label, tuner in zip(axes.get_yticklabels(), order, strict=True):
        label.set_fontweight(weight(tuner == focus))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return axes
