"""An interval with its middle: how sure a number is."""

from __future__ import annotations

import math

from tuner.charts.axis import Axis
from tuner.charts.frame import across, caption, drawing, figure
from tuner.charts.text import MOST_CHARACTERS, escape, short


def spread(
    title: str,
    unit: str,
    middle: float,
    low: float,
    high: float,
    *,
    reference: float = math.nan,
    reference_name: str = "",
) -> str:
    """Return a number with its interval on an axis, as HTML.

    Args:
        title: what the number is.
        unit: of it.
        middle: the number; NaN draws nothing but the words.
        low: end of the interval; NaN for no interval.
        high: likewise.
        reference: a number to compare with, as a dashed line; NaN for none.
        reference_name: what that is.
    """
    x = Axis.over([middle, low, high, reference], room=0.15)
    at = across(x, middle)
    parts = []
    if math.isfinite(reference):
        line = across(x, reference)
        anchor = "end" if x.share(reference) > 0.6 else "start"
        shift = -5 if anchor == "end" else 5
        parts.append(
            f'<line class="limit" x1="{line}" x2="{line}" y1="0" y2="100%"/>'
            f'<text class="tick" x="{line}" dx="{shift}" y="11" text-anchor="{anchor}">'
            f"{escape(reference_name, MOST_CHARACTERS)}</text>"
        )
    has_interval = math.isfinite(low + high) and math.isfinite(middle)
    said = f"{short(middle)} {unit}".rstrip()
    about = "no interval"
    if has_interval:
        ends = [across(x, low), across(x, high)]
        parts.append(
            f'<line class="reach" x1="{ends[0]}" x2="{ends[1]}" y1="65%" y2="65%"/>'
            + "".join(f'<line class="end" x1="{e}" x2="{e}" y1="52%" y2="78%"/>' for e in ends)
        )
        about = f"95 % interval {short(low)} to {short(high)} {unit}".rstrip()
    if math.isfinite(middle):
        parts.append(f'<circle class="kept" cx="{at}" cy="65%" r="7"/>')
    picture = drawing(
        parts, x, None, title=title, about=f"{said}, {about}", x_name=unit or title, height=56
    )
    return figure(caption(title, said, about), picture)
