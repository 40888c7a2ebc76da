"""The section of the report that shows what is found against how many limits break."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.belief.risk import BALANCED
from tuner.charts.palette import EMPHASIS, GRID, PALETTE
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.drawing import inlined, new_figure, plain_ticks, shown, style, to_svg
from tuner.evaluation.front import FRONT_RISKS, FrontPoint
from tuner.evaluation.report_parts import html_table
from tuner.evaluation.statistics import Summary, summarize

#: Prices that are written beside their points; the table has them all.
LABELLED = (FRONT_RISKS[0], BALANCED, FRONT_RISKS[-1])

#: Percentages of broken limits up to this one have a linear scale, those above a logarithmic one.
LINEAR_TO = 2.0


def front_section(points: Sequence[FrontPoint], comparison: Comparison, focus: str) -> list[str]:
    """Return plot and table; nothing where there are no points or no feasible configuration."""
    if not points or not comparison.exists.any():
        return []
    budgets = " and ".join(str(each.budget) for each in points[0].after)
    return [
        "<h2>What does each broken limit buy?</h2>",
        inlined(front_plot(points, comparison, focus)),
        f'<p class="quiet">Share of the optimum after {budgets} measurements against the share of'
        " measurements that broke a limit. Each dot of a line is a price of a broken limit, a share"
        " of the best so far; a high price makes a tuner careful. Rings mark the two tuners as they"
        " are compared elsewhere in this report.</p>",
        html_table(*front_rows(points), focus),
    ]


def front_rows(points: Sequence[FrontPoint]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the table."""
    headings = ["tuner", "price of a broken limit"]
    for each in points[0].after:
        after = f"after {each.budget}"
        headings += [f"{after}: share of optimum, %", "95 %", f"{after}: tries beyond limits, %"]
    rows = []
    for point in points:
        row = [point.tuner.replace("_", " "), f"{point.risk:g}"]
        for each in point.after:
            row += [
                f"{100 * each.share_mean:.1f}",
                f"{100 * each.share_low:.1f}\u00a0to\u00a0{100 * each.share_high:.1f}",
                f"{100 * each.broken_share:.1f}",
            ]
        rows.append(row)
    return headings, rows


def front_plot(points: Sequence[FrontPoint], comparison: Comparison, focus: str) -> str:
    """Plot the share of the optimum against the share of broken limits, a panel a budget."""
    tuners = list(dict.fromkeys(point.tuner for point in points))
    panels = len(points[0].after)
    with style():
        figure = new_figure(9.6, 4.2)
        lowest = 100 * min(each.share_mean for point in points for each in point.after)
        highest = max(points, key=lambda point: point.after[-1].share_mean).tuner
        heights = (lowest - 0.05 * (101 - lowest) - 0.2, 100 + 0.1 * (100.5 - lowest))
        for panel in range(panels):
            axes = figure.add_axes((0.075 + 0.49 * panel, 0.14, 0.41, 0.76))
            most = max(point.after[panel].broken_share for point in points)
            axes.set_xscale("symlog", linthresh=LINEAR_TO, linscale=0.6)
            axes.set_xlim(0, 130 * max(most, 0.01))
            plain_ticks(axes.xaxis, [x for x in (0, 1, 2, 5, 10, 20, 50) if x < 130 * most])
            axes.set_ylim(*heights)
            for tuner in sorted(tuners, key=lambda name: name == focus):  # the focus on top
                own = [point for point in points if point.tuner == tuner]
                _line(axes, own, panel, focus, above=tuner == highest)
                if tuner in comparison.tuners:
                    _ring(axes, summarize(comparison, tuner, points[0].after[panel].budget), focus)
            budget = points[0].after[panel].budget
            axes.set_title(f"after {budget} measurement{'s' * (budget != 1)}")
            axes.grid(color=GRID)
            axes.set_axisbelow(True)
            axes.set_xlabel("measurements that broke a limit, %")
            if panel == 0:
                axes.set_ylabel("share of the optimum, %")
                axes.legend(frameon=False, loc="lower right")
        return to_svg(figure, "Share of the optimum against broken limits")


def _line(axes: Any, points: Sequence[FrontPoint], panel: int, focus: str, above: bool) -> None:
    """Draw the points of one tuner, with some prices above or below them."""
    tuner = points[0].tuner
    found = [point.after[panel] for point in points]
    broken, share = (
        100 * np.array([getattr(each, name) for each in found])
        for name in ("broken_share", "share_mean")
    )
    ink, strong = _ink(tuner, focus), tuner == focus
    axes.plot(broken, share, "o-", color=ink, lw=2.4 if strong else 1.6, ms=5, label=shown(tuner))
    place = {"xytext": (-4, 7 if above else -14), "textcoords": "offset points"}
    for x, y, point in zip(broken, share, points, strict=True):
        if point.risk in LABELLED:
            axes.annotate(f"{point.risk:g}", (x, y), color=ink, fontsize=9, **place)


def _ring(axes: Any, found: Summary, focus: str) -> None:
    """Mark a tuner as it is compared elsewhere in the report."""
    axes.plot(
        100 * found.broken_share,
        100 * found.share_mean,
        "o",
        ms=13,
        mfc="none",
        mec=_ink(found.tuner, focus),
        mew=2,
    )


def _ink(tuner: str, focus: str) -> str:
    return EMPHASIS if tuner == focus else PALETTE[0]
