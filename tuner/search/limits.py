"""Distances of an outcome from the limits, for searches that model them."""

import numpy as np

from envs.spec import MAX_VIOLATION, MeasurementBatch, Objective, Outcome, margins


def limit_margins(outcome: Outcome, objective: Objective) -> list[float]:
    """Return the logarithm of measured over allowed for each finite limit.

    The tenants' least rates come first (the least over the measured), then latencies, then power.
    A value is negative inside the limit, so that a model sees the limit coming, and MAX_VIOLATION
    for a quantity that was not read.
    """
    limits = objective.log_limits
    logs = MeasurementBatch.of([outcome], len(objective.p99_ms)).logs
    beyond = margins(logs, limits)[np.isfinite(limits), 0]
    found: list[float] = np.clip(beyond, -MAX_VIOLATION, MAX_VIOLATION).tolist()
    return found
