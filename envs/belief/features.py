"""What an agent sees: a pure function of what is known beforehand, what is asked and what was measured.

Letters: B rows, M candidates, P of them proposed, T tenants, Q = 2 T + 1 quantities, F features.

Each candidate is described in terms that mean the same on every device: what is believed of it relative to the limits and to the best
measured so far. A policy that scores candidates by these features has no knob of its own, so that boards with other accelerators, other batch
sizes or more tenants are nothing new to it.

What was measured already may not be chosen again, but for one: while nothing is worth trying, the device waits with what keeps its limits most
safely, which need not be the best so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.arrays import Floats, Single

FEATURES = (
    *(
        "allowed",
        "measured",
        "is_best",
        "log_score_over_best",
        "score_spread",
        "log_chance_feasible",
        "worst_margin",
        "worst_distance",
    ),
    *(
        "worst_spread",
        "expected_gain",
        "acquisition",
        "net_gain",
        "chance_better",
        "log_score_over_promise",
    ),
    *(
        "used",
        "left",
        "has_best",
        "best_over_promise",
        "power_limited",
        "latency_limited",
        "last_broke",
        "two_tenants",
        "has_dla",
        "plain",
    ),
)

ALLOWED = FEATURES.index("allowed")

#: Between which numbers the features of each candidate are kept, and what they are multiplied by then; the others are the same for all.
BOUNDS = (
    *(
        (0.0, 1.0, 1.0),
        (0.0, 1.0, 1.0),
        (0.0, 1.0, 1.0),
        (-3.0, 3.0, 1.0),
        (0.0, 30.0, 1.0),
        (-8.0, 0.0, 0.25),
        (-8.0, 8.0, -0.25),
        (-2.0, 2.0, 1.0),
    ),
    *(
        (0.0, 30.0, 1.0),
        (0.0, 2.0, 1.0),
        (-14.0, 30.0, 0.25),
        (-1.0, 4.0, 1.0),
        (0.0, 1.0, 1.0),
        (-3.0, 1.0, 1.0),
    ),
)
LOW, HIGH, SCALE = np.array(BOUNDS, dtype=np.float32).T

#: Candidates that are proposed for each decision.
PROPOSALS = 24

#: Rows that are computed at a time: few enough that their arrays stay in the cache.
BLOCK = 128

#: What a broken limit costs, as a share of the best so far, where candidates are ranked to be proposed.
RISK = np.float32(0.1)

#: What a chance of keeping the limits counts beside a logarithm of throughput, where it is chosen what to stay with: 1 % as much as 30 %.
WAITING = np.float32(30.0)

#: Beyond this chance no more is asked for, where throughput is to be had for it: one window in 200 may break a limit.
SURE = 0.995

#: Puts a candidate that may not be chosen behind all others.
AWAY = np.float32(1e3)

#: The logistic function with this slope is within 0.01 of the normal distribution function.
LOGISTIC = np.float32(1.702)
PEAK = np.float32(1 / np.sqrt(2 * np.pi))


class Situation(NamedTuple):
    """What is known of each row, besides which nothing is looked at.

    Attributes:
        mean, variance: [B, Q, M], the belief. noise, limits: [B, Q]. weights: [B, T].
        present, measured: [B, M]; held: [B, M], measured and kept all limits. best: [B], the one of
            these with the highest score, -1 for none; best_score: [B], log.
        used: [B] measurements of `budget`. broke: [B], whether the last one broke a limit. known: [B, G], what else is known.
    """

    mean: Single
    variance: Single
    noise: Single
    limits: Single
    weights: Single
    present: npt.NDArray[np.bool_]
    measured: npt.NDArray[np.bool_]
    held: npt.NDArray[np.bool_]
    best: npt.NDArray[np.int64]
    best_score: Single
    used: npt.NDArray[np.int64]
    broke: npt.NDArray[np.bool_]
    known: Single
    budget: int

    def rows(self, some: slice) -> Situation:
        return self._replace(
            **{name: getattr(self, name)[some] for name in self._fields if name != "budget"}
        )


def observe(
    situation: Situation, proposals: int, kernel: Callable[..., None] | None = None
) -> tuple[Single, npt.NDArray[np.int64]]:
    """Observations [B, P, F] of the P most promising candidates, and which those are, [B, P].

    Args:
        kernel: `envs.belief.kernels.describe` compiled, which does the work; None for NumPy.
    """
    count = len(situation.mean)
    out = np.empty((count, proposals, len(FEATURES)), dtype=np.float32)
    shown = np.empty((count, proposals), dtype=np.int64)
    if kernel is not None:
        kernel(out, shown, situation)
        return out, shown
    if count <= BLOCK:
        _fill(out, shown, situation)
        return out, shown
    for start in range(0, count, BLOCK):
        some = slice(start, start + BLOCK)
        _fill(out[some], shown[some], situation.rows(some))
    return out, shown


def _fill(out: Single, shown: npt.NDArray[np.int64], situation: Situation) -> None:
    """As `observe`, of a few rows, into its results. Written for few calls: a decision is one row, and then a call costs more than its numbers."""
    (
        mean,
        variance,
        noise,
        limits,
        weights,
        present,
        measured,
        held,
        best,
        best_score,
        used,
        broke,
        known,
        budget,
    ) = situation
    rows, count, tenants = len(mean), mean.shape[2], weights.shape[1]
    score, score_variance = believed_score(mean, variance, weights)
    each = np.empty((len(BOUNDS), rows, count), dtype=np.float32)
    (
        allowed_,
        measured_,
        is_best_,
        above,
        spread,
        chance_,
        worst,
        worst_distance,
        worst_spread,
        gain,
        acquisition,
        net,
        better,
        below,
    ) = each
    np.sqrt(score_variance, out=spread)
    distance = mean[:, tenants:] - limits[:, tenants:, None]
    doubt = np.sqrt(variance[:, tenants:] + noise[:, tenants:, None])
    excess = np.maximum(distance, -6.0)
    excess /= doubt
    _between(excess, -8.0, 8.0)
    worst[:], worst_distance[:], worst_spread[:] = excess[:, 0], distance[:, 0], doubt[:, 0]
    for limit in range(1, excess.shape[1]):
        worse = excess[:, limit] > worst
        for kept_, other in ((worst, excess), (worst_distance, distance), (worst_spread, doubt)):
            np.copyto(kept_, other[:, limit], where=worse)
    excess *= LOGISTIC
    np.exp(excess, out=excess)
    excess += 1.0
    kept = 1.0 / np.multiply.reduce(excess, axis=1)
    chance = np.log(kept, out=chance_)
    reach = np.maximum(chance, -8.0)
    reach += score
    np.copyto(reach, -1e3, where=~present)
    promise = np.maximum.reduce(reach, axis=1)
    has_best = best >= 0
    over = np.where(has_best, best_score, promise - 1.0)[:, None]
    np.subtract(score, over, out=above)
    np.subtract(score, promise[:, None], out=below)
    unit = above / spread
    steep = unit * -LOGISTIC
    _between(steep, -8.0 * LOGISTIC, 8.0 * LOGISTIC)
    np.exp(steep, out=steep)
    steep += 1.0
    np.divide(1.0, steep, out=better)
    peak = np.minimum(unit * unit, 60.0)
    peak *= -0.5
    np.exp(peak, out=peak)
    peak *= PEAK
    unit *= better
    unit += peak
    np.maximum(unit, 1e-6, out=unit)
    np.multiply(unit, spread, out=gain)
    np.log(gain, out=acquisition)
    acquisition += chance
    np.maximum(acquisition, -14.0, out=acquisition)
    np.expm1(np.minimum(gain, 1.5), out=net)
    net += RISK
    net *= kept
    net -= RISK
    firsts = np.arange(0, rows * count, count)  # where each row begins, seen as one line
    is_best = np.zeros(measured.shape, dtype=bool)
    is_best.reshape(-1)[firsts + np.maximum(best, 0)] = has_best
    worth = kept * WAITING
    worth += score
    np.copyto(worth, -AWAY, where=~held)
    waiting = np.zeros(measured.shape, dtype=bool)
    waiting.reshape(-1)[firsts + worth.argmax(axis=1)] = has_best
    closed = measured > waiting
    closed |= ~present
    np.logical_not(closed, out=allowed_)
    measured_[:], is_best_[:] = measured, is_best
    shown[:] = _shown(net + 1e-3 * acquisition, chance, closed, waiting, firsts, shown.shape[1])

    picked = each.reshape(len(BOUNDS), -1).take(shown + firsts[:, None], axis=1).transpose(1, 2, 0)
    np.maximum(picked, LOW, out=picked)
    np.minimum(picked, HIGH, out=picked)
    np.multiply(picked, SCALE, out=out[:, :, : len(BOUNDS)])
    common = np.empty((rows, 1, len(FEATURES) - len(BOUNDS)), dtype=np.float32)
    limited = np.isfinite(limits)
    lead = _between((over[:, 0] - promise) * has_best, -3.0, 1.0)
    progress = (
        used / budget,
        (budget - used) / 8,
        has_best,
        lead,
        limited[:, -1],
        np.logical_or.reduce(limited[:, tenants:-1], axis=1),
        broke,
    )
    for position, value in enumerate(progress):
        common[:, 0, position] = value
    common[:, 0, len(progress) :] = known
    out[:, :, len(BOUNDS) :] = common


def _between(values: Single, low: float | np.float32, high: float | np.float32) -> Single:
    """Clipped, in place; two calls take half of what `clip` does."""
    np.maximum(values, low, out=values)
    np.minimum(values, high, out=values)
    return values


def _shown(
    promising: Single,
    chance: Single,
    closed: npt.NDArray[np.bool_],
    waiting: npt.NDArray[np.bool_],
    firsts: npt.NDArray[np.int64],
    proposals: int,
) -> npt.NDArray[np.int64]:
    """[B, P]: what to wait with, the two safest, and the most promising, in this order; the first of what is equal."""
    key = promising - AWAY * closed
    safe = chance - AWAY * (closed | waiting)
    for rank in (2, 1):
        at = firsts + safe.argmax(axis=1)
        key.reshape(-1)[at] += 100.0 * rank
        safe.reshape(-1)[at] = -1e4
    key += np.float32(1e3) * waiting
    # Whole numbers in the order of the keys, most promising first, with the position in their lowest bits: one sort of plain numbers does it.
    low = (1 << key.shape[1].bit_length()) - 1
    bits = np.negative(key).view(np.int32)
    bits ^= (bits >> 31) & 0x7FFFFFFF
    ranked = np.sort((bits & ~low) | np.arange(key.shape[1], dtype=np.int32), axis=1)
    return np.asarray(ranked[:, :proposals] & low, dtype=np.int64)


def believed_score(mean: Single, variance: Single, weights: Single) -> tuple[Single, Single]:
    """Mean and variance of the log of the weighted throughput, [B, M] each; tenants count as independent."""
    tenants = weights.shape[1]
    if tenants == 1:
        return mean[:, 0] + np.log(weights[:, :1]), variance[:, 0]
    parts = np.exp(mean[:, :tenants]) * weights[:, :, None]
    total = np.maximum(parts.sum(axis=1), 1e-12)
    shares = parts / total[:, None]
    return np.log(total), np.maximum((shares**2 * variance[:, :tenants]).sum(axis=1), 1e-6)


def worth_staying(score: Floats, chance: Floats) -> Floats:
    """The most throughput among what is sure enough to keep the limits has the most; of log scores and chances, [...]."""
    return score + WAITING * np.minimum(chance, SURE)


def chance_of_keeping(mean: Floats, variance: Floats, noise: Floats, limits: Floats) -> Floats:
    """[B, M]: how likely a window of each candidate keeps all limits; the limits count as independent."""
    distance = (mean - limits[:, :, None]) / np.sqrt(variance + noise[:, :, None])
    return np.asarray(
        1.0 / np.multiply.reduce(1.0 + np.exp(LOGISTIC * distance.clip(-8.0, 8.0)), axis=1)
    )
