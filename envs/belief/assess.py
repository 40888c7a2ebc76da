"""Assess candidates by the belief: their score by the goal, and their chance to keep the limits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.arrays import BoolArray, FloatArray, Floats, Single
from envs.spec import signs

#: The logistic function with this slope is within 0.01 of the normal distribution function.
LOGISTIC = np.float32(1.702)

#: The worth of a chance of keeping the limits beside the logarithm of a score, where it is chosen
#: which configuration to stay with: 1 % counts as much as 30 % of the score.
CHANCE_WORTH = np.float32(30.0)

#: A chance beyond this is worth no more: one window in 200 may break a limit.
MIN_FEASIBLE_CHANCE = 0.995


class Conditions(NamedTuple):
    """The conditions of B searches, whatever was measured.

    Attributes:
        noise: [B, Q, M] variances of a window of each candidate.
        limits: [B, Q] logarithms, infinite for no limit, see `envs.spec.margins`.
        weights: [B, T], 0 for a tenant that is not there.
        terms: [B, T + 2] of the score, see `envs.spec.Goal.terms`.
        risk: [B], the price of a broken limit, see `envs.belief.risk`.
        cost_s: [B, M] seconds that measuring each candidate is expected to take now.
        window_s: [B], of which the window itself.
        present: [B, M], False for padding.
        extra_features: [B, G], what else is known before the first measurement.
        budget: measurements of a search.
        budget_s: [B], seconds of a search, infinite where there is no limit.
    """

    noise: Single
    limits: Single
    weights: Single
    terms: Single
    risk: Single
    cost_s: Single
    window_s: Single
    present: BoolArray
    extra_features: Single
    budget: int
    budget_s: FloatArray


class Assessment(NamedTuple):
    """The believed score and limits of each candidate, [B, M] each.

    Attributes:
        score, spread: mean and standard deviation of the log of the score.
        chance, log_chance: of a window that keeps all limits.
        excess, distance, limit_spread: of the limit most in danger: by how many standard deviations
            and by how much, in logarithms, the quantity is expected beyond it, and that deviation.
        promise: [B], the highest log score that can be hoped for.
    """

    score: Single
    spread: Single
    chance: Single
    log_chance: Single
    excess: Single
    distance: Single
    limit_spread: Single
    promise: Single

    def row(self, index: int) -> Assessment:
        """Return one row, [M] each."""
        return Assessment(*(each[index] for each in self))


def assess(mean: Single, variance: Single, conditions: Conditions) -> Assessment:
    """Assess the candidates of a belief, mean and variance [B, Q, M]."""
    score, score_variance = believed_score(mean, variance, conditions.weights, conditions.terms)
    limits, quantities = conditions.limits, mean.shape[1]
    tenants = conditions.weights.shape[1]
    # Least rates are rare: without any of them their part of the work is left out.
    some = slice(0 if np.isfinite(limits[:, :tenants]).any() else tenants, quantities)
    limited = np.isfinite(limits)[:, some, None]
    distance = np.where(
        limited,
        signs(quantities)[some, None]
        * (mean[:, some] - np.where(limited, limits[:, some, None], np.float32(0.0))),
        np.float32(-np.inf),
    )
    limit_spread = np.sqrt(variance[:, some] + conditions.noise[:, some])
    excess = np.where(limited, np.clip(distance / limit_spread, -8.0, 8.0), np.float32(-np.inf))
    chance = chance_of_keeping(excess)
    log_chance = np.log(chance)
    reach = np.where(conditions.present, score + np.maximum(log_chance, -8.0), -1e3)
    worst = (excess[:, 0], distance[:, 0], limit_spread[:, 0])
    for limit in range(1, excess.shape[1]):
        worse = excess[:, limit] > worst[0]
        other = (excess[:, limit], distance[:, limit], limit_spread[:, limit])
        worst = tuple(np.where(worse, *pair) for pair in zip(other, worst, strict=True))
    promise = reach.max(axis=1)
    return Assessment(score, np.sqrt(score_variance), chance, log_chance, *worst, promise)


def believed_score(
    mean: Single, variance: Single, weights: Single, terms: Single
) -> tuple[Single, Single]:
    """Return mean and variance [B, M] of the log of the score.

    Its quantities count as independent.

    Args:
        mean: [B, Q, M], of logarithms.
        variance: [B, Q, M], of the same.
        weights: [B, T].
        terms: [B, T + 2], see `envs.spec.Goal.terms`.
    """
    tenants = weights.shape[1]
    served, doubt = _believed_throughput(mean, variance, weights)
    if not terms[:, 1:].any():
        return served, doubt
    first, others = terms[:, :1], terms[:, 1:, None]
    score = first * served + (others * mean[:, tenants:]).sum(axis=1)
    return score, first**2 * doubt + (others**2 * variance[:, tenants:]).sum(axis=1)


def _believed_throughput(mean: Single, variance: Single, weights: Single) -> tuple[Single, Single]:
    """Return mean and variance [B, M] of the log of the weighted throughput."""
    tenants = weights.shape[1]
    if tenants == 1:
        return mean[:, 0] + np.log(weights), variance[:, 0]
    parts = np.exp(mean[:, :tenants]) * weights[:, :, None]
    total = np.maximum(parts.sum(axis=1), 1e-12)
    shares = parts / total[:, None]
    return np.log(total), np.maximum((shares**2 * variance[:, :tenants]).sum(axis=1), 1e-6)


def normal_chance(value: Floats) -> Floats:
    """Return the chance that a standard normal number is below a value, [...].

    The normal distribution function is approximated by a logistic one, see LOGISTIC.
    """
    return np.asarray(1.0 / (1.0 + np.exp(-LOGISTIC * value)))


def chance_of_keeping(excess: Floats) -> Floats:
    """Return the chance [B, M] that a window keeps all limits, which count as independent.

    Args:
        excess: [B, Q, M], standard deviations beyond each limit, negative inside.
    """
    return np.asarray(1.0 / np.prod(1.0 + np.exp(LOGISTIC * excess), axis=1))


def worth_staying(score: Floats, chance: Floats, enough: float = MIN_FEASIBLE_CHANCE) -> Floats:
    """Return the worth [...] of staying with a configuration, from log scores and chances [...].

    The fastest of those whose chance to keep the limits is `enough` has the most.
    """
    return score + CHANCE_WORTH * np.minimum(chance, enough)
