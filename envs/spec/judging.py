"""Judge outcomes: how far they are beyond limits, their score by the goal, and the verdict.

One function judges (`margins`), one scores (`log_score`); both take logarithms [..., Q, N].
Everything else in the project that judges or scores an outcome is a line on top of them. A limited
quantity that was not read is not kept; a failure is NaN in all quantities, breaks its limits and
scores nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from envs.arrays import BoolArray, FloatArray, Floats, Single
from envs.spec.goal import Goal
from envs.spec.measurement import Measurement, MeasurementBatch, Outcome
from envs.spec.objective import Objective, Objectives

#: The largest violation: the logarithm of measured over allowed, for a factor of about 20 and for
#: a limited quantity that was not read.
MAX_VIOLATION = 3.0


def margins(logs: Floats, limits: Floats) -> Floats:
    """Return how far each quantity is beyond its limit, [..., Q, N], negative inside.

    Throughputs, the first T of Q = 2 T + 1 quantities, have lower limits; all others upper ones.

    Args:
        logs: [..., Q, N] logarithms, NaN for a quantity that was not read.
        limits: [..., Q] logarithms, infinite for no limit.

    Returns:
        The logarithm of measured over allowed, or of the least over the measured throughput;
        MAX_VIOLATION for a limited quantity that was not read, and -inf where there is no limit.
    """
    limited = np.isfinite(limits)[..., None]
    beyond = signs(limits.shape[-1])[:, None] * (
        logs - np.where(limited, limits[..., None], 0.0).astype(logs.dtype)
    )
    return np.where(limited, np.where(np.isnan(beyond), MAX_VIOLATION, beyond), -np.inf)


def signs(quantities: int) -> Single:
    """Return [Q]: -1 for a quantity with a lower limit, a throughput, and 1 for the others."""
    values = np.ones(quantities, dtype=np.float32)
    values[: (quantities - 1) // 2] = -1.0
    return values


def worst_margin(logs: Floats, limits: Floats) -> Floats:
    """Return the largest of the margins, [..., N]; MAX_VIOLATION for a failure."""
    failed = np.isnan(logs).all(axis=-2)
    return np.where(failed, MAX_VIOLATION, margins(logs, limits).max(axis=-2))


def log_score(logs: Floats, weights: Floats, terms: Floats | None = None) -> Floats:
    """Return the logarithm of the score, [..., N]; -inf for a failure.

    It is -inf, too, where a quantity that the goal needs was not read.

    Args:
        logs: [..., Q, N] logarithms.
        weights: [..., T], 0 for a tenant that is not there.
        terms: [..., T + 2], see `Goal.terms`; those of throughput where not given.
    """
    tenants = weights.shape[-1]
    with np.errstate(divide="ignore"):
        served = np.log(_weighted(np.exp(logs[..., :tenants, :]), weights))
    if terms is None or not terms[..., 1:].any():
        return served
    first, others = terms[..., :1], terms[..., 1:, None]
    with np.errstate(invalid="ignore"):  # 0 times infinity, which is left out
        score = np.where(first != 0, first * served, 0.0)
        score = score + np.where(others != 0, others * logs[..., tenants:, :], 0.0).sum(axis=-2)
    return np.asarray(np.where(np.isnan(score), -np.inf, score).astype(served.dtype))


def _weighted(throughput_ips: Floats, weights: Floats) -> Floats:
    """Sum throughputs [..., T, N] by their weights [..., T]; 0 where one was not read."""
    each = weights[..., None]
    total = np.where(each > 0, throughput_ips * each, 0.0).sum(axis=-2)
    return np.where(np.isnan(total), 0.0, total)


@dataclass(frozen=True)
class Verdict:
    """The scores of outcomes under an objective.

    Attributes:
        score: [N], by the goal, in its unit; 0 for a failure.
        violation: [..., N] between 0, where every limit is kept, and MAX_VIOLATION.
    """

    score: FloatArray
    violation: FloatArray

    @property
    def feasible(self) -> BoolArray:
        """Return where every limit is kept, [..., N]."""
        return np.asarray(self.violation <= 0)


def verdict_of(
    batch: MeasurementBatch, weights: FloatArray, limits: Objective | Objectives
) -> Verdict:
    """Judge N outcomes by one objective, [N], or by each of B objectives, [B, N].

    Args:
        batch: the outcomes.
        weights: [T] of the tenants' throughputs.
        limits: one objective, or many.
    """
    if limits.goal is Goal.THROUGHPUT:
        score = np.asarray(_weighted(batch.throughput_ips.T, weights), dtype=np.float64)
    else:
        score = np.exp(log_score(batch.logs, weights, limits.goal.terms(weights)))
    beyond = np.asarray(worst_margin(batch.logs, limits.log_limits), dtype=np.float64)
    return Verdict(score, np.clip(beyond, 0.0, MAX_VIOLATION))


def rank(score: FloatArray, violation: FloatArray) -> FloatArray:
    """Return one number to maximise: any feasible outcome above all others, by its score.

    Among the infeasible the least violating is best.
    """
    return np.where(violation <= 0, score, -violation - 1e-6)


def judge_measurement(
    outcome: Outcome, objective: Objective, weights: tuple[float, ...]
) -> tuple[float, float]:
    """Return (score, violation) of one outcome; a failure has (0, MAX_VIOLATION)."""
    batch = MeasurementBatch.of([outcome], len(weights))
    found = verdict_of(batch, np.array(weights), objective)
    violation = max(float(found.violation[0]), _disagreement(outcome, objective.min_agreement))
    return float(found.score[0]), min(violation, MAX_VIOLATION)


def _disagreement(outcome: Outcome, limit: float) -> float:
    """Return the logarithm of allowed over measured agreement, 0 where none was measured."""
    if limit <= 0 or not isinstance(outcome, Measurement):
        return 0.0
    worst = min(
        (each.agreement for each in outcome.tenants if each.agreement < limit), default=limit
    )
    return math.log(limit / worst) if worst > 0 else MAX_VIOLATION
