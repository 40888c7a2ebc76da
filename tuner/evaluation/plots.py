"""Plots of a comparison, each an SVG string that answers one question."""

import math
from typing import Any

import numpy as np

from envs.arrays import FloatArray
from tuner.charts.palette import EMPHASIS, FAINT, GRID, INK
from tuner.evaluation.bootstrap import interval
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.drawing import (
    Label,
    colours,
    label_right,
    new_figure,
    plain_ticks,
    shown,
    style,
    to_svg,
    weight,
)
from tuner.evaluation.statistics import (
    NEAR_OPTIMUM,
    cost_to_reach,
    curves,
    measurements_to_reach,
    shares_at,
)

#: More dots than this in one row show no more; so many are drawn, chosen at random.
MAX_STRIP_DOTS = 200


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


def outcome_plot(comparison: Comparison, focus: str, budget: int = 3) -> str:
    """Plot the answer of every run after `budget` measurements, with the middle half as a bar."""
    ink = colours(comparison.tuners, focus)
    shares = {
        tuner: 100 * shares_at(comparison, tuner, budget).ravel() for tuner in comparison.tuners
    }
    order = sorted(
        (tuner for tuner in shares if len(shares[tuner])),
        key=lambda name: (float(shares[name].mean()), name == focus),
    )
    with style():
        figure = new_figure(9.6, 0.9 + 0.42 * max(len(order), 1))
        axes = _bar_axes(figure, order, focus)
        random = np.random.default_rng(0)
        for row, tuner in enumerate(order):
            _strip(axes, row, shares[tuner], ink[tuner], random)
            text = f"mean {shares[tuner].mean():.1f} %"
            font = {"fontweight": weight(tuner == focus), "fontsize": 10.5}
            axes.text(103, row, text, color=ink[tuner], va="center", **font)
        axes.set_xlim(-1, 101)
        axes.grid(axis="x", color=GRID)
        axes.set_axisbelow(True)
        axes.set_xlabel(
            f"% of optimum after {budget} measurements, one dot a run"
            " (0: no answer within the limits yet)"
        )
        return to_svg(figure, "Where every run ended")


def _strip(axes: Any, row: int, values: FloatArray, ink: str, random: np.random.Generator) -> None:
    dots = values
    if len(values) > MAX_STRIP_DOTS:
        dots = random.choice(values, MAX_STRIP_DOTS, replace=False)
    heights = row + random.uniform(-0.22, 0.22, len(dots))
    axes.scatter(dots, heights, s=10, color=ink, alpha=0.35, lw=0)
    first, middle, third = np.quantile(values, (0.25, 0.5, 0.75))
    bar = {"lw": 9, "alpha": 0.35, "solid_capstyle": "butt"}
    axes.plot([first, third], [row, row], color=ink, **bar)
    axes.plot([middle, middle], [row - 0.3, row + 0.3], color=ink, lw=2.5)


def cost_plot(comparison: Comparison, focus: str) -> str:
    """Plot the seconds of measuring until the mean is near the optimum, and joules where known."""
    costs = {tuner: cost_to_reach(comparison, tuner) for tuner in comparison.tuners}
    order = sorted(
        costs,
        key=lambda name: (
            not math.isnan(costs[name][0]),
            -np.nan_to_num(costs[name][0]),
            name == focus,
        ),
    )
    has_power = any(math.isfinite(joules) for _, joules in costs.values())
    with style():
        figure = new_figure(9.6, 0.9 + 0.40 * len(order))
        _cost_panel(figure, comparison, order, focus, 0, 0.25 if has_power else 0.60)
        if has_power:
            _cost_panel(figure, comparison, order, focus, 1, 0.25)
        return to_svg(figure, "Cost of tuning")


def _cost_panel(
    figure: Any, comparison: Comparison, order: list[str], focus: str, panel: int, width: float
) -> None:
    """Draw bars of seconds (panel 0) or joules (panel 1)."""
    ink = colours(comparison.tuners, focus)
    unit, quantity = (("s", "seconds of measuring"), ("J", "joules"))[panel]
    axes = _bar_axes(figure, order, focus, 0.15 + 0.5 * panel, width, names=panel == 0)
    values = [cost_to_reach(comparison, tuner)[panel] for tuner in order]
    top = max((value for value in values if math.isfinite(value)), default=1.0)
    for row, (tuner, value) in enumerate(zip(order, values, strict=True)):
        count = measurements_to_reach(comparison, tuner)
        text = f"{value:,.3g} {unit}" if value < 100 else f"{value:,.0f} {unit}"
        if panel == 0:
            text = _with_tries(text, value, count, comparison.budget(tuner))
        elif math.isnan(value):
            text = ""
        length = float(np.nan_to_num(value))
        axes.barh(row, length, 0.62, color=ink[tuner], alpha=1.0 if tuner == focus else 0.7)
        colour = FAINT if count is None else EMPHASIS if tuner == focus else INK
        font = {"fontweight": weight(tuner == focus), "fontsize": 10}
        axes.text(length + 0.015 * top, row, text, va="center", color=colour, **font)
    axes.set_xlim(0, 1.02 * top or 1.0)
    axes.set_xlabel(f"{quantity} to within {100 * (1 - NEAR_OPTIMUM):.0f} % of the optimum")


def _with_tries(seconds: str, value: float, count: int | None, budget: int) -> str:
    """Return seconds with the number of measurements, or either alone where the other is none."""
    if count is None:
        return f"not within {budget} measurements"
    tries = f"{count} measurement{'s' * (count > 1)}"
    return tries if math.isnan(value) else f"{seconds} ({tries})"


def _bar_axes(
    figure: Any,
    order: list[str],
    focus: str,
    left: float = 0.15,
    width: float = 0.68,
    names: bool = True,
) -> Any:
    height = figure.get_figheight()
    axes = figure.add_axes((left, 0.62 / height, width, 1 - 0.72 / height))
    axes.set_ylim(-0.6, max(len(order), 1) - 0.4)
    labels = [shown(tuner) if names else "" for tuner in order]
    axes.set_yticks(range(len(order)), labels)
    for label, tuner in zip(axes.get_yticklabels(), order, strict=True):
        label.set_fontweight(weight(tuner == focus))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return axes
