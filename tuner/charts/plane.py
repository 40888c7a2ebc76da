"""Throughput against p99: every measured configuration, the limit, and what was chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from tuner.charts.axis import Axis
from tuner.charts.curve import MOST_AWAY
from tuner.charts.frame import (
    across,
    caption,
    down,
    drawing,
    figure,
    legend,
    point,
    stretched,
)
from tuner.charts.palette import AREA_PALETTE
from tuner.charts.text import MOST_CHARACTERS, escape, short

#: Dots that are drawn at most, and those of them that the keyboard reaches.
MOST_DOTS, MOST_FOCUSABLE = 400, 60

#: The axis across reaches at least so many times beyond its values where they hardly differ.
NARROW = 1.25

#: The last dots are drawn, so many of them, whatever else is left out.
LAST = 50

#: Dots have their number inside up to so many of them.
MOST_NUMBERED = 40


class Mark(str, Enum):
    """Say what a dot is: its shape tells it as well as its colour."""

    KEPT = "kept"
    BROKEN = "broken"
    PRESENT = "present"
    CHOSEN = "chosen"


#: What the legend says of each mark, where nothing else is said.
WORDS = {
    Mark.KEPT: "keeps the limits",
    Mark.BROKEN: "breaks a limit",
    Mark.PRESENT: "serves now",
    Mark.CHOSEN: "chosen",
}


@dataclass(frozen=True)
class Dot:
    """A measured configuration.

    Attributes:
        p99_ms: across.
        throughput_ips: upwards.
        words: what a pointer or the keyboard's focus shows of it, its numbers are added.
        mark: what it is.
        number: written into it where there are few, and where the others have none; empty for none.
        group: position of its group, which has a colour; None for none.
    """

    p99_ms: float
    throughput_ips: float
    words: str
    mark: Mark = Mark.KEPT
    number: str = ""
    group: int | None = None


def plane(
    title: str,
    dots: Sequence[Dot],
    *,
    limit_ms: float = math.inf,
    across_name: str = "p99",
    up_name: str = "throughput",
    up_unit: str = "inferences/s",
    in_order: bool = False,
    words: dict[Mark, str] | None = None,
    groups: Sequence[str] = (),
    most: int = MOST_DOTS,
    height: int = 280,
) -> str:
    """Return a chart of configurations, as HTML; those without both numbers are counted in a note.

    Of more than `most` configurations those that are chosen or present, the extremes of both
    numbers, the last ones, and some of all the others are drawn.

    Args:
        title: what is shown.
        dots: in the order of their measurements.
        limit_ms: on p99; infinite for none. Beyond `MOST_AWAY` times the largest p99 it is not
            drawn, and a note says so.
        across_name: quantity across, in milliseconds.
        up_name: quantity upwards.
        up_unit: its unit.
        in_order: True for a thin line from each to the next.
        words: what the legend says of marks, where that differs from `WORDS`.
        groups: names of the groups of dots, which have colours; none for one colour.
        most: dots that are drawn at most.
        height: of the area [px].
    """
    known = [each for each in dots if math.isfinite(each.p99_ms + each.throughput_ips)]
    shown = [known[position] for position in _kept(known, most)]
    has_limit = math.isfinite(limit_ms) and limit_ms > 0
    largest = max((each.p99_ms for each in known), default=0.0)
    is_near = bool(has_limit and limit_ms <= MOST_AWAY * largest)
    across_ms = _wide([each.p99_ms for each in shown])
    x = Axis.over([*across_ms, *[limit_ms] * is_near], is_log=True, room=0.1)
    y = Axis.over([each.throughput_ips for each in shown], from_zero=True, room=0.1)
    parts = _limit(x, limit_ms) if is_near else []
    if in_order and len(shown) > 1:
        path = "L".join(point(x, y, (each.p99_ms, each.throughput_ips)) for each in shown)
        parts.append(stretched(f'<path class="order" d="M{path}"/>'))
    order = sorted(range(len(shown)), key=lambda at: (list(Mark).index(shown[at].mark), at))
    focusable = set(order[-MOST_FOCUSABLE:])
    numbered = sum(bool(each.number) for each in shown)
    are_many = len(shown) > MOST_NUMBERED
    parts += [
        _dot(
            x,
            y,
            shown[at],
            are_many and not (shown[at].number and numbered <= MOST_NUMBERED),
            at in focusable,
            up_unit,
        )
        for at in order
    ]
    quantity = f"{across_name}, ms"
    note = _note(dots, known, shown, limit_ms if has_limit else math.nan, is_near)
    picture = drawing(
        parts,
        x,
        y,
        title=title,
        about=f"{up_name}, {up_unit}, against {quantity}: {len(known)} configurations. {note}",
        x_name=quantity,
        y_name=", ".join(filter(None, (up_name, up_unit))),
        height=height,
        role="group",
    )
    used = [mark for mark in Mark if any(each.mark is mark for each in shown)]
    said = WORDS | (words or {})
    return figure(
        caption(title, note=note),
        picture,
        legend([(shape(mark), said[mark]) for mark in used]),
        legend([(shape(Mark.KEPT, group=at), name) for at, name in enumerate(groups)]),
    )


def _wide(values: Sequence[float]) -> Sequence[float]:
    """Return the values, with two around them where they are so near that only noise is seen."""
    known = [each for each in values if each > 0]
    if not known or max(known) > NARROW**2 * min(known):
        return known
    return [min(known) / NARROW, *known, max(known) * NARROW]


def _kept(dots: Sequence[Dot], most: int) -> list[int]:
    """Return the positions of the dots that are drawn, ascending."""
    count = len(dots)
    if count <= most:
        return list(range(count))
    numbers = np.array([(each.p99_ms, each.throughput_ips) for each in dots])
    ranked = [at for at in range(count) if dots[at].mark in (Mark.CHOSEN, Mark.PRESENT)][-9:]
    ranked += [int(at) for at in (*numbers.argmin(axis=0), *numbers.argmax(axis=0))]
    ranked += range(count - 1, max(count - LAST, 0) - 1, -1)
    ranked += np.random.default_rng(0).permutation(count).tolist()
    return sorted(list(dict.fromkeys(ranked))[:most])


def _dot(x: Axis, y: Axis, dot: Dot, is_small: bool, is_focusable: bool, unit: str) -> str:
    """Return a dot at its place, with what it is for a pointer, a keyboard and a reader."""
    text = f"{dot.words}: {short(dot.throughput_ips)} {unit}, {short(dot.p99_ms)} ms"
    focus = ' tabindex="0" role="img"' if is_focusable else ""
    return (
        f'<svg x="{across(x, dot.p99_ms)}" y="{down(y, dot.throughput_ips)}" overflow="visible">'
        f'<g class="dot"{focus}><title>{escape(text, 3 * MOST_CHARACTERS)} ({WORDS[dot.mark]})'
        f"</title>{shape(dot.mark, '' if is_small else dot.number, dot.group, is_small)}</g></svg>"
    )


def shape(mark: Mark, number: str = "", group: int | None = None, is_small: bool = False) -> str:
    """Return the shape of a mark around the origin, with a number inside."""
    size = 4 if is_small else 8
    inside, beyond = "kept", "over"
    if group is not None:
        inside, beyond = (f"{each}area-{group % len(AREA_PALETTE)}" for each in ("", "fainter "))
    shapes = {
        Mark.KEPT: f'<circle class="{inside}" r="{size}"/>',
        Mark.BROKEN: f'<rect class="{beyond}" x="{-size}" y="{-size}" width="{2 * size}"'
        f' height="{2 * size}"/>',
        Mark.PRESENT: '<path class="present" d="M0-9L9 0L0 9L-9 0Z"/>',
        Mark.CHOSEN: '<path class="chosen" d="M0-12L3.2-4.4L11.4-3.7L5.2 1.7L7.1 9.7L0 5.4L-7.1 9.7'
        'L-5.2 1.7L-11.4-3.7L-3.2-4.4Z"/>',
    }
    if mark is Mark.BROKEN and not number and group is None:
        cross = size - 2
        shapes[mark] += (
            f'<path class="cross" d="M{-cross} {-cross}L{cross} {cross}M{-cross} {cross}'
            f'L{cross} {-cross}"/>'
        )
    if not number or mark in (Mark.PRESENT, Mark.CHOSEN):
        return shapes[mark]
    kind = "number" if mark is Mark.KEPT else "number dark"
    return f'{shapes[mark]}<text class="{kind}" y="4">{escape(number, 3)}</text>'


def _limit(x: Axis, limit_ms: float) -> list[str]:
    """Return the limit as a dashed line with its words, and the side beyond it shaded."""
    share = 100 * x.share(limit_ms)
    anchor, shift = ("end", -5) if share > 60 else ("start", 5)
    return [
        f'<rect class="beyond" x="{share:.2f}%" y="0" width="{100 - share:.2f}%" height="100%"/>'
        f'<line class="limit" x1="{share:.2f}%" x2="{share:.2f}%" y1="0" y2="100%"/>'
        f'<text class="tick" x="{share:.2f}%" dx="{shift}" y="11" text-anchor="{anchor}">'
        f"limit {short(limit_ms)} ms</text>"
    ]


def _note(
    dots: Sequence[Dot], known: Sequence[Dot], shown: Sequence[Dot], limit_ms: float, near: bool
) -> str:
    """Return what the picture leaves out."""
    parts = []
    if math.isfinite(limit_ms) and not near:
        parts.append(f"the limit, {short(limit_ms)} ms, lies beyond the picture")
    if failed := len(dots) - len(known):
        parts.append(f"{failed} failed and {'have' if failed > 1 else 'has'} no place in it")
    if left := len(known) - len(shown):
        parts.append(f"{left} more are not drawn")
    return "; ".join(parts)
