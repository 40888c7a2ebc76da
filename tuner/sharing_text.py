"""Say in words what several networks on one device get beside each other."""

from __future__ import annotations

import math

import numpy as np

from envs.problems.problem import Problem
from envs.spec import Measurement, Outcome
from tuner.placement.measures import (
    average_normalised_turnaround,
    fairness,
    rates_alone,
    system_throughput,
)


def sharing_lines(problem: Problem, outcome: Outcome) -> list[str]:
    """Return a line about several networks in a closed loop; none without a model of the device.

    The rates alone are those of the device model: nothing was measured alone.
    """
    rates_ips = problem.space.workload.rates_ips
    several = len(rates_ips) > 1 and bool(np.isinf(rates_ips).all())
    if not several or problem.model is None or not isinstance(outcome, Measurement):
        return []
    alone = rates_alone(problem.model, problem.objective)
    shared = np.array(outcome.throughput_ips)
    slower = float(average_normalised_turnaround(shared, alone))
    turnaround = (
        f"{slower:.2f} times slower than alone on average"
        if math.isfinite(slower)
        else "not every network served"
    )
    names = zip(problem.space.workload.names, alone.tolist(), strict=True)
    rates = ", ".join(f"{name} {rate:.1f}" for name, rate in names)
    return [
        f"  together: worth {float(system_throughput(shared, alone)):.2f} devices of their own,"
        f" {turnaround}, fairness {float(fairness(shared, alone)):.2f} of 1",
        f"    alone, by the device model and not measured, in inferences/s: {rates}",
    ]
