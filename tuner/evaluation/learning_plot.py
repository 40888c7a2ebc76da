"""Plot how a policy learned, and which features it looks at, in two panels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.arrays import FloatArray
from tuner.charts.palette import EMPHASIS, FAINT, GRID, INK, PALETTE
from tuner.evaluation.drawing import literal, new_figure, style, to_svg
from tuner.evaluation.feature_words import words_of
from tuner.evaluation.importance import Importance

#: Features that are drawn, the most important ones.
SHOWN = 10

#: Points of a curve; each is the mean of the updates that fall on it.
POINTS = 40


def learning_plot(curve: FloatArray, importances: Sequence[Importance]) -> str:
    """Return the plot as SVG.

    Args:
        curve: [updates, 5]: steps, episodes, gain per episode, share of broken limits, seconds.
        importances: of the features, the largest first.
    """
    with style():
        figure = new_figure(9.6, 4.4)
        _curve_panel(figure.add_axes((0.065, 0.125, 0.35, 0.76)), curve)
        looked_at = [each for each in importances if each.changed > 0][:SHOWN]
        _importance_panel(figure.add_axes((0.74, 0.125, 0.18, 0.76)), looked_at)
        return to_svg(figure, "How the policy learned and what it looks at")


def _curve_panel(axes: Any, curve: FloatArray) -> None:
    axes.set_title("Gain per episode while it learned")
    axes.set_xlabel("thousand environment steps")
    axes.set_ylabel("% of the optimum, or of measurements")
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    if not len(curve):
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color=FAINT)
        return
    steps = _thinned(curve[:, 0]) / 1000
    lines = ((2, "gain per episode", EMPHASIS, 2.8), (3, "broke a limit", PALETTE[0], 1.6))
    for column, name, ink, width in lines:
        axes.plot(curve[:, 0] / 1000, 100 * curve[:, column], color=ink, lw=0.8, alpha=0.3)
        values = 100 * _thinned(curve[:, column])
        axes.plot(steps, values, "o-" if len(steps) == 1 else "-", color=ink, lw=width)
        text = f"{name}, {values[-1]:.1f} % at the end"
        # Above the part of the line that the text is as wide as.
        point = (steps[-1], float(values[len(values) // 4 :].max()))
        above = {"xytext": (0, 6), "textcoords": "offset points", "fontsize": 10}
        axes.annotate(text, point, ha="right", color=ink, **above)
    low = min(0.0, float(100 * curve[:, 2:4].min()))
    axes.set_ylim(1.1 * low, 1.25 * max(float(100 * curve[:, 2:4].max()), 1.0))
    axes.set_xlim(0, 1.02 * steps[-1])


def _thinned(values: FloatArray) -> FloatArray:
    """Return means of at most POINTS groups of neighbours."""
    groups = np.array_split(values, min(POINTS, len(values)))
    return np.array([group.mean() for group in groups])


def _importance_panel(axes: Any, importances: Sequence[Importance]) -> None:
    axes.set_title("What it looks at", x=-1.53)
    rows = np.arange(len(importances))[::-1]
    lost = np.array([100 * each.lost for each in importances])
    spans = np.array(
        [[100 * (each.lost - each.low), 100 * (each.high - each.lost)] for each in importances]
    ).T
    axes.barh(rows, lost, 0.62, color=EMPHASIS, alpha=0.85)
    axes.errorbar(lost, rows, xerr=np.maximum(spans, 0.0), fmt="none", ecolor=INK, elinewidth=1)
    axes.set_yticks(rows, [literal(words_of(each.feature)) for each in importances], fontsize=9.5)
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color=FAINT, lw=1)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.set_xlabel("gain lost when shuffled, points")
    beside = {"transform": axes.get_yaxis_transform(), "ha": "right", "fontsize": 9, "color": FAINT}
    axes.text(1.38, len(rows) - 0.45, "choices\nchanged", va="bottom", **beside)
    for row, each in zip(rows, importances, strict=True):
        axes.text(1.38, row, f"{100 * each.changed:.0f} %", va="center", **beside)
