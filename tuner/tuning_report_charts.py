"""The charts of a tuning report: every measurement in order, and the best so far."""

from __future__ import annotations

import math

from envs.spec import MAX_VIOLATION, Failure, Goal, Outcome
from tuner.answer import Answer
from tuner.charts.curve import curve
from tuner.charts.plane import Dot, Mark, plane

#: Networks that have a plane of their own at most.
MOST_PLANES = 4

#: What the legend says of the star, which is no window but the mean of several.
ANSWER = {
    True: "the answer, the mean of its windows",
    False: "what came closest, the mean of its windows",
}


def planes(answer: Answer) -> list[str]:
    """Return a plane of throughput against p99 for each network, as HTML.

    Where the goal is energy, the inferences per joule take the place of throughput.
    """
    names, problem = answer.problem.space.workload.names, answer.problem
    goal = problem.objective.goal
    up = ("throughput", "inferences/s")
    if goal is Goal.ENERGY:
        up = ("by the power of the whole board", "inferences/J")
    charts = []
    for tenant, name in list(enumerate(names))[:MOST_PLANES]:
        dots = [
            Dot(
                *_place(outcome, tenant, goal),
                f"{number}. {configuration}",
                Mark.KEPT if problem.judge(outcome)[1] <= 0 else Mark.BROKEN,
                str(number),
            )
            for number, (configuration, outcome) in enumerate(answer.tried, start=1)
        ]
        chosen = Dot(*_place(answer.outcome, tenant, goal), str(answer.configuration), Mark.CHOSEN)
        if math.isfinite(chosen.p99_ms):
            dots.append(chosen)
        charts.append(
            plane(
                f"{name}: every window, numbered in the order of the measurements",
                dots,
                limit_ms=problem.objective.p99_ms[tenant],
                across_name=answer.latency_quantity,
                up_name=up[0],
                up_unit=up[1],
                in_order=True,
                words={Mark.CHOSEN: ANSWER[answer.limits_kept]},
            )
        )
    if left := len(names) - len(charts):
        charts.append(f'<p class="quiet">{left} more networks have no plane; see the table.</p>')
    return charts


def _place(outcome: Outcome, tenant: int, goal: Goal) -> tuple[float, float]:
    """Return p99 and throughput, or inferences per joule, of a network; NaN for a failure."""
    if isinstance(outcome, Failure):
        return math.nan, math.nan
    found = outcome.tenants[tenant]
    per_joule = found.throughput_ips / outcome.power_w if outcome.power_w > 0 else math.nan
    return found.p99_ms, per_joule if goal is Goal.ENERGY else found.throughput_ips


def best_so_far(answer: Answer) -> str:
    """Return the curve of the best score of the search that kept the limits, as HTML.

    Where nothing kept them, it shows how near to a limit the search came.
    """
    problem, is_latency = answer.problem, answer.problem.objective.goal is Goal.LATENCY
    judged = [problem.judge(outcome) for _, outcome in answer.tried[: answer.searched]]
    if not any(violation <= 0 for _, violation in judged):
        return _closest(answer, [violation for _, violation in judged])
    best, values = math.nan, []
    for score, violation in judged:
        if violation <= 0 and score > 0:
            best = score if math.isnan(best) else max(best, score)
        values.append(1 / best if is_latency else best)
    weighted = "weighted " * (len(problem.space.workload.names) > 1)
    unit = "ms" if is_latency else f"{weighted}{problem.objective.goal.unit}"
    return curve(
        "Best window of the search so far that kept the limits",
        unit,
        values,
        counted="measurement",
        steps=True,
    )


def _closest(answer: Answer, violations: list[float]) -> str:
    """Return the curve of the least violation so far, as measured over allowed."""
    least, values = math.inf, []
    for violation, (_, outcome) in zip(violations, answer.tried, strict=False):
        if not isinstance(outcome, Failure):
            least = min(least, violation)
        values.append(math.exp(least) if math.isfinite(least) else math.nan)
    title = "Closest so far: measured over allowed, of the limit that is broken most"
    capped = f" (more than {math.exp(MAX_VIOLATION):.0f} counts as that)"
    return curve(
        title + capped * (max(violations) >= MAX_VIOLATION),
        "times the limit",
        values,
        limits=1.0,
        counted="measurement",
        steps=True,
    )
