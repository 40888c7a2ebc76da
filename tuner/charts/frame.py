"""The frame of a chart: its caption, axes with ticks and units, and what is said of it.

Positions are percentages of the plot's area, and sizes of text are pixels, so that a chart takes
the width that it is given, and text is as large on a telephone as on a wide screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuner.charts.axis import Axis
from tuner.charts.text import MOST_CHARACTERS, escape

#: Pixels around the area, which the style sheet gives to it.
LEFT, RIGHT, TOP, BOTTOM = 54, 18, 28, 38

#: Pixels of an area's height, where nothing else is said.
HEIGHT = 180

#: Lines have coordinates from 0 to this, and are stretched over the area.
SIZE = 1000


def figure(caption: str, drawing: str, *below: str) -> str:
    """Return a chart with its caption above and other elements below, all of it HTML already."""
    return (
        f'<figure class="chart"><figcaption>{caption}</figcaption>{drawing}'
        f"{''.join(below)}</figure>"
    )


def scrolling(content: str, name: str) -> str:
    """Return HTML that scrolls sideways where it is too wide, by the keyboard, too.

    Args:
        content: HTML.
        name: what it is, read aloud.
    """
    shown = escape(name, MOST_CHARACTERS)
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{shown}">{content}</div>'


def caption(title: str, value: str = "", note: str = "") -> str:
    """Return the words above a chart: what it shows, a number in bold, and a quieter note."""
    parts = [f"<span>{escape(title, MOST_CHARACTERS)}</span>"]
    parts += [f"<b>{escape(value, MOST_CHARACTERS)}</b>"] * bool(value)
    parts += [f'<span class="quiet">{escape(note, 3 * MOST_CHARACTERS)}</span>'] * bool(note)
    return " ".join(parts)


def drawing(
    parts: Iterable[str],
    x: Axis,
    y: Axis | None,
    *,
    title: str,
    about: str,
    x_name: str,
    y_name: str = "",
    height: int = HEIGHT,
    role: str = "img",
) -> str:
    """Return the SVG of a chart: axes, and above them the parts.

    Args:
        parts: SVG whose positions are percentages of the area.
        x: the axis below.
        y: the axis at the left; None for none.
        title: read aloud as the name of the picture.
        about: what a person who does not see it should know.
        x_name: what the axis below shows, with its unit.
        y_name: unit of the axis at the left.
        height: of the area [px].
        role: `img`; `group` where parts of it have the keyboard's focus.
    """
    said = f"<title>{escape(title, MOST_CHARACTERS)}</title>"
    said += f"<desc>{escape(about, 10 * MOST_CHARACTERS)}</desc>"
    labelled = "" if role == "img" else f' aria-label="{escape(title, MOST_CHARACTERS)}"'
    up = (
        f'<text class="name" x="{-LEFT}" y="-13">{escape(y_name, MOST_CHARACTERS)}</text>'
        if y_name
        else ""
    )
    return (
        f'<div class="plot{" low" * (not y_name)}"><svg class="drawing" role="{role}"{labelled}'
        f' width="100%" height="{height}" overflow="visible">{said}{"".join(_rules(x, y))}'
        f'{"".join(parts)}{up}<text class="name" x="100%" y="100%" dy="34" text-anchor="end">'
        f"{escape(x_name, MOST_CHARACTERS)}</text></svg></div>"
    )


def across(x: Axis, value: float) -> str:
    """Return a horizontal position as SVG takes it."""
    return f"{100 * x.share(value):.2f}%"


def down(y: Axis, value: float) -> str:
    """Return a vertical position as SVG takes it."""
    return f"{100 - 100 * y.share(value):.2f}%"


def stretched(lines: str) -> str:
    """Return lines with coordinates from 0 to `SIZE` over the whole area; their widths stay."""
    return (
        f'<svg viewBox="0 0 {SIZE} {SIZE}" width="100%" height="100%" preserveAspectRatio="none"'
        f' overflow="visible">{lines}</svg>'
    )


def point(x: Axis, y: Axis, at: tuple[float, float]) -> str:
    """Return the coordinates of a point of a line in `stretched`."""
    return f"{SIZE * x.share(at[0]):.1f} {SIZE - SIZE * y.share(at[1]):.1f}"


def legend(items: Sequence[tuple[str, str]]) -> str:
    """Return symbols, each SVG of 18 by 18 px around its middle, with their words."""
    shown = "".join(
        '<span><svg class="key" width="18" height="18" viewBox="-9 -9 18 18" aria-hidden="true">'
        f"{symbol}</svg>{escape(words, MOST_CHARACTERS)}</span>"
        for symbol, words in items
    )
    return f'<p class="legend">{shown}</p>' if items else ""


def _rules(x: Axis, y: Axis | None) -> list[str]:
    """Return ticks with their texts, and lines across at those of the axis at the left."""
    parts = []
    thin = len(x.ticks) > 5
    for position, (value, text) in enumerate(x.labels):
        kind = "tick wide" if thin and position % 2 else "tick"
        at = across(x, value)
        parts.append(
            f'<line class="rule" x1="{at}" x2="{at}" y1="0" y2="100%"/>'
            f'<text class="{kind}" x="{at}" y="100%" dy="17" text-anchor="middle">{text}</text>'
        )
    for value, text in y.labels if y else ():
        at = down(y, value) if y else ""
        parts.append(
            f'<line class="rule" x1="0" x2="100%" y1="{at}" y2="{at}"/>'
            f'<text class="tick" x="0" dx="-7" y="{at}" dy="4" text-anchor="end">{text}</text>'
        )
    return [*parts, '<line class="base" x1="0" x2="100%" y1="100%" y2="100%"/>']
