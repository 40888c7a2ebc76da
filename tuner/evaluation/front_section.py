"""The section of the report that shows what is found against how many limits break."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuner.evaluation.comparison import Comparison
from tuner.evaluation.drawing import (
    EMPHASIS,
    GRID,
    PALETTE,
    inlined,
    new_figure,
    shown,
    style,
    to_svg,
)
from tuner.evaluation.front import RULE, FrontPoint
from tuner.evaluation.report_parts import html_table
from tuner.evaluation.statistics import Summary, summarize


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
                f"{100 * each.share_low:.1f} to {100 * each.share_high:.1f}",
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
        lowest = min(each.share_mean for point in points for each in point.after)
        for panel in range(panels):
            axes = figure.add_axes((0.075 + 0.49 * panel, 0.14, 0.41, 0.76))
            for tuner in sorted(tuners, key=lambda name: name == focus):  # the focus on top
                _line(axes, [point for point in points if point.tuner == tuner], panel, focus)
                if tuner in comparison.tuners:
                    _ring(axes, summarize(comparison, tuner, points[0].after[panel].budget), focus)
            budget = points[0].after[panel].budget
            axes.set_title(f"after {budget} measurement{'s' * (budget != 1)}")
            axes.set_xlim(left=0)
            axes.set_ylim(100 * lowest - 1.5, 100.5)
            axes.grid(color=GRID)
            axes.set_axisbelow(True)
            axes.set_xlabel("measurements that broke a limit, %")
            if panel == 0:
                axes.set_ylabel("share of the optimum, %")
                axes.legend(frameon=False, loc="lower right")
        return to_svg(figure, "Share of the optimum against broken limits")


def _line(axes: Any, points: Sequence[FrontPoint], panel: int, focus: str) -> None:
    """Draw the points of one tuner, with their prices beside them."""
    tuner = points[0].tuner
    found = [point.after[panel] for point in points]
    broken, share = (
        100 * np.array([getattr(each, name) for each in found])
        for name in ("broken_share", "share_mean")
    )
    ink, strong = _ink(tuner, focus), tuner == focus
    axes.plot(broken, share, "o-", color=ink, lw=2.4 if strong else 1.6, ms=5, label=shown(tuner))
    for x, y, point in zip(broken, share, points, strict=True):
        offset = {"xytext": (5, -11 if tuner == RULE else 6), "textcoords": "offset points"}
        axes.annotate(f"{point.risk:g}", (x, y), color=ink, fontsize=8.5, **offset)


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
