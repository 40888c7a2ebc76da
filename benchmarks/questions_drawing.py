"""Panels, marks and keys of the plots that answer questions.

Whatever the device model gives is a circle or a line and is called "simulated"; whatever somebody
measured is a diamond with a black rim and is called "published". Colours are from Okabe and Ito
(2008), "Color Universal Design".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.drawing import new_figure
from envs.optional import optional_import
from tuner.charts.palette import FAINT, GRID, INK

BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#56b4e9", "#8a6d1d", "#1f2933")
SOFTWARE_COLOURS = {"trtexec": BLUE, "tensorrt": GREEN, "pytorch": ORANGE}

#: Width of a plot, and height of the key below it [inches].
WIDTH, KEY = 10.4, 0.75

FONT = 9.0

#: The look of a published point.
DIAMOND = {"marker": "D", "markeredgecolor": "black", "markeredgewidth": 0.9, "ms": 5.5}


def panels(
    count: int, height: float, left: float = 0.05, gap: float = 0.055, key: float = KEY
) -> tuple[Any, list[Any]]:
    """Return a figure and panels side by side, with room for a key below them.

    Args:
        count: number of panels.
        height: of the figure [inches].
        left: share of the width left of the first panel.
        gap: share of the width between panels.
        key: height of the key [inches].
    """
    figure = new_figure(WIDTH, height)
    width = (0.985 - left - gap * (count - 1)) / count
    low, high = (0.5 + key) / height, 1 - 0.32 / height
    made = []
    for column in range(count):
        axes = figure.add_axes((left + column * (width + gap), low, width, high - low))
        axes.tick_params(labelsize=FONT)
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
        axes.xaxis.label.set_fontsize(FONT)
        axes.title.set_fontsize(FONT + 1)
        made.append(axes)
    return figure, made


def name_rows(first: Any, second: Any, labels: Sequence[str]) -> None:
    """Give two panels side by side one row a label, the first row on top."""
    for axes in (first, second):
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_yticks(range(len(labels)), labels if axes is first else [])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=GRID)


def published_marks(
    axes: Any, x: Sequence[float], y: Sequence[float], colour: str, joined: bool = True
) -> None:
    """Draw published points, joined by a thin dashed line where they are one series."""
    line = (0, (3, 2)) if joined and len(x) > 1 else "none"
    axes.plot(x, y, color=INK if colour == "white" else colour, ls=line, lw=0.8, zorder=5)
    axes.plot(x, y, color=colour, ls="none", zorder=6, clip_on=False, **DIAMOND)


def simulated_key(text: str, colour: str = INK, marker: str = "o", line: str = "-") -> Any:
    """Return an entry of the key for what the model gives."""
    return _entry(text, color=colour, marker=marker or None, ls=line, ms=5, lw=1.6)


def published_key(text: str, colour: str = "white") -> Any:
    """Return an entry of the key for what somebody measured."""
    return _entry(text, color=colour, ls="none", **DIAMOND)


def _entry(text: str, **look: Any) -> Any:
    return optional_import("matplotlib.lines", "train").Line2D([], [], label=text, **look)


def key_below(figure: Any, entries: Sequence[Any], columns: int, note: str = "") -> None:
    """Write the key below all panels, and a line with the sources under it."""
    legend = figure.legend(
        handles=list(entries),
        loc="lower left",
        bbox_to_anchor=(0.02, 0.05 if note else 0.0),
        ncols=columns,
        frameon=False,
        fontsize=FONT,
        handlelength=1.8,
        columnspacing=1.6,
    )
    legend.set_zorder(10)
    if note:
        figure.text(0.025, 0.012, note, fontsize=FONT - 1, color=FAINT)
