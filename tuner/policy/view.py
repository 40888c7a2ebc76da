"""What the policy sees of one problem on a device: `envs.belief.features.observe` of a single row, bit by bit the same, in half of the time.

A decision is a few hundred numbers, so that a call of NumPy costs more than what it computes: here there are few, and no batch. What a belief says of
each candidate is worked out when something is learned, and ready when something is asked.

Letters: M candidates, P of them proposed, F features, T tenants, Q = 2 T + 1 quantities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.arrays import Single
from envs.belief.features import (
    AWAY,
    BOUNDS,
    FEATURES,
    HIGH,
    LOGISTIC,
    LOW,
    PEAK,
    RISK,
    SCALE,
    WAITING,
    believed_score,
)
from envs.problems.problem_batch import Pool

#: Features of each candidate come first, then those that all have in common.
OWN = len(BOUNDS)

#: The constants of `envs.belief.features` as arrays: NumPy would make one of each number anew at every call, which takes as long as what it is for.
(
    DOWN,
    STEEP_DOWN,
    STEEP_UP,
    FARTHEST,
    HALF_OFF,
    HEIGHT,
    LEAST,
    RAREST,
    MOST,
    RISKED,
    TIE,
    APART,
    ONE,
) = (
    np.array(value, dtype=np.float32)
    for value in (
        -LOGISTIC,
        -8.0 * LOGISTIC,
        8.0 * LOGISTIC,
        60.0,
        -0.5,
        PEAK,
        1e-6,
        -14.0,
        1.5,
        RISK,
        1e-3,
        AWAY,
        1.0,
    )
)


class Given(NamedTuple):
    """What is given: noise [Q, M], limits [Q, 1], weights [T], what else is known beforehand [G], and measurements in all."""

    noise: Single
    limits: Single
    weights: Single
    power_limited: bool
    latency_limited: bool
    known: tuple[float, ...]
    budget: int

    @classmethod
    def of(cls, pool: Pool, budget: int) -> Given:
        """Of the first problem of a pool."""
        limited = np.isfinite(pool.limits[0, pool.tenants :]).tolist()
        noise = np.repeat(pool.noise[0][:, None], pool.candidates, axis=1)
        return cls(
            noise,
            pool.limits[0][:, None],
            pool.weights[0],
            limited[-1],
            any(limited[:-1]),
            tuple(pool.known[0].tolist()),
            budget,
        )


class Outlook(NamedTuple):
    """What is believed of each candidate, [M] each.

    Attributes:
        score, spread: of the log of the weighted throughput. kept, chance: how likely a window keeps all limits, and its logarithm.
        worth: of waiting with it. promise: the most throughput that can be hoped for.
        features: [OWN, M], those filled in that follow from this alone.
    """

    score: Single
    spread: Single
    kept: Single
    chance: Single
    worth: Single
    promise: np.float32
    features: Single


class Progress(NamedTuple):
    """What was measured, [M] ones and zeros; which of it kept the limits; the best of that, -1 for none, with its log score; measurements used; whether
    the last one broke a limit.
    """

    measured: Single
    held: Sequence[int]
    best: int
    best_score: np.float32
    used: int
    broke: bool


def outlook_of(mean: Single, variance: Single, given: Given) -> Outlook:
    """Of a belief, [Q, M]."""
    tenants = len(given.weights)
    features = np.zeros((OWN, mean.shape[1]), dtype=np.float32)
    _, _, _, _, spread, chance, worst, worst_distance, worst_spread, _, _, _, _, below = features
    if tenants == 1:
        score = mean[0] + np.log(given.weights[0])
        np.sqrt(variance[0], out=spread)
    else:
        scores, variances = believed_score(mean[None], variance[None], given.weights[None])
        score = scores[0]
        np.sqrt(variances[0], out=spread)
    distance = mean[tenants:] - given.limits[tenants:]
    doubt = np.sqrt(variance[tenants:] + given.noise[tenants:])
    excess = np.maximum(distance, -6.0)
    excess /= doubt
    np.maximum(excess, -8.0, out=excess)
    np.minimum(excess, 8.0, out=excess)
    worst[:], worst_distance[:], worst_spread[:] = excess[0], distance[0], doubt[0]
    for limit in range(1, tenants + 1):
        worse = excess[limit] > worst
        for kept_, other in ((worst, excess), (worst_distance, distance), (worst_spread, doubt)):
            np.copyto(kept_, other[limit], where=worse)
    excess *= LOGISTIC
    np.exp(excess, out=excess)
    excess += 1.0
    kept = 1.0 / np.multiply.reduce(excess, axis=0)
    np.log(kept, out=chance)
    promise = (np.maximum(chance, -8.0) + score).max()
    np.subtract(score, promise, out=below)
    return Outlook(score, spread, kept, chance, kept * WAITING + score, promise, features)


def view_of(
    outlook: Outlook, given: Given, progress: Progress, proposals: int
) -> tuple[Single, npt.NDArray[np.int32]]:
    """Observation [P, F] of the most promising candidates, and which those are, [P]. Fills in the rest of the outlook's features."""
    features, best, has_best = outlook.features, progress.best, progress.best >= 0
    over = progress.best_score if has_best else outlook.promise - np.float32(1.0)
    allowed, measured, is_best, above, _, _, _, _, _, gain, acquisition, net, better, _ = features
    measured[:], is_best[:] = progress.measured, 0.0
    np.subtract(ONE, progress.measured, out=allowed)
    np.subtract(outlook.score, over, out=above)
    _gains(outlook, above / outlook.spread, gain, acquisition, net, better)
    away, waiting = progress.measured * APART, -1
    if has_best:
        waiting = max(progress.held, key=outlook.worth.__getitem__)
        is_best[best], allowed[waiting], away[waiting] = 1.0, 1.0, 0.0
    shown = _shown(net + TIE * acquisition - away, outlook.chance - away, waiting, proposals)
    out = np.empty((proposals, len(FEATURES)), dtype=np.float32)
    picked = features.take(shown, axis=1).T
    np.maximum(picked, LOW, out=picked)
    np.minimum(picked, HIGH, out=picked)
    np.multiply(picked, SCALE, out=out[:, :OWN])
    lead = min(max(float(over - outlook.promise), -3.0), 1.0) if has_best else 0.0
    spent = (progress.used / given.budget, (given.budget - progress.used) / 8, has_best, lead)
    out[:, OWN:] = (
        *spent,
        given.power_limited,
        given.latency_limited,
        progress.broke,
        *given.known,
    )
    return out, shown


