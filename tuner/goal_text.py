"""Name the score of a goal, and tell it to people."""

from __future__ import annotations

import math

from envs.problems.problem import Problem
from envs.spec import Failure, Goal, Measurement, Outcome


def brief(outcome: Outcome, goal: str) -> str:
    """Return what a window gave of the quantities that the goal is about, as it was read."""
    if isinstance(outcome, Failure):
        return "failed"
    served = f"{outcome.throughput_ips.sum():.1f} inferences/s"
    if goal == Goal.ENERGY:
        return f"{served}, {outcome.power_w:.1f} W"
    latency = f"{outcome.latency_quantity} {outcome.p99_ms.max():.1f} ms"
    return latency if goal == Goal.LATENCY else f"{served}, {latency}"


def score_column(problem: Problem) -> list[str]:
    """Return the head of a column of scores: only those of energy stand nowhere else."""
    if problem.objective.goal is not Goal.ENERGY:
        return []
    return [f"{_weighted(problem)}{problem.objective.goal.unit}"]


def score_cell(problem: Problem, outcome: Outcome) -> list[str]:
    """Return the cell of a window in that column."""
    if problem.objective.goal is not Goal.ENERGY:
        return []
    score = problem.judge(outcome)[0]
    return [f"{score:.2f}" if score > 0 else "-"]


def score_lines(problem: Problem, outcome: Outcome) -> list[str]:
    """Return the score of an answer, a line where its quantity does not stand beside each network.

    Several networks share one score, which their weights make of them.
    """
    goal, several = problem.objective.goal, len(problem.space.workload.names) > 1
    score = problem.judge(outcome)[0]
    if not score > 0 or not isinstance(outcome, Measurement):
        return []
    if goal is Goal.ENERGY:
        return [f"  goal: {score:.2f} {_weighted(problem)}{goal.unit}, at {outcome.power_w:.1f} W"]
    if goal is Goal.LATENCY and several:
        quantity = outcome.latency_quantity
        return [f"  goal: {1 / score:.2f} ms, the geometric mean of {quantity} by weight"]
    return [f"  goal: {score:.1f} weighted {goal.unit}"] if several else []


def against_default(ratio: float, problem: Problem, latency: str = "p99") -> str:
    """Say how many times the default's score an answer has, and in what quantity.

    Args:
        ratio: of the scores, which are larger for a better configuration.
        problem: what was tuned.
        latency: see `Measurement.latency_quantity`.
    """
    goal, weighted = problem.objective.goal, _weighted(problem)
    if goal is Goal.LATENCY:
        return f"{1 / ratio:.2f} times the default ({weighted}{latency}; less is better)"
    quantity = "throughput" if goal is Goal.THROUGHPUT else "inferences per joule"
    return f"{ratio:.2f} times the default ({weighted}{quantity})"


def rates_out_of_reach(problem: Problem, outcomes: list[Outcome]) -> str:
    """Say which least rates no window reached, and the most that was measured; empty if none.

    The search may have ended before it measured the fastest: what the model expects of that is said
    as well, if the search asked the model.

    Args:
        problem: with the least rates.
        outcomes: of everything that was tried.
    """
    judged = [problem.judged(each) for each in outcomes]
    measured = [each for each in judged if isinstance(each, Measurement)]
    missed = []
    names, rates = problem.space.workload.names, problem.objective.min_rate_ips
    for tenant, (name, rate) in enumerate(zip(names, rates, strict=False)):
        most = max((float(each.throughput_ips[tenant]) for each in measured), default=math.nan)
        if most < rate:
            said = f"{name} reached at most {most:.1f} of min_rate_ips={rate:g}"
            if "prior" in problem.shared and problem.prior is not None:
                believed_ips = math.exp(float(problem.prior.mean[tenant].max()))
                said += f" (the device model expects {believed_ips:.0f} at most)"
            missed.append(said)
    return f"too much is asked for: {', '.join(missed)}" if missed else ""


def _weighted(problem: Problem) -> str:
    return "weighted " if len(problem.space.workload.names) > 1 else ""
