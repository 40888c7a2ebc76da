"""Throughput, or inferences per joule, against latency of everything recorded, with answers."""

import math

import numpy as np

from envs.arrays import BoolArray, FloatArray, IntArray, Placements
from envs.spec import Configuration, Goal, MeasurementBatch, rank, verdict_of
from envs.traces.reader import Trace
from envs.traces.schema import P99, STAND_INS
from tuner.charts.frame import legend
from tuner.charts.plane import Dot, Mark, plane, shape
from tuner.evaluation.comparison import ComparedCase, Comparison, Run

#: Dots that are drawn at most for each network.
MOST_DOTS = 800

#: What the plot has upwards, and its unit, by goal.
HEIGHTS = {
    Goal.THROUGHPUT: ("throughput", "inferences/s"),
    Goal.ENERGY: ("inferences per joule", ""),
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
    """Plot throughput against p99 latency, a plane for each tenant, as HTML.

    Where the goal is energy, the inferences per joule take the place of throughput. A dot is a
    recorded configuration; the forbidden side of the limit is shaded.
    """
    index = representative(comparison)
    case = comparison.cases[index]
    weights = np.array(trace.space.workload.weights)
    kept = verdict_of(trace.batch, weights, case.objective).feasible
    others = sorted(tuner for tuner in comparison.tuners if tuner != focus)
    runs = {tuner: _typical_run(comparison, tuner, index, budget) for tuner in (focus, *others)}
    groups, member = _groups(trace)
    goal = case.objective.goal
    up_name, up_unit = HEIGHTS.get(goal, HEIGHTS[Goal.THROUGHPUT])
    latency = "p99 latency" if trace.latency == P99 else STAND_INS[trace.latency]
    parts = []
    for tenant, name in enumerate(trace.space.workload.names):
        dots = _recorded(trace, tenant, kept, goal, member[:, tenant])
        optimum, best = _optimum(trace, case, tenant)
        answers = _answers(trace, case, runs, tenant, budget)
        star = next((text for each, text in answers if each.mark is Mark.CHOSEN), "")
        chart = plane(
            f"{name}: all recorded configurations",
            [*dots, *(each for each, _ in answers), optimum],
            limit_ms=case.objective.p99_ms[tenant],
            across_name=f"{latency} of {name}",
            up_name=up_name,
            up_unit=up_unit,
            words={Mark.CHOSEN: star, Mark.PRESENT: best},
            groups=groups,
            most=MOST_DOTS,
        )
        numbered = [(shape(each.mark, each.number), text) for each, text in answers if each.number]
        parts += [chart, legend(numbered)]
    return "".join(parts)


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


def _optimum(trace: Trace, case: ComparedCase, tenant: int) -> tuple[Dot, str]:
    """Return the optimum with its words in the legend."""
    goal = case.objective.goal
    point = _point(trace, case.best.configuration.array(), tenant, goal)
    title = "optimum" if case.best.exists else "least violating"
    return Dot(*point, title, Mark.PRESENT), f"{title} {_amount(point[1], goal)}"


def _answers(
    trace: Trace, case: ComparedCase, runs: dict[str, Run], tenant: int, budget: int
) -> list[tuple[Dot, str]]:
    """Return the answer of each tuner with its words; the first one is the focus, a star."""
    found, goal = [], case.objective.goal
    for number, (tuner, run) in enumerate(runs.items()):
        step = answer_after(run, budget)
        point = _point(trace, run.placements[step], tenant, goal)
        if not np.isfinite(point).all():
            continue
        broken = bool(run.violation[step] > 0)
        mark = Mark.CHOSEN if number == 0 else Mark.BROKEN if broken else Mark.KEPT
        name = tuner.replace("_", " ")
        text = f"{name} {_amount(point[1], goal)}" + " (breaks a limit)" * broken
        found.append((Dot(*point, f"{name}'s answer", mark, str(number) * bool(number)), text))
    return found


def _typical_run(comparison: Comparison, tuner: str, case: int, budget: int) -> Run:
    runs = comparison.runs(tuner)[case]
    worth = []
    for run in runs:
        step = answer_after(run, budget)
        worth.append(float(rank(run.score[step], run.violation[step])))
    return runs[int(np.argsort(worth, kind="stable")[(len(runs) - 1) // 2])]


def _groups(trace: Trace) -> tuple[list[str], IntArray]:
    """Return names of groups of configurations, and the group [B, T] of each row and tenant."""
    names = trace.space.device.accelerator_names
    used = trace.placements[..., 0] > 0
    several = used.sum(axis=2) > 1
    groups = [f"{name} only" for name in names] + ["both" if len(names) == 2 else "several"]
    return groups, np.where(several, len(names), used.argmax(axis=2))


def _recorded(
    trace: Trace, tenant: int, kept: BoolArray, goal: Goal, member: IntArray
) -> list[Dot]:
    """Return the recorded configurations, those that break a limit as pale squares."""
    x, y = trace.batch.p99_ms[:, tenant], _height(trace.batch, tenant, goal)
    return [
        Dot(
            float(x[row]),
            float(y[row]),
            trace.space.describe_each(Configuration.of(trace.placements[row]))[tenant],
            Mark.KEPT if kept[row] else Mark.BROKEN,
            group=int(member[row]),
        )
        for row in range(len(x))
        if math.isfinite(x[row] + y[row])
    ]
