"""Stacked bars: how a whole divides among named parts, one bar a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.charts.axis import Axis
from tuner.charts.frame import caption, figure, legend
from tuner.charts.palette import AREA_PALETTE
from tuner.charts.text import MOST_CHARACTERS, escape, short

#: Bars, segments of a bar and names in the legend that are drawn at most; others are counted.
MOST_BARS, MOST_SEGMENTS, MOST_NAMES = 80, 60, 24

#: A segment narrower than this share of the chart has no number in it.
NUMBERED = 0.06

#: Pixels of a row with its words, of the bar in it, and of the axis below.
ROW, THICK, FOOT = 46, 20, 26


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
    parts = [_row(x, at, row, total, numbers, unit) for at, (row, total) in _counted(shown, totals)]
    height = ROW * len(shown)
    ticks = "".join(
        f'<line class="rule" x1="{at}" x2="{at}" y1="0" y2="{height}"/>'
        f'<text class="tick{" wide" * (place % 2 and len(x.ticks) > 5)}" x="{at}" y="{height + 17}"'
        f' text-anchor="{"middle" if place else "start"}">{text}</text>'
        for place, (value, text) in enumerate(x.labels)
        for at in (f"{100 * x.share(value):.2f}%",)
    )
    about = f"{len(rows)} bars of {len(names)} parts, in {unit}."
    picture = (
        f'<div class="plot wide-bars"><svg class="drawing" role="group"'
        f' aria-label="{escape(title, MOST_CHARACTERS)}" width="100%" height="{height + FOOT}"'
        f' overflow="visible"><title>{escape(title, MOST_CHARACTERS)}</title>'
        f"<desc>{escape(about, 3 * MOST_CHARACTERS)}</desc>{ticks}{''.join(parts)}</svg></div>"
    )
    left = [f"{len(rows) - len(shown)} more bars are not drawn"] * (len(rows) > len(shown))
    left += [f"{len(names) - MOST_NAMES} more names have no key"] * (len(names) > MOST_NAMES)
    return figure(
        caption(f"{title}, {unit}", note="; ".join(left)),
        picture,
        legend([(_key(at), f"{at + 1} {name}") for at, name in enumerate(names[:MOST_NAMES])]),
    )


def _counted(rows: Sequence[Bar], totals: Sequence[float]) -> list[tuple[int, tuple[Bar, float]]]:
    return list(enumerate(zip(rows, totals, strict=True)))


def _parts(row: Bar) -> list[float]:
    """Return the lengths of the segments that are drawn."""
    values = [each.value for each in row.segments]
    return [each for each in values if math.isfinite(each) and each > 0]


def _row(x: Axis, at: int, row: Bar, total: float, numbers: dict[str, int], unit: str) -> str:
    """Return one bar with the words above it."""
    top = ROW * at
    words = f"{short(total)} {unit}"
    if math.isfinite(row.limit):
        words += f" of {short(row.limit)}{', over' if total > row.limit else ''}"
    words += f", {row.note}" if row.note else ""
    parts = [
        f'<text class="row" y="{top + 14}"><tspan class="strong">'
        f"{escape(row.name, MOST_CHARACTERS)}</tspan> {escape(words, MOST_CHARACTERS)}</text>"
    ]
    start, drawn = 0.0, [each for each in row.segments if each.value > 0]
    for segment in drawn[:MOST_SEGMENTS]:
        if not math.isfinite(segment.value):
            continue
        parts.append(_segment(x, start, segment, numbers[segment.name], top + 20, unit))
        start += segment.value
    if math.isfinite(row.limit):
        place = f"{100 * x.share(row.limit):.2f}%"
        parts.append(
            f'<line class="limit" x1="{place}" x2="{place}" y1="{top + 16}"'
            f' y2="{top + 24 + THICK}"/>'
        )
    return "".join(parts)


def _segment(x: Axis, start: float, segment: Segment, number: int, top: int, unit: str) -> str:
    left, width = x.share(start), x.share(start + segment.value) - x.share(start)
    text = f"{segment.name}: {short(segment.value)} {unit}"
    text += f", {segment.words}" if segment.words else ""
    inside = ""
    if width >= NUMBERED:
        middle = f'x="{100 * (left + width / 2):.2f}%" y="{top + 15}"'
        inside = f'<text class="inside" {middle}>{number + 1}</text>'
    return (
        f"<g><title>{escape(text, 3 * MOST_CHARACTERS)}</title>"
        f'<rect class="area-{number % len(AREA_PALETTE)}" x="{100 * left:.2f}%" y="{top}"'
        f' width="{100 * width:.2f}%" height="{THICK}"/>{inside}</g>'
    )


def _key(number: int) -> str:
    return (
        f'<rect class="area-{number % len(AREA_PALETTE)}" x="-9" y="-9" width="18" height="18"/>'
        f'<text class="inside" y="5">{number + 1}</text>'
    )
