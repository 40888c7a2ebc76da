"""Distances of an outcome from the limits, for searches that model them."""

from __future__ import annotations

import numpy as np

from envs.spec.measurement import Measurement, Outcome
from envs.spec.objective import MAX_VIOLATION, Objective


def limit_margins(outcome: Outcome, objective: Objective) -> list[float]:
    """Return the logarithm of measured over allowed for each finite limit.

    The tenants' latencies come first, then power. A value is negative inside the limit, so that a
    model sees the limit coming, and MAX_VIOLATION for what was not read.
    """
    limits = np.array([*objective.p99_ms, objective.power_w])
    reached = (
        np.array([*outcome.p99_ms, outcome.power_w])
        if isinstance(outcome, Measurement)
        else np.full(len(limits), np.nan)
    )
    finite = np.isfinite(limits)
    with np.errstate(divide="ignore"):
        over = np.log(reached[finite]) - np.log(limits[finite])
    beyond: list[float] = np.nan_to_num(
        np.clip(over, -MAX_VIOLATION, MAX_VIOLATION), nan=MAX_VIOLATION
    ).tolist()
    return beyond
