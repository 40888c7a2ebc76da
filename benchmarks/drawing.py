"""Colours, labels and SVG for the pictures in docs, which matplotlib draws.

Colour-blind people can tell the colours apart; labels do not overlap.
"""

import io
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from envs.arrays import FloatArray
from envs.optional import optional_import
from tuner.charts.palette import EMPHASIS, FAINT, INK, PALETTE


def style() -> AbstractContextManager[None]:
    """Return a context in which text stays text, and the same numbers give the same file."""
    context: AbstractContextManager[None] = optional_import("matplotlib", "train").rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "report",
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": 11,
            "axes.edgecolor": FAINT,
            "axes.labelcolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 11.5,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )
    return context


def new_figure(width: float, height: float) -> Any:
    """Return a figure that needs no window system, its size in inches."""
    return optional_import("matplotlib.figure", "train").Figure(figsize=(width, height))


def to_svg(figure: Any, title: str) -> str:
    """Return the `<svg>` element, as wide as its container, with a title for screen readers."""
    buffer = io.StringIO()
    canvas = optional_import("matplotlib.backends.backend_svg", "train").FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    size = r'(<svg[^>]*?)\swidth="[^"]*"'
    text = re.sub(
        size,
        r'\1 width="100%"',
        re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", text, count=1),
        count=1,
    )
    # Figures share one page, so the identifiers of one must differ from those of the others.
    prefix = re.sub(r"\W+", "-", title.lower())
    text = re.sub(r'id="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def colours(tuners: Sequence[str], focus: str) -> dict[str, str]:
    """Return a colour for each tuner."""
    others = [tuner for tuner in tuners if tuner not in (focus, "oracle")]
    return {"oracle": INK, focus: EMPHASIS} | {
        tuner: PALETTE[index % len(PALETTE)] for index, tuner in enumerate(others)
    }


def literal(text: str) -> str:
    """Return text for matplotlib, where a dollar sign would start a formula."""
    return text.replace("$", r"\$")


def shown(tuner: str) -> str:
    """Return the name of a tuner as people read it."""
    return literal(tuner.replace("_", " "))


def weight(strong: bool) -> str:
    """Return the weight of a font."""
    return "bold" if strong else "normal"


def spread(values: Sequence[float] | FloatArray, gap: float, low: float, high: float) -> FloatArray:
    """Return positions near `values`, in the same order, at least `gap` apart.

    They lie between `low` and `high` as far as there is room.
    """
    wanted = np.asarray(values, dtype=np.float64)
    order = np.argsort(wanted, kind="stable")
    placed = wanted[order].copy()
    for index in range(1, len(placed)):
        placed[index] = max(placed[index], placed[index - 1] + gap)
    ceiling = high
    for index in range(len(placed) - 1, -1, -1):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    if len(placed) and placed[0] < low:
        placed = np.maximum(placed, low + gap * np.arange(len(placed)))
    result = np.empty_like(placed)
    result[order] = placed
    return result


class Label(NamedTuple):
    """A text that belongs to a point in data coordinates."""

    point: tuple[float, float]
    text: str
    ink: str
    bold: bool


def label_right(axes: Any, labels: Sequence[Label], gap: float = 0.062) -> None:
    """Write labels right of the axes, each with a line to its point."""
    if not labels:
        return
    to_axes: Callable[[Any], Any] = (axes.transData + axes.transAxes.inverted()).transform
    ends = to_axes(np.array([label.point for label in labels], dtype=np.float64))
    for (x, y), height, label in zip(ends, spread(ends[:, 1], gap, 0.02, 1.0), labels, strict=True):
        common: dict[str, Any] = {"color": label.ink, "transform": axes.transAxes}
        line = {"lw": 0.7, "alpha": 0.6, "clip_on": False, "zorder": 2}
        axes.plot([x, 1.0, 1.035], [y, y, height], **line, **common)
        font = {"fontweight": weight(label.bold), "fontsize": 10.5}
        axes.text(1.04, height, label.text, va="center", **font, **common)


def plain_ticks(axis: Any, values: Sequence[float]) -> None:
    """Set ticks at these values and nowhere else, written as plain numbers."""
    ticker = optional_import("matplotlib.ticker", "train")
    axis.set_major_locator(ticker.FixedLocator(list(values)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(ticker.NullLocator())
