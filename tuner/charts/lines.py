"""Several quantities over one axis, each a line with a number, and a band where it is uncertain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuner.charts.axis import Axis
from tuner.charts.curve import extremes
from tuner.charts.frame import across, caption, down, drawing, figure, legend, point, stretched
from tuner.charts.palette import PALETTE
from tuner.charts.text import MOST_CHARACTERS, escape, short

#: Lines that are drawn at most; others are counted.
MOST_LINES = 16

#: Dashes of the lines, in turns, so that colour is not alone in telling them apart.
DASHES = ("", "7 4", "2 4", "9 3 2 3")


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: in the legend.
        points: in ascending order across; NaN leaves a gap.
        band: the lower and the upper end of an interval at each point; empty for none.
        words: behind its name in the legend.
        dots: positions of points that are marked, with words at them; empty words for none.
        main: True for the one that the chart is about.
    """

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float]] = ()
    words: str = ""
    dots: Sequence[tuple[int, str]] = ()
    main: bool = False


def lines(
    title: str,
    series: Sequence[Line],
    *,
    x: Axis,
    y: Axis,
    x_name: str,
    y_name: str,
    level: float = math.nan,
    level_name: str = "",
    rings: Sequence[tuple[float, float, str]] = (),
    height: int = 280,
    note: str = "",
) -> str:
    """Return a chart of lines, as HTML; the main one lies above the others.

    Args:
        title: what is shown.
        series: at most `MOST_LINES` are drawn.
        x: the axis below.
        y: the axis at the left.
        x_name: what it shows, with its unit.
        y_name: likewise.
        level: of a dashed line across; NaN for none.
        level_name: what it is.
        rings: points with words, such as what is reported elsewhere.
        height: of the area [px].
        note: behind the title.
    """
    shown = list(enumerate(series[:MOST_LINES]))
    parts = _level(y, level, level_name)
    order = sorted(shown, key=lambda each: each[1].main)
    paths = "".join(_band(x, y, line, at) + _path(x, y, line, at) for at, line in order)
    parts.append(stretched(paths))
    for at, line in order:
        parts += _dots(x, y, line, at)
    parts += [_number(x, y, line, at, len(shown)) for at, line in order]
    parts += [
        f'<circle class="ring" cx="{across(x, a)}" cy="{down(y, b)}" r="8">'
        f"<title>{escape(words, MOST_CHARACTERS)}</title></circle>"
        for a, b, words in rings
        if math.isfinite(a + b)
    ]
    about = "; ".join(f"{line.name} {line.words or _ends(line)}" for _, line in shown)
    picture = drawing(
        parts, x, y, title=title, about=about, x_name=x_name, y_name=y_name, height=height
    )
    left = len(series) - len(shown)
    notes = "; ".join([note] * bool(note) + [f"{left} more lines are not drawn"] * (left > 0))
    key = [(_badge(at, line), f"{line.name} {line.words}".rstrip()) for at, line in shown]
    return figure(caption(title, note=notes), picture, legend(key))


def _kind(at: int, line: Line) -> str:
    return "main" if line.main else f"line-{at % len(PALETTE)}"


def _dash(at: int, line: Line) -> str:
    dash = "" if line.main else DASHES[at % len(DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _kept(line: Line) -> list[int]:
    """Return the positions of the points that are drawn."""
    heights = np.array([each[1] for each in line.points], dtype=np.float64)
    return [int(each) for each in extremes(np.where(np.isfinite(heights), heights, np.nan))]


def _path(x: Axis, y: Axis, line: Line, at: int) -> str:
    parts, is_open = [], False
    for place in _kept(line):
        here = line.points[place]
        if math.isfinite(here[0] + here[1]):
            parts.append(f"{'L' if is_open else 'M'}{point(x, y, here)}")
            is_open = True
        else:
            is_open = False
    return f'<path class="series {_kind(at, line)}"{_dash(at, line)} d="{"".join(parts)}"/>'


def _band(x: Axis, y: Axis, line: Line, at: int) -> str:
    """Return the area between the ends of the intervals."""
    pairs = list(zip(line.points, line.band, strict=False))
    places = [each for each in _kept(line) if each < len(pairs)]
    known = [pairs[each] for each in places if all(map(math.isfinite, pairs[each][1]))]
    if len(known) < 2:
        return ""
    upper = [point(x, y, (place[0], ends[1])) for place, ends in known]
    lower = [point(x, y, (place[0], ends[0])) for place, ends in reversed(known)]
    return f'<path class="band {_kind(at, line)}" d="M{"L".join(upper + lower)}Z"/>'


def _dots(x: Axis, y: Axis, line: Line, at: int) -> list[str]:
    parts = []
    for place, words in line.dots:
        a, b = line.points[place]
        if not math.isfinite(a + b):
            continue
        beside = 'dx="7"' if x.share(a) < 0.85 else 'dx="-7" text-anchor="end"'
        text = (
            f'<text class="tick" x="{across(x, a)}" y="{down(y, b)}" {beside} dy="16">'
            f"{escape(words, MOST_CHARACTERS)}</text>"
        )
        parts.append(
            f'<circle class="area {_kind(at, line)}" cx="{across(x, a)}" cy="{down(y, b)}"'
            f' r="{4 if line.main else 3}"/>{text if words else ""}'
        )
    return parts


def _number(x: Axis, y: Axis, line: Line, at: int, count: int) -> str:
    """Return the number of a line, each at another part of its line so that few overlap."""
    known = [each for each in line.points if math.isfinite(each[0] + each[1])]
    if not known:
        return ""
    share = (at + 1) / (count + 1)
    a, b = min(known, key=lambda each: abs(x.share(each[0]) - share))
    return f'<svg x="{across(x, a)}" y="{down(y, b)}" overflow="visible">{_badge(at, line)}</svg>'


def _badge(at: int, line: Line) -> str:
    return (
        f'<circle class="badge {_kind(at, line)}" r="8"/><text class="number" y="4">{at + 1}</text>'
    )


def _ends(line: Line) -> str:
    known = [each[1] for each in line.points if math.isfinite(each[1])]
    return f"from {short(known[0])} to {short(known[-1])}" if known else "has no values"


def _level(y: Axis, level: float, name: str) -> list[str]:
    if not y.low <= level <= y.high:
        return []
    at = down(y, level)
    return [
        f'<line class="level" x1="0" x2="100%" y1="{at}" y2="{at}"/>'
        f'<text class="tick" x="100%" y="{at}" dx="-4" dy="-5" text-anchor="end">'
        f"{escape(name, MOST_CHARACTERS)}</text>"
    ]
