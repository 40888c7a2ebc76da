"""The throughput-latency plane: everything that was recorded, what is forbidden, and where each tuner ended."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.spec.objective import rank, verdict_of
from envs.traces.reader import Trace
from tuner.evaluation.drawing import (
    ACCELERATOR_PALETTE,
    INK,
    MIXED,
    colours,
    label_right,
    literal,
    new_figure,
    plain_ticks,
    round_numbers,
    shown,
    style,
    to_svg,
)
from tuner.evaluation.protocol import Comparison, Run

#: Dots beyond this number are drawn as one picture, or the file grows without telling more.
MAX_VECTOR_DOTS = 3000


def representative(comparison: Comparison) -> int:
    """The context with the median limit, among those with a feasible configuration if there are any."""
    exists = comparison.exists
    eligible = np.flatnonzero(exists) if exists.any() else np.arange(len(exists))
    every = [np.array(context.objective.p99_ms) for context in comparison.contexts]
    tightness = np.array(
        [np.log(np.where(np.isfinite(limits), limits, 1e9)).sum() for limits in every]
    )[eligible]
    return int(eligible[np.argsort(tightness, kind="stable")[(len(eligible) - 1) // 2]])


def answer_after(run: Run, budget: int) -> int:
    """The measurement that was best among the first `budget`."""
    steps = min(budget, len(run))
    return int(rank(run.score_ips[:steps], run.violation[:steps]).argmax())


def plane_plot(comparison: Comparison, trace: Trace, focus: str, at: int = 3) -> str:
    """Throughput against p99 latency, one plane a tenant: what was recorded, what is forbidden, where everybody ended."""
    context = representative(comparison)
    limits, reference = comparison.contexts[context].objective, comparison.contexts[context].best
    names = trace.space.workload.names
    columns = min(len(names), 2)
    rows = math.ceil(len(names) / columns)
    kept = verdict_of(trace.batch, np.array(trace.space.workload.weights), limits).feasible
    ink = colours(comparison.tuners, focus)
    ends = {
        tuner: _typical_run(comparison, tuner, context, at)
        for tuner in sorted(comparison.tuners, key=lambda name: name == focus)
    }
    with style():
        figure = new_figure(9.6 if columns == 1 else 12.8, 4.8 * rows)
        for tenant, name in enumerate(names):
            column, row = tenant % columns, tenant // columns
            left, width = (0.075, 0.66) if columns == 1 else (0.055 + 0.5 * column, 0.31)
            axes = figure.add_axes(
                (left, (rows - 1 - row) / rows + 0.125 / rows, width, 0.76 / rows)
            )
            _dots(axes, trace, tenant, kept)
            x, y = trace.batch.p99_ms[:, tenant], trace.batch.throughput_ips[:, tenant]
            _frame(axes, x, y, limits.p99_ms[tenant], name)
            best = int(trace.find(reference.configuration.array()[None])[0])
            title = "optimum" if reference.exists else "least violating"
            axes.plot(x[best], y[best], "*", ms=17, color="white", mec=INK, mew=1.3, zorder=7)
            points, texts, inks, bold = (
                [(x[best], y[best])],
                [f"{title} {y[best]:,.0f}/s"],
                [INK],
                [False],
            )
            for tuner, run in ends.items():
                step = answer_after(run, at)
                point = (float(run.p99_ms[step, tenant]), float(run.throughput_ips[step, tenant]))
                if not np.isfinite(point).all():
                    continue
                size, layer = (9, 9) if tuner == focus else (7, 8)
                axes.plot(
                    *point,
                    "X" if run.violation[step] > 0 else "o",
                    ms=size,
                    color=ink[tuner],
                    mec="white",
                    mew=1,
                    zorder=layer,
                )
                points.append(point)
                texts.append(
                    f"{shown(tuner)} {point[1]:,.0f}/s"
                    + (" \u2717" if run.violation[step] > 0 else "")
                )
                inks.append(ink[tuner])
                bold.append(tuner == focus)
            label_right(axes, points, texts, inks, bold)
        return to_svg(figure, "Throughput and latency of all recorded configurations")


def _typical_run(comparison: Comparison, tuner: str, context: int, at: int) -> Run:
    """The run of the middle seed, by what it found."""
    runs = comparison.runs(tuner)[context]
    steps = [answer_after(run, at) for run in runs]
    worth = [
        float(rank(run.score_ips[step], run.violation[step]))
        for run, step in zip(runs, steps, strict=True)
    ]
    return runs[int(np.argsort(worth, kind="stable")[(len(runs) - 1) // 2])]


def _dots(axes: Any, trace: Trace, tenant: int, kept: npt.NDArray[np.bool_]) -> None:
    used = trace.placements[:, tenant, :, 0] > 0
    accelerators = trace.space.device.accelerator_names
    count = used.sum(axis=1)
    alone = zip(
        range(len(accelerators)), accelerators, itertools.cycle(ACCELERATOR_PALETTE), strict=False
    )
    groups = [
        (used[:, position] & (count == 1), f"{name} only", colour)
        for position, name, colour in alone
    ]
    groups.append((count > 1, "both" if len(accelerators) == 2 else "several", MIXED))
    x, y = trace.batch.p99_ms[:, tenant], trace.batch.throughput_ips[:, tenant]
    raster = len(x) > MAX_VECTOR_DOTS
    for member, label, colour in groups:
        if not member.any():
            continue
        axes.scatter(
            x[member & kept],
            y[member & kept],
            s=15,
            color=colour,
            alpha=0.85,
            lw=0,
            label=label,
            rasterized=raster,
            zorder=3,
        )
        axes.scatter(
            x[member & ~kept],
            y[member & ~kept],
            s=11,
            color=colour,
            alpha=0.35,
            lw=0,
            rasterized=raster,
            zorder=3,
        )
    place = {"loc": "lower left", "bbox_to_anchor": (-0.01, 0.995), "ncols": len(groups)}
    axes.legend(**place, frameon=False, handletextpad=0.1, columnspacing=1.0, fontsize=9.5)


def _frame(axes: Any, x: Any, y: Any, limit: float, name: str) -> None:
    """Axes, and the forbidden side of the limit."""
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
    axes.set_xlabel(f"p99 latency of {literal(name)}, ms")
    axes.set_ylabel("throughput, inferences/s")
