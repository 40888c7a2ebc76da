"""Throughput, or inferences per joule, against latency of everything recorded, with answers."""

import itertools
import math
from typing import Any

import numpy as np

from envs.arrays import BoolArray, FloatArray, Placements
from envs.spec import Goal, MeasurementBatch, rank, verdict_of
from envs.traces.reader import Trace
from envs.traces.schema import P99, STAND_INS
from tuner.charts.axis import round_numbers
from tuner.charts.palette import AREA_PALETTE, INK, MIXED
from tuner.evaluation.comparison import ComparedCase, Comparison, Run
from tuner.evaluation.drawing import (
    Label,
    colours,
    label_right,
    literal,
    new_figure,
    plain_ticks,
    shown,
    style,
    to_svg,
)

#: More dots than this are drawn as one picture: the file would grow and show no more.
MAX_VECTOR_DOTS = 3000

#: What the plot has upwards, by goal.
HEIGHTS = {
    Goal.THROUGHPUT: "throughput, inferences/s",
    Goal.ENERGY: "inferences per joule",
}


def representative(comparison: Comparison) -> int:
    """Return the case with the median limit, of the feasible ones if there are any."""
    exists = comparison.exists
    eligible = np.flatnonzero(exists) if exists.any() else np.arange(len(exists))
    limits = np.array([case.objective.p99_ms for case in comparison.cases])
    tightness = np.log(np.where(np.isfinite(limits), limits, 1e9)).sum(axis=1)[eligible]
    return int(eligible[np.argsort(tightness, kind="stable")[(len(eligible) - 1) // 2]])


def answer_after(run: Run, budget: int) -> int:
    """Return the position of the best measurement among the first `budget`."""
    steps = min(budget, len(run))
    return int(rank(run.score[:steps], run.violation[:steps]).argmax())


def tradeoff_plot(comparison: Comparison, trace: Trace, focus: str, budget: int = 3) -> str:
    """Plot throughput against p99 latency, a panel for each tenant, as SVG.

    Where the goal is energy, the inferences per joule take the place of throughput. A dot is a
    recorded configuration; the forbidden side of the limit is shaded.
    """
    index = representative(comparison)
    case = comparison.cases[index]
    names = trace.space.workload.names
    columns = min(len(names), 2)
    rows = math.ceil(len(names) / columns)
    weights = np.array(trace.space.workload.weights)
    kept = verdict_of(trace.batch, weights, case.objective).feasible
    order = sorted(comparison.tuners, key=lambda name: name == focus)  # the focus on top
    runs = {tuner: _typical_run(comparison, tuner, index, budget) for tuner in order}
    with style():
        figure = new_figure(9.6 if columns == 1 else 12.8, 4.8 * rows)
        for tenant, name in enumerate(names):
            row, column = divmod(tenant, columns)
            left, width = (0.075, 0.66) if columns == 1 else (0.055 + 0.5 * column, 0.31)
            bottom = (rows - 1 - row + 0.125) / rows
            axes = figure.add_axes((left, bottom, width, 0.76 / rows))
            _dots(axes, trace, tenant, kept, case.objective.goal)
            goal = case.objective.goal
            x, y = trace.batch.p99_ms[:, tenant], _height(trace.batch, tenant, goal)
            _frame(axes, x, y, case.objective.p99_ms[tenant])
            axes.set_ylabel(HEIGHTS.get(goal, HEIGHTS[Goal.THROUGHPUT]))
            latency = "p99 latency" if trace.latency == P99 else STAND_INS[trace.latency]
            axes.set_xlabel(f"{latency} of {literal(name)}, ms")
            labels = [_optimum(axes, trace, case, tenant)]
            ink = colours(comparison.tuners, focus)
            labels += _answers(axes, trace, case, runs, tenant, budget, ink, focus)
            label_right(axes, labels)
        return to_svg(figure, "Throughput and latency of all recorded configurations")


def _height(batch: MeasurementBatch, tenant: int, goal: Goal) -> FloatArray:
    """Return what the plot has upwards, [B]: throughput, or inferences per joule."""
    served = batch.throughput_ips[:, tenant]
    return served / batch.power_w if goal is Goal.ENERGY else served


def _point(trace: Trace, placements: Placements, tenant: int, goal: Goal) -> tuple[float, float]:
    """Return where a recorded configuration stands, NaN for one that failed."""
    batch = trace.batch.take(trace.find(placements[None])[:1])
    return float(batch.p99_ms[0, tenant]), float(_height(batch, tenant, goal)[0])


def _amount(value: float, goal: Goal) -> str:
    return f"{value:,.1f}/J" if goal is Goal.ENERGY else f"{value:,.0f}/s"


def _optimum(axes: Any, trace: Trace, case: ComparedCase, tenant: int) -> Label:
    goal = case.objective.goal
    point = _point(trace, case.best.configuration.array(), tenant, goal)
    axes.plot(*point, "*", ms=17, color="white", mec=INK, mew=1.3, zorder=7)
    title = "optimum" if case.best.exists else "least violating"
    return Label(point, f"{title} {_amount(point[1], goal)}", INK, False)


def _answers(
    axes: Any,
    trace: Trace,
    case: ComparedCase,
    runs: dict[str, Run],
    tenant: int,
    budget: int,
    ink: dict[str, str],
    focus: str,
) -> list[Label]:
    """Draw the answer of each tuner, as a cross where it breaks a limit."""
    labels, goal = [], case.objective.goal
    for tuner, run in runs.items():
        step = answer_after(run, budget)
        point = _point(trace, run.placements[step], tenant, goal)
        if not np.isfinite(point).all():
            continue
        size, layer = (9, 9) if tuner == focus else (7, 8)
        broken = run.violation[step] > 0
        marker = "X" if broken else "o"
        axes.plot(*point, marker, ms=size, color=ink[tuner], mec="white", mew=1, zorder=layer)
        text = f"{shown(tuner)} {_amount(point[1], goal)}" + (" \u2717" if broken else "")
        labels.append(Label(point, text, ink[tuner], tuner == focus))
    return labels


def _typical_run(comparison: Comparison, tuner: str, case: int, budget: int) -> Run:
    runs = comparison.runs(tuner)[case]
    worth = []
    for run in runs:
        step = answer_after(run, budget)
        worth.append(float(rank(run.score[step], run.violation[step])))
    return runs[int(np.argsort(worth, kind="stable")[(len(runs) - 1) // 2])]


def _dots(axes: Any, trace: Trace, tenant: int, kept: BoolArray, goal: Goal) -> None:
    """Draw the recorded configurations, pale where they break a limit."""
    used = trace.placements[:, tenant, :, 0] > 0
    accelerators = trace.space.device.accelerator_names
    count = used.sum(axis=1)
    colour = itertools.cycle(AREA_PALETTE)
    groups = [
        (used[:, position] & (count == 1), f"{name} only", next(colour))
        for position, name in enumerate(accelerators)
    ]
    groups.append((count > 1, "both" if len(accelerators) == 2 else "several", MIXED))
    x, y = trace.batch.p99_ms[:, tenant], _height(trace.batch, tenant, goal)
    common: dict[str, Any] = {"lw": 0, "rasterized": len(x) > MAX_VECTOR_DOTS, "zorder": 3}
    for member, label, ink in groups:
        if not member.any():
            continue
        inside, beyond = member & kept, member & ~kept
        axes.scatter(x[inside], y[inside], s=15, color=ink, alpha=0.85, label=label, **common)
        axes.scatter(x[beyond], y[beyond], s=11, color=ink, alpha=0.35, **common)
    where = {"loc": "lower left", "bbox_to_anchor": (-0.01, 0.995), "ncols": len(groups)}
    axes.legend(**where, frameon=False, handletextpad=0.1, columnspacing=1.0, fontsize=9.5)


def _frame(axes: Any, x: Any, y: Any, limit: float) -> None:
    low, high = float(np.nanmin(x)) / 1.12, float(np.nanmax(x)) * 1.12
    if math.isfinite(limit):
        low, high = min(low, limit / 1.12), max(high, limit * 1.12)
        axes.axvspan(limit, high, color="#f3d9d9", alpha=0.55, lw=0, zorder=0)
        axes.axvline(limit, color="#a33", lw=1.3, zorder=1)
        at, corner = (limit, 0.985), axes.get_xaxis_transform()
        note = {"xytext": (4, 0), "textcoords": "offset points", "va": "top", "fontsize": 9.5}
        axes.annotate(f"limit {limit:.3g} ms", at, xycoords=corner, color="#a33", **note)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    plain_ticks(axes.xaxis, round_numbers(low, high))
    axes.set_ylim(0, 1.1 * float(np.nanmax(y)))
