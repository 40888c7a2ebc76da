"""Plot how a policy learned, and which features it looks at."""

from collections.abc import Sequence

import numpy as np

from envs.arrays import FloatArray
from tuner.charts.axis import Axis
from tuner.charts.lines import Line, lines
from tuner.charts.rows import Row, rows
from tuner.evaluation.feature_words import words_of
from tuner.evaluation.importance import Importance

#: Features that are drawn, the most important ones.
SHOWN = 10

#: Points of a curve; each is the mean of the updates that fall on it.
POINTS = 40


def learning_plot(curve: FloatArray, importances: Sequence[Importance]) -> str:
    """Return the charts as HTML.

    Args:
        curve: [updates, 5]: steps, episodes, gain per episode, share of broken limits, seconds.
        importances: of the features, the largest first.
    """
    looked_at = [each for each in importances if each.changed > 0][:SHOWN]
    found = [
        Row(
            words_of(each.feature),
            100 * each.lost,
            f"{100 * each.lost:.1f} points, {100 * each.changed:.0f} % of the choices changed",
            (100 * each.low, 100 * each.high),
            main=True,
        )
        for each in looked_at
    ]
    learned = _learned(curve) if len(curve) else "<p>How it learned was not recorded.</p>"
    title = "What it looks at: gain lost when a feature is shuffled"
    return learned + rows(title, "points of the optimum", found)


def _learned(curve: FloatArray) -> str:
    steps = (_thinned(curve[:, 0]) / 1000).tolist()
    found = []
    for column, name, main in ((2, "gain per episode", True), (3, "broke a limit", False)):
        values = (100 * _thinned(curve[:, column])).tolist()
        points = list(zip(steps, values, strict=True))
        words = f"{values[-1]:.1f} % at the end"
        found.append(Line(f"{name},", points, words=words, main=main))
    heights = [height for line in found for _, height in line.points]
    return lines(
        "Gain per episode while it learned",
        found,
        x=Axis.over([0.0, *steps], from_zero=True),
        y=Axis.over(heights, from_zero=True),
        x_name="thousand environment steps",
        y_name="% of the optimum, or of measurements",
    )


def _thinned(values: FloatArray) -> FloatArray:
    """Return means of at most POINTS groups of neighbours."""
    groups = np.array_split(values, min(POINTS, len(values)))
    return np.array([group.mean() for group in groups])
