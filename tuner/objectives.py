"""The objective that a command's options ask for, and what follows from arrivals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Union

from envs.errors import ObjectiveError
from envs.spec import KEPT_UP, Goal, Objective, Workload, keeping_up

#: One limit for all networks, one each, or None for no limit.
Limits = Union[float, Sequence[float], None]


def asked(
    p99_ms: Limits = None,
    power_w: float | None = None,
    goal: str | None = None,
    min_rate_ips: Limits = None,
    min_agreement: float = 0.0,
) -> dict[str, Any]:
    """Return goal and limits as `Objective.from_dict` reads them; a single number is for all."""
    return {
        "p99_ms": _one_or_each(p99_ms),
        "power_w": power_w,
        "min_agreement": min_agreement,
        "goal": goal,
        "min_rate_ips": _one_or_each(min_rate_ips),
    }


def objective_of(given: Mapping[str, Any], workload: Workload) -> Objective:
    """Return the objective that options ask of a workload.

    With arrivals and another goal than throughput, the least rate keeps up with them, where none
    was given: serving fewer requests than arrive would otherwise be the way to the goal.

    Args:
        given: see `asked`.
        workload: of the device.

    Raises:
        ObjectiveError: a value cannot be used, or more is asked for than arrives.
    """
    rates_ips = workload.rates_ips
    objective = objective_from(given, workload)
    for name, least, rate in zip(workload.names, objective.min_rate_ips, rates_ips, strict=False):
        if least > rate:
            raise ObjectiveError(
                f"min_rate_ips={least:g} of {name} is more than the {rate:g} requests/s that"
                " arrive: lower it, or leave it out"
            )
    return at_arrivals(objective, rates_ips)


def objective_from(given: Mapping[str, Any], workload: Workload) -> Objective:
    """Return the objective that options ask of a workload, whatever arrives.

    A single limit of p99 for several networks is one for the critical ones.

    Raises:
        ObjectiveError: a value cannot be used, or such a limit would limit nothing.
    """
    objective = Objective.from_dict(dict(given), len(workload.tenants))
    if isinstance(given.get("p99_ms"), (list, tuple)) or len(workload.tenants) == 1:
        return objective
    if all(workload.best_effort) and math.isfinite(objective.p99_ms[0]):
        raise ObjectiveError(
            f"p99_ms={objective.p99_ms[0]:g} limits critical networks, and all are best effort:"
            " give one limit for each"
        )
    limits = zip(objective.p99_ms, workload.best_effort, strict=True)
    return replace(objective, p99_ms=tuple(math.inf if low else own for own, low in limits))


def at_arrivals(objective: Objective, rates_ips: Sequence[float]) -> Objective:
    """Return the objective with least rates that fit arrivals [T], infinite for a closed loop.

    Where fewer requests arrive than a least rate, which nothing can serve then, it becomes the rate
    that keeps up with them. The same rate is the default, if the goal is not throughput.
    """
    asked_ips = objective.min_rate_ips or (0.0,) * len(rates_ips)
    every = zip(asked_ips, keeping_up(rates_ips), rates_ips, strict=True)
    by_default = objective.goal is not Goal.THROUGHPUT
    least = tuple(
        enough if own > rate or (by_default and not own) else own for own, enough, rate in every
    )
    return replace(objective, min_rate_ips=least if any(least) else ())


def remarks_on(given: Mapping[str, Any], objective: Objective, workload: Workload) -> list[str]:
    """Return what follows from the goal without being asked for, a sentence each.

    Args:
        given: see `asked`.
        objective: what `objective_of` made of it.
        workload: of the device.
    """
    if objective.goal is Goal.THROUGHPUT:
        return []
    goal, least = objective.goal.value, objective.min_rate_ips
    free = [
        tenant.name
        for position, tenant in enumerate(workload.tenants)
        if tenant.closed_loop and not (least and least[position] > 0)
    ]
    remarks = []
    if free:
        remarks.append(
            f"goal={goal} without min_rate_ips for {', '.join(free)}: the smallest configuration"
            " may win, however little it serves"
        )
    if least and not any(_list(given.get("min_rate_ips"))):
        remarks.append(
            f"goal={goal}: at least {KEPT_UP:g} of the arrivals must be served"
            " (give min_rate_ips for another rate)"
        )
    return remarks


def _one_or_each(limits: Limits) -> Any:
    values = _list(limits)
    return values[0] if len(values) == 1 else values or None


def _list(limits: Any) -> list[Any]:
    several = limits is not None and not isinstance(limits, (int, float, str))
    return list(limits) if several else [limits]
