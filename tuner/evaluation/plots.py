"""Charts of a comparison, each HTML that answers one question."""

import math

import numpy as np

from tuner.charts.axis import Axis
from tuner.charts.lines import Line, lines
from tuner.charts.rows import Row, rows
from tuner.evaluation.bootstrap import interval
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.statistics import (
    NEAR_OPTIMUM,
    cost_to_reach,
    curves,
    measurements_to_reach,
    shares_at,
)


def progress_plot(comparison: Comparison, focus: str) -> str:
    """Plot the best answer so far, as a share of the optimum, against the measurements made."""
    found, lowest = [], 1.0
    for tuner in sorted(comparison.tuners, key=lambda name: name != focus):
        share = curves(comparison, tuner)
        mean, low, high = interval(share.share[share.exists])
        if not np.isfinite(mean).all():
            continue
        lowest = min(lowest, float(low.min()))
        short = f" at {len(mean)}" if len(mean) < comparison.budgets[-1] else ""
        found.append(
            Line(
                _shown(tuner),
                [(float(step), 100 * float(value)) for step, value in enumerate(mean, start=1)],
                [(100 * float(a), 100 * float(b)) for a, b in zip(low, high, strict=True)],
                f"{100 * mean[-1]:.1f} %{short}",
                [(budget - 1, "") for budget in comparison.budgets if budget <= len(mean)],
                main=tuner == focus,
            )
        )
    bottom = min(20.0 * math.floor(5 * lowest), 80.0)
    return lines(
        "Share of the optimum against measurements",
        found,
        x=Axis(0.93, max(1.02 * comparison.budgets[-1], 2), is_log=True),
        y=Axis(bottom, 101.5),
        x_name="measurements made",
        y_name="score of best answer, % of optimum",
        level=100 * NEAR_OPTIMUM,
        level_name=f"{100 * NEAR_OPTIMUM:.0f} %",
    )


def outcome_plot(comparison: Comparison, focus: str, budget: int = 3) -> str:
    """Plot the answer of every run after `budget` measurements, with the middle half as a bar."""
    shares = {
        tuner: 100 * shares_at(comparison, tuner, budget).ravel() for tuner in comparison.tuners
    }
    order = sorted(
        (tuner for tuner in shares if len(shares[tuner])),
        key=lambda name: (-float(shares[name].mean()), name != focus),
    )
    found = []
    for tuner in order:
        first, middle, third = np.quantile(shares[tuner], (0.25, 0.5, 0.75)).tolist()
        words = f"mean {shares[tuner].mean():.1f} %, median {middle:.1f} %"
        dots = shares[tuner].tolist()
        found.append(Row(_shown(tuner), middle, words, (first, third), dots, tuner == focus))
    return rows(
        f"Answers after {budget} measurements",
        "% of the optimum",
        found,
        bars=False,
        note="one dot a run, 0 without an answer within the limits; line: the middle half",
    )


def cost_plot(comparison: Comparison, focus: str) -> str:
    """Plot the seconds of measuring until the mean is near the optimum, and joules where known."""
    costs = {tuner: cost_to_reach(comparison, tuner) for tuner in comparison.tuners}
    order = sorted(
        costs,
        key=lambda name: (math.isnan(costs[name][0]), np.nan_to_num(costs[name][0]), name != focus),
    )
    near = f"within {100 * (1 - NEAR_OPTIMUM):.0f} % of the optimum"
    parts = []
    for which, (quantity, unit) in enumerate((("Measuring", "s"), ("Energy", "J"))):
        values = {tuner: costs[tuner][which] for tuner in order}
        if which and not any(map(math.isfinite, values.values())):
            continue
        found = [
            Row(
                _shown(tuner),
                value,
                _cost(comparison, tuner, value, unit),
                main=tuner == focus,
            )
            for tuner, value in values.items()
        ]
        parts.append(rows(f"{quantity} until the mean is {near}", unit, found))
    return "".join(parts)


def _cost(comparison: Comparison, tuner: str, value: float, unit: str) -> str:
    """Return the cost with the number of measurements; one alone where the other is not known."""
    count = measurements_to_reach(comparison, tuner)
    if count is None:
        return f"not within {comparison.budget(tuner)} measurements"
    text = f"{value:,.3g} {unit}" if value < 100 else f"{value:,.0f} {unit}"
    tries = f"{count} measurement{'s' * (count > 1)}"
    return tries if math.isnan(value) else f"{text} ({tries})"


def _shown(tuner: str) -> str:
    """Return the name of a tuner as people read it."""
    return tuner.replace("_", " ")