def _gains(
    outlook: Outlook, unit: Single, gain: Single, acquisition: Single, net: Single, better: Single
) -> None:
    """What there is to be had beyond the best, by how many standard deviations each candidate is above it; into the last four [M]."""
    steep = unit * DOWN
    np.maximum(steep, STEEP_DOWN, out=steep)
    np.minimum(steep, STEEP_UP, out=steep)
    np.exp(steep, out=steep)
    steep += ONE
    np.divide(ONE, steep, out=better)
    peak = unit * unit
    np.minimum(peak, FARTHEST, out=peak)
    peak *= HALF_OFF
    np.exp(peak, out=peak)
    peak *= HEIGHT
    unit *= better
    unit += peak
    np.maximum(unit, LEAST, out=unit)
    np.multiply(unit, outlook.spread, out=gain)
    np.log(gain, out=acquisition)
    acquisition += outlook.chance
    np.maximum(acquisition, RAREST, out=acquisition)
    np.minimum(gain, MOST, out=net)
    np.expm1(net, out=net)
    net += RISKED
    net *= outlook.kept
    net -= RISKED


def _shown(key: Single, safe: Single, waiting: int, proposals: int) -> npt.NDArray[np.int32]:
    """[P]: what to wait with, the two safest, and the most promising, in this order; see `envs.belief.features`, whose order of what is equal this is."""
    if waiting >= 0:
        safe[waiting] -= AWAY
    for extra in (np.float32(200.0), np.float32(100.0)):
        at = safe.argmax()
        key[at] += extra
        safe[at] = -1e4
    if waiting >= 0:
        key[waiting] += np.float32(1e3)
    low = (1 << len(key).bit_length()) - 1
    np.negative(key, out=key)
    bits = key.view(np.int32)
    turned = bits >> 31
    turned &= 0x7FFFFFFF
    bits ^= turned
    bits &= ~low
    bits |= np.arange(len(key), dtype=np.int32)
    bits.sort()
    return bits[:proposals] & low
