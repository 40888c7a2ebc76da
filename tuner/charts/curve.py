"""A quantity over periods with its limit as a dashed line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from envs.arrays import FloatArray, IntArray
from tuner.charts.axis import Axis
from tuner.charts.frame import caption, drawing, figure, point, stretched
from tuner.charts.text import short, with_unit

#: Points that are drawn at most, whatever the number of values.
MOST_POINTS = 300

#: A limit further away than so many times the largest value is not drawn, or all would be flat.
MOST_AWAY = 3.0


def curve(
    title: str,
    unit: str,
    values: Sequence[float] | FloatArray,
    *,
    limits: float | Sequence[float] | FloatArray = math.inf,
    least: bool = False,
    first: int = 1,
    counted: str = "period",
    steps: bool = False,
) -> str:
    """Return a chart of values in their order, as HTML.

    Of more than `MOST_POINTS` values the first, the last, and the smallest and the largest of
    groups of neighbours are drawn.

    Args:
        title: what the values are.
        unit: of the values.
        values: NaN for what was not measured; it leaves a gap.
        limits: one for all values, or one each; infinite, NaN or 0 for no limit. One beyond
            `MOST_AWAY` times the largest value is not drawn, and a note says so.
        least: True if values below the limit break it.
        first: number of the first value.
        counted: what is counted below.
        steps: True if a value holds until the next one.
    """
    known = np.asarray(values, dtype=np.float64).ravel()
    known = np.where(np.isfinite(known), known, np.nan)
    bounds = np.broadcast_to(np.asarray(limits, dtype=np.float64), known.shape)
    bounds = np.where(np.isfinite(bounds) & (bounds > 0), bounds, np.nan)
    largest = float(np.nanmax(np.abs(known))) if np.isfinite(known).any() else math.nan
    near = np.where(bounds <= MOST_AWAY * largest, bounds, np.nan)
    kept = extremes(known)
    x = Axis(first - 0.5, first + max(len(known), 1) - 0.5, is_whole=True)
    y = Axis.over([*known[kept], *near[kept]], from_zero=True)
    numbers = kept + first
    line, lone = _lines(x, y, numbers, known[kept], steps)
    limit, _ = _lines(x, y, numbers, near[kept], True)
    paths = {"limit": limit, "line": line, "lone": lone}
    lines = "".join(f'<path class="{kind}" d="{d}"/>' for kind, d in paths.items() if d)
    parts = [*_beyond(x, y, near, least), stretched(lines)]
    last = known[-1] if len(known) else math.nan
    picture = drawing(
        parts,
        x,
        y,
        title=title,
        about=_about(known, bounds, unit, least, counted),
        x_name=counted,
        y_name=unit,
    )
    note = _note(bounds, near, unit, least)
    return figure(caption(title, with_unit(float(last), unit), note), picture)


def extremes(values: FloatArray, most: int = MOST_POINTS) -> IntArray:
    """Return ascending positions of at most `most` values that keep every peak that can be seen.

    Args:
        values: [N], NaN for none.
        most: at least 4.
    """
    count = len(values)
    if count <= most:
        return np.arange(count)
    edges = np.linspace(0, count, most // 2).astype(np.int64)
    found = {0, count - 1}
    for start, end in pairwise(edges.tolist()):
        group = values[start:end]
        if np.isfinite(group).any():
            found |= {int(start + np.nanargmin(group)), int(start + np.nanargmax(group))}
        else:
            found.add(int(start))
    return np.array(sorted(found), dtype=np.int64)


def _lines(x: Axis, y: Axis, numbers: IntArray, values: FloatArray, steps: bool) -> tuple[str, str]:
    """Return the path of a line that is interrupted where a value is missing, and of lone dots."""
    parts: list[str] = []
    lone: list[str] = []
    gaps = np.flatnonzero(np.diff(np.isfinite(values).astype(np.int8), prepend=0, append=0))
    for start, end in gaps.reshape(-1, 2).tolist():
        run = list(zip(numbers[start:end].tolist(), values[start:end].tolist(), strict=True))
        if steps:
            run = _stairs(run)
        elif len(run) == 1:
            lone.append(f"M{point(x, y, run[0])}h0")
            continue
        parts.append("M" + "L".join(point(x, y, each) for each in run))
    return "".join(parts), "".join(lone)


def _stairs(run: list[tuple[int, float]]) -> list[tuple[float, float]]:
    """Return the corners of a line where each value holds until the next one."""
    corners = [(run[0][0] - 0.5, run[0][1])]
    for (_, before), (number, value) in pairwise(run):
        if value != before:
            corners += [(number - 0.5, before), (number - 0.5, value)]
    return [*corners, (run[-1][0] + 0.5, run[-1][1])]


def _beyond(x: Axis, y: Axis, near: FloatArray, least: bool) -> list[str]:
    """Return the shaded side of a limit that is the same for all values."""
    known = near[np.isfinite(near)]
    if not len(known) or len(known) < len(near) or known.min() < known.max():
        return []
    share = 1 - y.share(float(known[0]))
    top, height = (share, 1 - share) if least else (0.0, share)
    return [
        f'<rect class="beyond" x="0" width="100%" y="{100 * top:.2f}%"'
        f' height="{100 * height:.2f}%"/>'
    ]


def _note(bounds: FloatArray, near: FloatArray, unit: str, least: bool) -> str:
    """Return the limit that holds at the end, and whether it is outside of the picture."""
    if not len(bounds) or math.isnan(bounds[-1]):
        return ""
    word = "at least" if least else "limit"
    outside = "" if math.isfinite(near[-1]) else ", beyond the picture"
    return f"{word} {short(float(bounds[-1]))} {unit}{outside}"


def _about(values: FloatArray, bounds: FloatArray, unit: str, least: bool, counted: str) -> str:
    """Return the chart in words."""
    known = values[np.isfinite(values)]
    if not len(known):
        return f"Nothing was measured in {len(values)} values, one for each {counted}."
    text = f"{len(values)} values, one for each {counted}"
    text += f", from {short(float(known.min()))} to {short(float(known.max()))} {unit}"
    if missing := len(values) - len(known):
        text += f"; {missing} were not measured"
    broken = int(np.sum(values < bounds if least else values > bounds))
    if np.isfinite(bounds).any():
        text += f"; {broken} break the limit"
    return f"{text}."
