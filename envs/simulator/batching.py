"""How batches form in front of an instance: when enough requests wait, or the oldest has waited long enough."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray

_TINY = 1e-12


class Formation(NamedTuple):
    """Batches as they form, each [...].

    Attributes:
        batch: mean requests of a batch. full: chance that it leaves full, not because of its oldest request.
        mean_s: how long a request waits for its batch to leave.
        span_s: mean time from a batch's first request to its leaving.
    """

    batch: FloatArray
    full: FloatArray
    mean_s: FloatArray
    span_s: FloatArray


def poisson_at_most(count: FloatArray, mean: FloatArray) -> FloatArray:
    """P(N <= count) [...] of a Poisson variable: Wilson and Hilferty's cube root and a logistic for the normal, within 0.006."""
    order = np.maximum(count + 1.0, 0.5)
    z = 3.0 * np.sqrt(order) * (1.0 - 1.0 / (9.0 * order) - np.cbrt(mean / order))
    chance: FloatArray = 1.0 / (
        1.0 + np.exp(np.clip(-z * (1.5976 + 0.07056 * z * z), -700.0, 700.0))
    )
    chance *= count > 0.5
    chance += np.exp(-mean) * (np.abs(count) < 0.5)  # the cube root is at its worst for none
    return chance


def capped_poisson(mean: FloatArray, cap: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of M = min(N, cap), N Poisson of a mean [...]: E[M], E[M(M + 1)/2] and P(N >= cap), exact but for `poisson_at_most`."""
    below, below2, below3 = (poisson_at_most(cap - drop, mean) for drop in (1.0, 2.0, 3.0))
    reached = 1.0 - below
    first = mean * below2 + cap * reached
    return (
        first,
        (mean * mean * below3 + 2.0 * mean * below2 + cap * (cap + 1.0) * reached) / 2.0,
        reached,
    )


def formed_batch(
    rate: npt.ArrayLike,
    batch: npt.ArrayLike,
    max_wait_s: npt.ArrayLike,
    busy_s: npt.ArrayLike = 0.0,
) -> Formation:
    """Batches of up to `batch` of Poisson requests, the oldest of which waits at most `max_wait_s` for the others.

    While all instances are busy requests keep gathering. `busy_s` is how long they stay so after a batch has left: the first request
    of the next batch comes an exponential time later and waits for what is left of it, if that is more than the formation takes.

    With free instances (busy_s = 0) this is exact: M further requests come, M = min(Poisson(rate max_wait), batch - 1), and a request
    waits E[M(M + 1)]/2/(rate (1 + E[M])). With busy ones the mean batch is within 5 % of a simulation, up to nearly full batches.
    """
    arrivals, size, patience, busy = _floats(rate, batch, max_wait_s, busy_s)
    arrivals = np.maximum(arrivals, _TINY)
    others, pairs, full = capped_poisson(arrivals * patience, size - 1.0)
    alone = 1.0 + others
    span = others / arrivals
    held, often = gathered(arrivals, span, busy)
    longer = np.minimum(alone + arrivals * held, size)
    # Requests that met busy instances wait evenly up to `busy_s`; they are more than their batches, which are larger.
    share = np.clip(1.0 - (1.0 - often) * alone / longer, 0.0, 1.0)
    return Formation(
        longer, full, (1.0 - share) * pairs / (arrivals * alone) + share * busy / 2.0, span + held
    )


def formation_quantile(
    q: float, rate: npt.ArrayLike, batch: npt.ArrayLike, max_wait_s: npt.ArrayLike, steps: int = 10
) -> FloatArray:
    """Quantile [...] of a request's wait for its batch with free instances, as in `formed_batch`.

    A request waits longer than t with chance (P(N(t) < b) + E[min(N(max_wait), b - 1)] - E[min(N(t), b - 1)])/(1 + E[M]), where
    b = batch - 1 and N(t) counts the arrivals within t; a bisection inverts it.
    """
    arrivals, size, patience = _floats(rate, batch, max_wait_s)
    arrivals = np.maximum(arrivals, _TINY)
    inner = np.maximum(size - 2.0, 0.0)
    allowed = (1.0 - q) * (1.0 + capped_mean(arrivals * patience, size - 1.0)) - capped_mean(
        arrivals * patience, inner
    )
    low: FloatArray = np.zeros_like(arrivals)
    step: FloatArray = np.minimum(patience, (size + 8.0 * np.sqrt(size)) / arrivals) * (size > 1.0)
    for _ in range(steps):
        step = 0.5 * step
        mean = arrivals * (low + step)
        fewer = poisson_at_most(inner, mean)
        low = low + step * (fewer - capped_mean(mean, inner) > allowed)
    return low + step


def gathered(
    rate: FloatArray, span_s: FloatArray, busy_s: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How much longer than `span_s` [...] a batch gathers because instances stay busy for `busy_s` [...], and how often that happens.

    E[(busy - A - span)+] and P(A < busy - span), where A is the exponential time until the batch's first request.
    """
    gap = np.maximum(busy_s - span_s, 0.0)
    often = -np.expm1(-rate * gap)
    return np.maximum(gap - often / rate, 0.0), often


def capped_mean(mean: FloatArray, cap: FloatArray) -> FloatArray:
    """E[min(N, cap)] [...]."""
    return mean * poisson_at_most(cap - 2.0, mean) + cap * (1.0 - poisson_at_most(cap - 1.0, mean))


def _floats(*values: npt.ArrayLike) -> tuple[FloatArray, ...]:
    return tuple(np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in values)))
