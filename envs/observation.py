"""What an agent sees: a pure function of what is known beforehand, what is asked and what was measured.

Letters: B rows, M candidates, P of them proposed, T tenants, Q = 2 T + 1 quantities, F features.

Each candidate is described in terms that mean the same on every device: what is believed of it relative to the limits and to the best
measured so far. A policy that scores candidates by these features has no knob of its own, so that boards with other accelerators, other batch
sizes or more tenants are nothing new to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Single = npt.NDArray[np.float32]

FEATURES = (
    *("allowed", "measured", "is_best", "log_score_over_best", "score_spread", "log_chance_feasible", "worst_margin", "worst_distance"),
    *("worst_spread", "expected_gain", "acquisition", "net_gain", "chance_better", "log_score_over_promise"),
    *("used", "left", "has_best", "best_over_promise", "power_limited", "latency_limited", "last_broke", "two_tenants", "has_dla", "plain"),
)

ALLOWED = FEATURES.index("allowed")

#: Candidates that are proposed for each decision.
PROPOSALS = 24

#: What a broken limit costs, as a share of the best so far, where candidates are ranked to be proposed.
RISK = np.float32(0.1)

#: The logistic function with this slope is within 0.01 of the normal distribution function.
LOGISTIC = np.float32(1.702)
PEAK = np.float32(1 / np.sqrt(2 * np.pi))


def observe(
    mean: Single,
    variance: Single,
    noise: Single,
    limits: Single,
    weights: Single,
    present: npt.NDArray[np.bool_],
    measured: npt.NDArray[np.bool_],
    best: npt.NDArray[np.int64],
    best_score: Single,
    used: npt.NDArray[np.int64],
    budget: int,
    broke: npt.NDArray[np.bool_],
    known: Single,
    proposals: int,
) -> tuple[Single, npt.NDArray[np.int64]]:
    """Observations [B, P, F] of the P most promising candidates, and which those are, [B, P].

    Args:
        mean, variance: [B, Q, M], the belief. noise, limits: [B, Q]. weights: [B, T].
        present, measured: [B, M]. best: [B], the candidate with the highest score that kept all limits, -1 for none; best_score: [B], log.
        used: [B] measurements. broke: [B], whether the last one broke a limit. known: [B, 3].
    """
    tenants = weights.shape[1]
    rows = np.arange(len(mean))
    score, score_variance = believed_score(mean, variance, weights)
    spread = np.sqrt(score_variance)
    distance = np.clip(mean[:, tenants:] - limits[:, tenants:, None], -6.0, 6.0)
    doubt = np.sqrt(variance[:, tenants:] + noise[:, tenants:, None])
    margin = np.clip(-distance / doubt, -8.0, 8.0)
    odds = 1.0 + np.exp(-LOGISTIC * margin)
    chance = -np.log(np.multiply.reduce(odds, axis=1))
    worst_margin, worst_distance, worst_spread = margin[:, 0], distance[:, 0], doubt[:, 0]
    for limit in range(1, margin.shape[1]):
        worse = margin[:, limit] < worst_margin
        worst_distance, worst_spread = np.where(worse, distance[:, limit], worst_distance), np.where(worse, doubt[:, limit], worst_spread)
        worst_margin = np.where(worse, margin[:, limit], worst_margin)
    has_best = best >= 0
    promise = np.where(present, score + np.maximum(chance, -8.0), -1e3).max(axis=1)
    over = np.where(has_best, best_score, promise - 1.0)[:, None]
    unit = (score - over) / spread
    better = 1.0 / (1.0 + np.exp(-LOGISTIC * np.clip(unit, -8.0, 8.0)))
    gain = spread * np.maximum(unit * better + PEAK * np.exp(-0.5 * np.minimum(unit * unit, 60.0)), 1e-6)
    is_best = np.zeros(measured.shape, dtype=bool)
    is_best[rows[has_best], best[has_best]] = True
    allowed = present & (~measured | is_best)
    acquisition = np.maximum(np.log(gain) + chance, -14.0)
    kept = np.exp(chance)
    net = kept * np.expm1(np.minimum(gain, 1.5)) - RISK * (1.0 - kept)
    shown = _shown(net + 1e-3 * acquisition, chance, allowed, is_best, proposals)

    def of(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.take_along_axis(values, shown, axis=1)

    columns = (
        *(of(allowed), of(measured), of(is_best), np.clip(of(score) - over, -3.0, 3.0), of(spread), np.maximum(of(chance), -8.0) / 4),
        *(of(worst_margin) / 4, np.clip(of(worst_distance), -2.0, 2.0), of(worst_spread), np.minimum(of(gain), 2.0), of(acquisition) / 4, of(net), of(better)),
        np.clip(of(score) - promise[:, None], -3.0, 1.0),
    )
    limited = np.isfinite(limits)
    common = (
        *(used / budget, (budget - used) / 8, has_best, np.clip(np.where(has_best, best_score - promise, 0.0), -3.0, 1.0)),
        *(limited[:, -1], limited[:, tenants:-1].any(axis=1), broke, *known.T),
    )
    out = np.empty((len(mean), proposals, len(FEATURES)), dtype=np.float32)
    for position, column in enumerate(columns):
        out[:, :, position] = column
    for position, value in enumerate(common, start=len(columns)):
        out[:, :, position] = value[:, None]
    return out, shown


def _shown(promising: Single, chance: Single, allowed: npt.NDArray[np.bool_], is_best: npt.NDArray[np.bool_], proposals: int) -> npt.NDArray[np.int64]:
    """[B, P]: the best so far, the two safest, and the most promising, in this order."""
    key = np.where(allowed, promising, -1e3)
    safe = np.where(allowed & ~is_best, chance, -1e3)
    rows = np.arange(len(key))
    for rank in (2, 1):
        at = safe.argmax(axis=1)
        key[rows, at] += 100.0 * rank
        safe[rows, at] = -1e4
    key[is_best] += 1e3
    if key.shape[1] > proposals:
        top = np.argpartition(-key, proposals - 1, axis=1)[:, :proposals]
    else:
        top = np.tile(np.arange(key.shape[1]), (len(key), 1))
    order = np.argsort(-np.take_along_axis(key, top, axis=1), axis=1, kind="stable")
    return np.take_along_axis(top, order, axis=1)


def believed_score(mean: Single, variance: Single, weights: Single) -> tuple[Single, Single]:
    """Mean and variance of the log of the weighted throughput, [B, M] each; tenants count as independent."""
    tenants = weights.shape[1]
    if tenants == 1:
        return mean[:, 0] + np.log(weights[:, :1]), variance[:, 0]
    parts = np.exp(mean[:, :tenants]) * weights[:, :, None]
    total = np.maximum(parts.sum(axis=1), 1e-12)
    shares = parts / total[:, None]
    return np.log(total), np.maximum((shares**2 * variance[:, :tenants]).sum(axis=1), 1e-6)
