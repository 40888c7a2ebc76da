"""The front of time and energy of a network's mappings, as a chart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tuner.charts.axis import Axis
from tuner.charts.frame import across, caption, down, drawing, figure, legend, point, stretched
from tuner.charts.text import escape, short
from tuner.evaluation.mapping_pieces import Run

#: Pixels of the plot's height.
HEIGHT = 340

#: Single accelerators that take more than this many times as much as any mapping of the front, in
#: time or energy, are left out.
FAR = 3.0

TITLE = "Energy against time of each mapping"

#: Symbols of the legend.
SYMBOLS = (
    ('<circle class="dot-front" r="8"/>', "a mapping of the front"),
    (
        '<circle class="ring" r="8"/><circle class="dot-front best" r="5.5"/>',
        "the chosen one",
    ),
    ('<rect class="alone" x="-8" y="-8" width="16" height="16"/>', "a whole network"),
)


def front_plot(
    front: Sequence[Run],
    alone: Sequence[Run],
    chosen: int | None,
    latency_ms: float | None = None,
    energy_mj: float | None = None,
    others: Sequence[tuple[float, float]] = (),
) -> str:
    """Plot energy against time: a numbered dot a mapping of the front, a square an accelerator.

    Args:
        front: in ascending time.
        alone: whole networks on one accelerator, those that are `near` the front.
        chosen: position in the front; None where nothing keeps the limits.
        latency_ms: limit on the time of a batch; drawn where it lies among the points.
        energy_mj: limit on the energy of an inference, likewise.
        others: time [s] of a batch and energy [J] of an inference of the whole front, as small
            dots.
    """
    points = [_point(run) for run in (*front, *alone)]
    x, y = (Axis.over([each[axis] for each in points], is_log=True, room=0.09) for axis in (0, 1))
    line = "L".join(point(x, y, _point(run)) for run in front)
    parts = [*_limits(x, y, latency_ms, energy_mj)]
    parts.append(stretched(f'<path class="order" d="M{line}"/>'))
    parts += [
        f'<circle class="other" cx="{across(x, 1e3 * time_s)}" cy="{down(y, 1e3 * energy_j)}"'
        ' r="2.5"/>'
        for time_s, energy_j in others
    ]
    parts += [_square(x, y, run) for run in alone]
    parts += [
        _dot(x, y, run, number, number - 1 == chosen) for number, run in enumerate(front, start=1)
    ]
    picture = drawing(
        parts,
        x,
        y,
        title=TITLE,
        about="; ".join(_words(run) for run in (*front, *alone)),
        x_name="time of a batch, ms",
        y_name="energy of an inference, mJ",
        height=HEIGHT,
        role="group",
    )
    shown = [SYMBOLS[0], *[SYMBOLS[1]] * (chosen is not None), *[SYMBOLS[2]] * bool(alone)]
    return figure(caption(TITLE), picture, legend(shown))


def near(front: Sequence[Run], alone: Sequence[Run]) -> list[Run]:
    """Return the single accelerators that are not far from the front."""
    limits = [FAR * max(each) for each in zip(*map(_point, front), strict=True)]
    return [
        run
        for run in alone
        if all(value <= limit for value, limit in zip(_point(run), limits, strict=True))
    ]


def _point(run: Run) -> tuple[float, float]:
    return 1e3 * run.time_s, 1e3 * run.inference_j


def _words(run: Run) -> str:
    time_ms, energy_mj = _point(run)
    return f"{run.name}: {short(time_ms)} ms, {short(energy_mj)} mJ"


def _at(x: Axis, y: Axis, run: Run, shape: str) -> str:
    """Return a shape at the place of a run, with its words for pointer, keyboard and reader."""
    time_ms, energy_mj = _point(run)
    return (
        f'<svg x="{across(x, time_ms)}" y="{down(y, energy_mj)}" overflow="visible">'
        f'<g class="dot" tabindex="0" role="img"><title>{escape(_words(run))}</title>{shape}</g>'
        "</svg>"
    )


def _dot(x: Axis, y: Axis, run: Run, number: int, is_chosen: bool) -> str:
    kind = "dot-front best" if is_chosen else "dot-front"
    ring = '<circle class="ring" r="12"/>' * is_chosen
    text = f'<text class="number" y="4">{number}</text>'
    return _at(x, y, run, f'{ring}<circle class="{kind}" r="9"/>{text}')


def _square(x: Axis, y: Axis, run: Run) -> str:
    """Return a square with the name of its accelerator above, or below at the upper edge."""
    time_ms, energy_mj = _point(run)
    height = "27" if y.share(energy_mj) > 0.9 else "-17"
    anchor, shift = ("end", "12") if x.share(time_ms) > 0.85 else ("middle", "0")
    return _at(
        x,
        y,
        run,
        '<rect class="alone" x="-12" y="-12" width="24" height="24" rx="3"/>'
        f'<text x="{shift}" y="{height}" text-anchor="{anchor}">{escape(run.name, 40)}</text>',
    )


def _limits(x: Axis, y: Axis, latency_ms: float | None, energy_mj: float | None) -> list[str]:
    """Return a dashed line for each limit, with the forbidden side shaded."""
    parts = []
    time_ms, energy = latency_ms or math.nan, energy_mj or math.nan
    if x.low < time_ms < x.high:
        at = f"{100 * x.share(time_ms):.2f}%"
        parts.append(
            f'<rect class="beyond" x="{at}" y="0" width="{100 - 100 * x.share(time_ms):.2f}%"'
            f' height="100%"/><line class="limit" x1="{at}" x2="{at}" y1="0" y2="100%"/>'
            f'<text class="tick" x="{at}" dx="5" y="12">limit {time_ms:g} ms</text>'
        )
    if y.low < energy < y.high:
        at = down(y, energy)
        parts.append(
            f'<rect class="beyond" x="0" y="0" width="100%" height="{at}"/>'
            f'<line class="limit" x1="0" x2="100%" y1="{at}" y2="{at}"/><text class="tick"'
            f' x="100%" dx="-5" text-anchor="end" y="{at}" dy="-6">limit {energy:g} mJ</text>'
        )
    return parts
