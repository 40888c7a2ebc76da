"""A number for each of several names, one above the other: bars, intervals and dots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuner.charts.axis import Axis
from tuner.charts.curve import extremes
from tuner.charts.frame import across, caption, figure
from tuner.charts.stack import Strip, stacked

#: Rows that are drawn at most, and dots in each; others are counted.
MOST_ROWS, MOST_DOTS = 40, 200

#: Pixels of a bar.
THICK = 16


@dataclass(frozen=True)
class Row:
    """A name with its number.

    Attributes:
        name: above the bar.
        value: length of the bar; NaN for none.
        words: beside the name, the number with its unit.
        reach: both ends of an interval or of a middle half; empty for none.
        dots: single values.
        main: True for the one that the chart is about.
    """

    name: str
    value: float
    words: str
    reach: tuple[float, float] | tuple[()] = ()
    dots: Sequence[float] = ()
    main: bool = False


def rows(title: str, unit: str, given: Sequence[Row], *, bars: bool = True, note: str = "") -> str:
    """Return the chart as HTML.

    Args:
        title: what the numbers are.
        unit: of all of them.
        given: from above; at most `MOST_ROWS` are drawn.
        bars: True for a bar from zero to each value, False for a line across at it.
        note: behind the title.
    """
    shown = given[:MOST_ROWS]
    values = [number for row in shown for number in (row.value, *row.reach, *row.dots)]
    x = Axis.over(values, from_zero=True, room=0.02)
    strips = [Strip(row.name, row.words, _drawing(x, row, bars)) for row in shown]
    left = len(given) - len(shown)
    notes = "; ".join([note] * bool(note) + [f"{left} more are not drawn"] * (left > 0))
    return figure(caption(f"{title}, {unit}", note=notes), stacked(title, x, strips, THICK))


def _drawing(x: Axis, row: Row, bars: bool) -> str:
    kind, middle, parts = "main" if row.main else "line-0", THICK / 2, []
    zero, end = x.share(0.0), x.share(row.value) if math.isfinite(row.value) else x.share(0.0)
    if bars and math.isfinite(row.value):
        parts.append(
            f'<rect class="area {kind}" x="{100 * min(zero, end):.2f}%" y="0"'
            f' width="{100 * abs(end - zero):.2f}%" height="{THICK}"/>'
        )
    for number, place in enumerate(_dots(row.dots)):
        shift = (number * 7) % 13 - 6  # so that dots of one value are seen side by side
        parts.append(
            f'<circle class="single {kind}" cx="{across(x, place)}" cy="{middle + shift}" r="2"/>'
        )
    if row.reach and all(map(math.isfinite, row.reach)):
        ends = [across(x, each) for each in row.reach]
        parts.append(
            f'<line class="span" x1="{ends[0]}" x2="{ends[1]}" y1="{middle}" y2="{middle}"/>'
        )
    if not bars and math.isfinite(row.value):
        at_value, heights = across(x, row.value), f'y1="-1" y2="{THICK + 1}"'
        parts.append(f'<line class="middle" x1="{at_value}" x2="{at_value}" {heights}/>')
    return "".join(parts)


def _dots(values: Sequence[float]) -> list[float]:
    """Return at most `MOST_DOTS` of the finite values, the extremes among them."""
    known = np.array([each for each in values if math.isfinite(each)], dtype=np.float64)
    kept: list[float] = known[extremes(known, MOST_DOTS)].tolist()
    return kept
