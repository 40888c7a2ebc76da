"""The section of the report that shows what is found against how many limits break."""

from __future__ import annotations

from collections.abc import Sequence

from envs.belief.risk import BALANCED
from tuner.charts.axis import Axis
from tuner.charts.lines import Line, lines
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.front import FRONT_RISKS, FrontPoint
from tuner.evaluation.report_parts import html_table
from tuner.evaluation.statistics import Summary, summarize

#: Prices that are written beside their points; the table has them all.
LABELLED = (FRONT_RISKS[0], BALANCED, FRONT_RISKS[-1])


def front_section(points: Sequence[FrontPoint], comparison: Comparison, focus: str) -> list[str]:
    """Return plot and table; nothing where there are no points or no feasible configuration."""
    if not points or not comparison.exists.any():
        return []
    budgets = " and ".join(str(each.budget) for each in points[0].after)
    return [
        "<h2>What does each broken limit buy?</h2>",
        front_plot(points, comparison, focus),
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
    """Plot the share of the optimum against the share of broken limits, a chart a budget."""
    tuners = sorted(dict.fromkeys(point.tuner for point in points), key=lambda name: name != focus)
    lowest = 100 * min(each.share_mean for point in points for each in point.after)
    parts = []
    for panel, budget in enumerate(each.budget for each in points[0].after):
        most = 100 * max(point.after[panel].broken_share for point in points)
        found = [_line(points, tuner, panel, tuner == focus) for tuner in tuners]
        rings = [
            _ring(summarize(comparison, tuner, budget))
            for tuner in tuners
            if tuner in comparison.tuners
        ]
        parts.append(
            lines(
                f"After {budget} measurement{'s' * (budget != 1)}",
                found,
                x=Axis.over([0.0, most, *(ring[0] for ring in rings)], from_zero=True),
                y=Axis(lowest - 0.05 * (101 - lowest) - 0.2, 100 + 0.1 * (100.5 - lowest)),
                x_name="measurements that broke a limit, %",
                y_name="share of the optimum, %",
                rings=rings,
            )
        )
    return "".join(parts)


def _line(points: Sequence[FrontPoint], tuner: str, panel: int, main: bool) -> Line:
    """Return the points of one tuner, some of them with their prices."""
    own = [point for point in points if point.tuner == tuner]
    own.sort(key=lambda point: point.after[panel].broken_share)
    places = [
        (100 * point.after[panel].broken_share, 100 * point.after[panel].share_mean)
        for point in own
    ]
    dots = [
        (place, f"{point.risk:g}" if point.risk in LABELLED else "")
        for place, point in enumerate(own)
    ]
    return Line(tuner.replace("_", " "), places, dots=dots, main=main)


def _ring(found: Summary) -> tuple[float, float, str]:
    """Return the place of a tuner as it is compared elsewhere in the report."""
    words = f"{found.tuner.replace('_', ' ')} as it is compared elsewhere"
    return 100 * found.broken_share, 100 * found.share_mean, words
