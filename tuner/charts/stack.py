"""Rows of a chart, one above the other over one axis, each with words above it that wrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuner.charts.axis import Axis
from tuner.charts.frame import across
from tuner.charts.text import MOST_CHARACTERS, escape

#: Pixels of the axis below the rows.
FOOT = 24


@dataclass(frozen=True)
class Strip:
    """A row.

    Attributes:
        name: of the row, in bold.
        words: behind it.
        drawing: SVG, its positions across are percentages, those downwards pixels.
        about: what a person who does not see the drawing should know; empty for the words.
    """

    name: str
    words: str
    drawing: str
    about: str = ""


def stacked(title: str, x: Axis, strips: Sequence[Strip], height: int) -> str:
    """Return the rows with their axis, as HTML.

    Args:
        title: read aloud as the name of them all.
        x: the axis below.
        strips: from above.
        height: of each drawing [px].
    """
    places = [(across(x, value), text) for value, text in x.labels]
    rules = "".join(
        f'<line class="rule" x1="{at}" x2="{at}" y1="-4" y2="{height + 4}"/>' for at, _ in places
    )
    ticks = "".join(
        f'<text class="tick{" wide" * (place % 2 and len(places) > 5)}" x="{at}" y="15"'
        f' text-anchor="{"start" if float(at[:-1]) < 4 else "middle"}">{text}</text>'
        for place, (at, text) in enumerate(places)
    )
    rows = "".join(
        f'<p class="row"><b>{escape(each.name, MOST_CHARACTERS)}</b>'
        f" {escape(each.words, MOST_CHARACTERS)}</p>"
        f'<svg class="drawing" role="img" width="100%" height="{height}" overflow="visible">'
        f"<title>{escape(each.name, MOST_CHARACTERS)}</title>"
        f"<desc>{escape(each.about or each.words, 9 * MOST_CHARACTERS)}</desc>"
        f"{rules}{each.drawing}</svg>"
        for each in strips
    )
    axis = f'<svg class="drawing" width="100%" height="{FOOT}" aria-hidden="true">{ticks}</svg>'
    return (
        f'<div class="plot stack" role="group" aria-label="{escape(title, MOST_CHARACTERS)}">'
        f"{rows}{axis}</div>"
    )
