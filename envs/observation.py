"""What an agent sees: a pure function of what is known beforehand, what is asked and what was measured.

Letters: B rows, M candidates, P of them proposed, T tenants, Q = 2 T + 1 quantities, F features.

Each candidate is described in terms that mean the same on every device: what is believed of it relative to the limits and to the best
measured so far. A policy that scores candidates by these features has no knob of its own, so that boards with other accelerators, other batch
sizes or more tenants are nothing new to it.
"""

from __future__ import annotations

from collections.abc import Callable

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

#: Rows that are computed at a time: few enough that their arrays stay in the cache.
BLOCK = 128

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
    kernel: Callable[..., None] | None = None,
) -> tuple[Single, npt.NDArray[np.int64]]:
    """Observations [B, P, F] of the P most promising candidates, and which those are, [B, P].

    Args:
        mean, variance: [B, Q, M], the belief. noise, limits: [B, Q]. weights: [B, T].
        present, measured: [B, M]. best: [B], the candidate with the highest score that kept all limits, -1 for none; best_score: [B], log.
        used: [B] measurements. broke: [B], whether the last one broke a limit. known: [B, 3].
        kernel: `envs.kernels.describe` compiled, which does the work; None for NumPy.
    """
    out = np.empty((len(mean), proposals, len(FEATURES)), dtype=np.float32)
    shown = np.empty((len(mean), proposals), dtype=np.int64)
    if kernel is not None:
        kernel(out, shown, mean, variance, noise, limits, weights, present, measured, best, best_score, used, budget, broke, known)
        return out, shown
    for start in range(0, len(mean), BLOCK):
        some = slice(start, start + BLOCK)
        asked = (noise[some], limits[some], weights[some], present[some], measured[some])
        progress = (best[some], best_score[some], used[some], budget, broke[some], known[some])
        _fill(out[some], shown[some], mean[some], variance[some], *asked, *progress)
    return out, shown


def _fill(
    out: Single,
    shown: npt.NDArray[np.int64],
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
) -> None:
    """As `observe`, of a few rows, into its results. What only the proposals show is computed for them alone."""
    rows, count, tenants = len(mean), mean.shape[2], weights.shape[1]
    score, score_variance = believed_score(mean, variance, weights)
    spread = np.sqrt(score_variance)
    distance = mean[:, tenants:] - limits[:, tenants:, None]
    doubt = np.sqrt(variance[:, tenants:] + noise[:, tenants:, None])
    excess = np.maximum(distance, -6.0)
    excess /= doubt
    _between(excess, -8.0, 8.0)
    kept = 1.0 / np.multiply.reduce(1.0 + np.exp(LOGISTIC * excess), axis=1)
    chance = np.log(kept)
    reach = score + np.maximum(chance, -8.0)
    np.copyto(reach, -1e3, where=~present)
    promise = reach.max(axis=1)
    has_best = best >= 0
    over = np.where(has_best, best_score, promise - 1.0)[:, None]
    unit = (score - over) / spread
    better = 1.0 / (1.0 + np.exp(-LOGISTIC * _between(unit.copy(), -8.0, 8.0)))
    gain = spread * np.maximum(unit * better + PEAK * np.exp(-0.5 * np.minimum(unit * unit, 60.0)), 1e-6)
    acquisition = np.maximum(np.log(gain) + chance, -14.0)
    net = kept * np.expm1(np.minimum(gain, 1.5)) - RISK * (1.0 - kept)
    every, found = np.arange(rows), np.flatnonzero(has_best)
    is_best = np.zeros(measured.shape, dtype=bool)
    is_best[found, best[found]] = True
    allowed = present & (~measured | is_best)
    shown[:] = _shown(net + 1e-3 * acquisition, chance, allowed, is_best, shown.shape[1])

    at = shown + (every * count)[:, None]
    columns = [each.reshape(-1).take(at) for each in (allowed, measured, is_best, score, spread, chance, gain, acquisition, net, better)]
    *flags, score, spread, chance, gain, acquisition, net, better = columns
    places = at[:, None] + (every[:, None] * (distance.shape[1] - 1) + np.arange(distance.shape[1]))[:, :, None] * count
    far, sure, tight = (each.reshape(-1).take(places) for each in (distance, doubt, excess))
    worst_distance, worst_spread, worst = far[:, 0], sure[:, 0], tight[:, 0]
    for limit in range(1, far.shape[1]):
        worse = tight[:, limit] > worst
        worst_distance, worst_spread = np.where(worse, far[:, limit], worst_distance), np.where(worse, sure[:, limit], worst_spread)
        worst = np.where(worse, tight[:, limit], worst)
    columns = [
        *(*flags, _between(score - over, -3.0, 3.0), spread, np.maximum(chance, -8.0) / 4, worst / -4, _between(worst_distance, -2.0, 2.0), worst_spread),
        *(np.minimum(gain, 2.0), acquisition / 4, net, better, _between(score - promise[:, None], -3.0, 1.0)),
    ]
    for position, column in enumerate(columns):
        out[:, :, position] = column
    common = np.empty((rows, 1, len(FEATURES) - len(columns)), dtype=np.float32)
    limited = np.isfinite(limits)
    lead = _between(np.where(has_best, best_score - promise, 0.0), -3.0, 1.0)
    progress = (used / budget, (budget - used) / 8, has_best, lead, limited[:, -1], limited[:, tenants:-1].any(axis=1), broke)
    for position, value in enumerate(progress):
        common[:, 0, position] = value
    common[:, 0, len(progress) :] = known
    out[:, :, len(columns) :] = common


def _between(values: Single, low: float, high: float) -> Single:
    """Clipped, in place."""
    clipped: Single = values.clip(low, high, out=values)
    return clipped


def _shown(promising: Single, chance: Single, allowed: npt.NDArray[np.bool_], is_best: npt.NDArray[np.bool_], proposals: int) -> npt.NDArray[np.int64]:
    """[B, P]: the best so far, the two safest, and the most promising, in this order; the first of what is equal."""
    key = promising - 1e3 * (~allowed).astype(np.float32)
    safe = chance - 1e3 * (~allowed | is_best).astype(np.float32)
    rows = np.arange(len(key))
    for rank in (2, 1):
        at = safe.argmax(axis=1)
        key[rows, at] += 100.0 * rank
        safe[rows, at] = -1e4
    key[is_best] += 1e3
    # Whole numbers in the order of the keys, most promising first, with the position in their lower half: one sort of plain numbers does it.
    bits = np.negative(key).view(np.int32)
    bits ^= (bits >> 31) & 0x7FFFFFFF
    ranked = np.sort((bits.astype(np.int64) << 32) | np.arange(key.shape[1]), axis=1)
    return ranked[:, :proposals] & 0xFFFFFFFF


def believed_score(mean: Single, variance: Single, weights: Single) -> tuple[Single, Single]:
    """Mean and variance of the log of the weighted throughput, [B, M] each; tenants count as independent."""
    tenants = weights.shape[1]
    if tenants == 1:
        return mean[:, 0] + np.log(weights[:, :1]), variance[:, 0]
    parts = np.exp(mean[:, :tenants]) * weights[:, :, None]
    total = np.maximum(parts.sum(axis=1), 1e-12)
    shares = parts / total[:, None]
    return np.log(total), np.maximum((shares**2 * variance[:, :tenants]).sum(axis=1), 1e-6)
