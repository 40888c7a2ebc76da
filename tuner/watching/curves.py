"""Draw numbers over time as a line of Braille dots, with their limit as a dashed line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from tuner.watching.state import Mood, mood_of

#: Text with the mood that colours it.
Span = tuple[str, Mood]
Line = tuple[Span, ...]

#: Columns of the scale at the left.
SCALE_WIDTH = 6

#: Stands in place of a picture where no value was measured.
NOTHING = "not measured"

#: A limit further away than so many times the largest value is not drawn, or all would be flat.
MOST_AWAY = 3.0

#: Bits of the dots of a Braille character, from below, of its left and its right column.
DOTS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))

#: The worse of two moods colours a character that shows both.
SEVERITY = (Mood.DIM, Mood.PLAIN, Mood.GOOD, Mood.NEAR, Mood.BROKEN)


@dataclass(frozen=True)
class Curve:
    """Numbers over time, the oldest first.

    Attributes:
        title: what is drawn, with its unit, and the last number.
        values: NaN for what was not measured.
        limits: of each value; infinite, NaN or 0 for no limit. Empty for none at all.
        least: True if values below the limit break it.
        whole: True to show all values, neighbours averaged where there are more than fit; else the
            last ones are shown, one dot each.
    """

    title: Line
    values: Sequence[float]
    limits: Sequence[float] = ()
    least: bool = False
    whole: bool = False


def drawn(curve: Curve, width: int, height: int) -> list[Line]:
    """Return the rows of a picture of the curve, two values a column.

    Args:
        curve: what to draw.
        width: columns, those of the scale included.
        height: rows.

    Returns:
        `height` lines; a column is coloured by how near its values are to their limit.
    """
    columns = max(width - SCALE_WIDTH, 0)
    if not columns or height < 1:
        return []
    if not any(map(math.isfinite, curve.values)):
        return [
            ((f"{NOTHING if row == height // 2 else '':^{width}.{width}}", Mood.DIM),)
            for row in range(height)
        ]
    values, limits = _fitting(curve, 2 * columns)
    blank = 2 * columns - len(values)
    top = _top(values, limits)
    levels = [math.nan] * blank + [_level(each, top, height) for each in values]
    shares = [_share(*each, curve.least) for each in zip(values, limits, strict=True)]
    moods = [Mood.DIM] * blank + [mood_of(each) for each in shares]
    lines_at = [math.nan] * blank + [_level(each, top, height) for each in limits]
    rows = []
    for row in range(height - 1, -1, -1):
        label = short(top) if row == height - 1 else "0" if row == 0 else ""
        cells = [
            _cell(levels, moods, lines_at, column, row, missing=2 * column >= blank)
            for column in range(columns)
        ]
        grouped = tuple(
            ("".join(text for text, _ in group), mood)
            for mood, group in groupby(cells, key=lambda cell: cell[1])
        )
        rows.append(((f"{label[: SCALE_WIDTH - 1]:>{SCALE_WIDTH - 1}}│", Mood.DIM), *grouped))
    return rows


def short(value: float) -> str:
    """Return a number in at most five characters: `0.604`, `12.3`, `1721`, `12.3k`, or `-`."""
    if not math.isfinite(value):
        return "-"
    if abs(value) < 1e-3:
        return "0"
    for size, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= size:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.{3 if abs(value) >= 0.1 else 2}g}"


def _fitting(curve: Curve, most: int) -> tuple[list[float], list[float]]:
    """Return at most so many values with their limits."""
    values = list(curve.values)
    limits = list(curve.limits) or [math.inf] * len(values)
    if not curve.whole or len(values) <= most:
        return values[-most:], limits[-most:]
    starts = [len(values) * each // most for each in range(most + 1)]
    pairs = list(pairwise(starts))
    means = [math.fsum(values[first:end]) / (end - first) for first, end in pairs]
    return means, [limits[end - 1] for _, end in pairs]


def _top(values: Sequence[float], limits: Sequence[float]) -> float:
    """Return the number at the top of the scale."""
    largest = max((each for each in values if math.isfinite(each)), default=0.0)
    near = [each for each in limits if math.isfinite(each) and each <= MOST_AWAY * largest]
    return max(largest, *near, 1e-9) * 1.05 if near else max(largest, 1e-9) * 1.05


def _level(value: float, top: float, height: int) -> float:
    """Return the dot of a value, counted from below; NaN for none within the picture."""
    if not math.isfinite(value) or value > top:
        return math.nan
    return round(max(value, 0.0) / top * (4 * height - 1))


def _share(value: float, limit: float, least: bool) -> float:
    """Return how much of a limit a value uses; NaN where there is no limit."""
    if not (math.isfinite(limit) and limit > 0):
        return math.nan
    if least:
        return limit / value if value > 0 else math.inf
    return value / limit


def _cell(
    levels: Sequence[float],
    moods: Sequence[Mood],
    lines_at: Sequence[float],
    column: int,
    row: int,
    missing: bool,
) -> Span:
    """Return one character: dots of two values, a piece of the limit, or a blank."""
    bits = 0
    for side in (0, 1):
        at = 2 * column + side
        if math.isnan(levels[at]):
            continue
        before = levels[at - 1] if at and not math.isnan(levels[at - 1]) else levels[at]
        # The dots between a value and the one before it make one line of both.
        step = 0 if before == levels[at] else 1 if before < levels[at] else -1
        low, high = sorted((before + step, levels[at]))
        for dot, bit in enumerate(DOTS[side]):
            bits |= bit if low <= 4 * row + dot <= high else 0
    if bits:
        return chr(0x2800 + bits), max(moods[2 * column : 2 * column + 2], key=SEVERITY.index)
    if lines_at[2 * column + 1] // 4 == row:
        return "╌", Mood.BROKEN
    unknown = missing and math.isnan(levels[2 * column]) and math.isnan(levels[2 * column + 1])
    return ("·" if unknown and row == 0 else " "), Mood.DIM
