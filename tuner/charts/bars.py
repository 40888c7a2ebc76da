"""Stacked bars: how a whole divides among named parts, one bar a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.charts.axis import Axis
from tuner.charts.frame import across, caption, figure, legend
from tuner.charts.palette import AREA_PALETTE
from tuner.charts.stack import Strip, stacked
from tuner.charts.text import MOST_CHARACTERS, escape, short

#: Bars, segments of a bar and names in the legend that are drawn at most; others are counted.
MOST_BARS, MOST_SEGMENTS, MOST_NAMES = 80, 60, 24

#: A segment narrower than this share of the chart has no number in it.
NUMBERED = 0.06

#: Pixels of a bar.
THICK = 20


@dataclass(frozen=True)
class Segment:
    """A part of a bar.

    Attributes:
        name: of the part; parts of one name have one colour and one number in all bars.
        value: its length, in the unit of the chart; what is not above zero is left out.
        words: more of it, for a pointer and a reader.
    """

    name: str
    value: float
    words: str = ""


@dataclass(frozen=True)
class Bar:
    """A row of the chart.

    Attributes:
        name: above the bar.
        segments: from the left.
        limit: where the bar is full; infinite for nowhere.
        note: beside the name.
    """

    name: str
    segments: Sequence[Segment]
    limit: float = math.inf
    note: str = ""


def bars(title: str, unit: str, rows: Sequence[Bar]) -> str:
    """Return a chart of stacked bars with one scale, as HTML.

    Args:
        title: what the bars are.
        unit: of their lengths.
        rows: at most `MOST_BARS` are drawn.
    """
    shown = rows[:MOST_BARS]
    names = list(dict.fromkeys(part.name for row in rows for part in row.segments))
    numbers = {name: position for position, name in enumerate(names)}
    totals = [sum(_parts(row)) for row in shown]
    limits = [row.limit for row in shown if math.isfinite(row.limit)]
    x = Axis.over([*totals, *limits], from_zero=True, room=0.02)
    strips = [
        _strip(x, row, total, numbers, unit) for row, total in zip(shown, totals, strict=True)
    ]
    left = [f"{len(rows) - len(shown)} more bars are not drawn"] * (len(rows) > len(shown))
    left += [f"{len(names) - MOST_NAMES} more names have no key"] * (len(names) > MOST_NAMES)
    return figure(
        caption(f"{title}, {unit}", note="; ".join(left)),
        stacked(title, x, strips, THICK),
        legend([(_key(at), f"{at + 1} {name}") for at, name in enumerate(names[:MOST_NAMES])]),
    )


def _parts(row: Bar) -> list[float]:
    """Return the lengths of the segments that are drawn."""
    values = [each.value for each in row.segments]
    return [each for each in values if math.isfinite(each) and each > 0]


def _strip(x: Axis, row: Bar, total: float, numbers: dict[str, int], unit: str) -> Strip:
    """Return one bar with the words above it."""
    words = f"{short(total)} {unit}"
    if math.isfinite(row.limit):
        words += f" of {short(row.limit)}{', over' if total > row.limit else ''}"
    words += f", {row.note}" if row.note else ""
    parts, said, start = [], [], 0.0
    drawn = [each for each in row.segments if math.isfinite(each.value) and each.value > 0]
    for segment in drawn[:MOST_SEGMENTS]:
        said.append(_words(segment, unit))
        parts.append(_segment(x, start, segment, numbers[segment.name], said[-1]))
        start += segment.value
    if math.isfinite(row.limit):
        at = across(x, row.limit)
        parts.append(f'<line class="limit" x1="{at}" x2="{at}" y1="-4" y2="{THICK + 4}"/>')
    return Strip(row.name, words, "".join(parts), "; ".join(said))


def _words(segment: Segment, unit: str) -> str:
    text = f"{segment.name}: {short(segment.value)} {unit}"
    return f"{text}, {segment.words}" if segment.words else text


def _segment(x: Axis, start: float, segment: Segment, number: int, words: str) -> str:
    left, width = x.share(start), x.share(start + segment.value) - x.share(start)
    inside = ""
    if width >= NUMBERED:
        middle = f'x="{100 * (left + width / 2):.2f}%" y="15"'
        inside = f'<text class="inside" {middle}>{number + 1}</text>'
    return (
        f"<g><title>{escape(words, 3 * MOST_CHARACTERS)}</title>"
        f'<rect class="area-{number % len(AREA_PALETTE)}" x="{100 * left:.2f}%" y="0"'
        f' width="{100 * width:.2f}%" height="{THICK}"/>{inside}</g>'
    )


def _key(number: int) -> str:
    return (
        f'<rect class="area-{number % len(AREA_PALETTE)}" x="-9" y="-9" width="18" height="18"/>'
        f'<text class="inside" y="5">{number + 1}</text>'
    )
