"""The front of time and energy as SVG in the colours of the page, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from tuner.charts.axis import round_numbers
from tuner.evaluation.mapping_pieces import Run, short

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 66, 24, 18, 52

#: Single accelerators that take more than this many times as much as any mapping of the front, in
#: time or energy, are left out.
FAR = 3.0

#: Fewest ticks of an axis; with fewer round numbers in its range it has even steps.
FEWEST_TICKS = 3


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
    x, y = (
        _Axis.over([point[axis] for point in points], pixels)
        for axis, pixels in enumerate(((LEFT, WIDTH - RIGHT), (HEIGHT - BOTTOM, TOP)))
    )
    parts = [*_frame(x, y), *_limits(x, y, latency_ms, energy_mj)]
    parts += [
        f'<circle class="other" cx="{x(1e3 * time_s):.1f}" cy="{y(1e3 * energy_j):.1f}" r="2.5"/>'
        for time_s, energy_j in others
    ]
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in map(_point, front))
    parts.append(f'<polyline class="line" points="{path}"/>')
    for run in alone:
        across, down = x(_point(run)[0]), y(_point(run)[1])
        above = down - 17 if down > TOP + 30 else down + 27
        anchor, shift = "middle", 0
        if across > WIDTH - RIGHT - 60:
            anchor, shift = "end", 12
        parts.append(
            f'<rect class="alone" x="{across - 12:.1f}" y="{down - 12:.1f}" width="24" height="24"'
            f' rx="3"><title>{escape(_words(run))}</title></rect>'
            f'<text text-anchor="{anchor}" x="{across + shift:.1f}" y="{above:.1f}">'
            f"{escape(run.name)}</text>"
        )
    for number, run in enumerate(front, start=1):
        across, down = x(_point(run)[0]), y(_point(run)[1])
        kind = "dot chosen" if number - 1 == chosen else "dot"
        parts.append(
            f'<circle class="{kind}" cx="{across:.1f}" cy="{down:.1f}" r="9">'
            f"<title>{escape(_words(run))}</title></circle>"
            f'<text class="number" x="{across:.1f}" y="{down + 4:.1f}">{number}</text>'
        )
    return (
        f'<div class="plot scroll"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="Energy against time of each mapping">{"".join(parts)}</svg></div>'
    )


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


class _Axis:
    """A logarithmic axis between two pixels."""

    def __init__(self, low: float, high: float, pixels: tuple[float, float]) -> None:
        self.low, self.high, self.pixels = low, high, pixels

    @classmethod
    def over(cls, values: Sequence[float], pixels: tuple[float, float]) -> _Axis:
        """Return an axis with room around these values, which are above zero."""
        low, high = min(values), max(values)
        room = max((high / low) ** 0.09, 1.03)
        return cls(low / room, high * room, pixels)

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.pixels[0] + share * (self.pixels[1] - self.pixels[0])

    @property
    def ticks(self) -> list[float]:
        """Return 1, 2, 5, 10 and so on, or even steps where few of these lie in the range."""
        found = round_numbers(self.low, self.high)
        if len(found) >= FEWEST_TICKS:
            return found
        least = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(least))
        step = next(each * power for each in (1, 2, 5, 10) if each * power >= least)
        first = math.ceil(self.low / step)
        return [step * each for each in range(first, math.floor(self.high / step) + 1)]


def _frame(x: _Axis, y: _Axis) -> list[str]:
    parts = []
    for value in x.ticks:
        parts.append(
            f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{TOP}"'
            f' y2="{HEIGHT - BOTTOM}"/><text class="tick" text-anchor="middle"'
            f' x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 18}">{value:,.4g}</text>'
        )
    for value in y.ticks:
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}"'
            f' y2="{y(value):.1f}"/><text class="tick" text-anchor="end" x="{LEFT - 8}"'
            f' y="{y(value) + 4:.1f}">{value:,.4g}</text>'
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return [
        *parts,
        f'<text text-anchor="middle" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 10}">'
        "time of a batch, ms</text>",
        f'<text text-anchor="middle" transform="translate(16 {middle:.0f}) rotate(-90)">'
        "energy of an inference, mJ</text>",
    ]


def _limits(x: _Axis, y: _Axis, latency_ms: float | None, energy_mj: float | None) -> list[str]:
    """Return a dashed line for each limit, with the forbidden side shaded."""
    parts = []
    if latency_ms is not None and x.low < latency_ms < x.high:
        at = x(latency_ms)
        parts.append(
            f'<rect class="beyond" x="{at:.1f}" y="{TOP}" width="{WIDTH - RIGHT - at:.1f}"'
            f' height="{HEIGHT - BOTTOM - TOP}"/><line class="limit" x1="{at:.1f}" x2="{at:.1f}"'
            f' y1="{TOP}" y2="{HEIGHT - BOTTOM}"/><text class="tick" x="{at + 5:.1f}"'
            f' y="{TOP + 12}">limit {latency_ms:g} ms</text>'
        )
    if energy_mj is not None and y.low < energy_mj < y.high:
        at = y(energy_mj)
        parts.append(
            f'<rect class="beyond" x="{LEFT}" y="{TOP}" width="{WIDTH - RIGHT - LEFT}"'
            f' height="{at - TOP:.1f}"/><line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}"'
            f' y1="{at:.1f}" y2="{at:.1f}"/><text class="tick" x="{WIDTH - RIGHT - 5}"'
            f' text-anchor="end" y="{at - 6:.1f}">limit {energy_mj:g} mJ</text>'
        )
    return parts
