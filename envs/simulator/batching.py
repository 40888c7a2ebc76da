"""Batches that form in front of an instance: Poisson requests up to a limit, for a limited time."""

import numpy as np

from envs.arrays import FloatArray


def poisson_at_most(count: FloatArray, mean: FloatArray) -> FloatArray:
    """Return P(N <= count) [...] of a Poisson variable, within 0.006.

    It is Wilson and Hilferty's cube root with a logistic in place of the normal distribution.
    """
    order = np.maximum(count + 1.0, 0.5)
    z = 3.0 * np.sqrt(order) * (1.0 - 1.0 / (9.0 * order) - np.cbrt(mean / order))
    exponent = np.clip(-z * (1.5976 + 0.07056 * z * z), -80.0, 80.0)
    chance: FloatArray = 1.0 / (1.0 + np.exp(exponent))
    chance *= count > 0.5
    chance += np.exp(-mean) * (np.abs(count) < 0.5)  # the cube root is at its worst for none
    return chance


def capped_poisson(mean: FloatArray, cap: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return E[M], E[M(M + 1)/2] and P(N >= cap), [...] each, of M = min(N, cap).

    N is a Poisson variable; the result is exact but for `poisson_at_most`. With a mean of
    rate x max_wait and a cap of batch - 1, M is how many requests join the first of a batch in
    front of a free instance: the mean batch is 1 + E[M], and a request waits
    E[M(M + 1)/2]/(rate (1 + E[M])) for it to leave.
    """
    below, below2, below3 = (poisson_at_most(cap - drop, mean) for drop in (1.0, 2.0, 3.0))
    reached = 1.0 - below
    return (
        mean * below2 + cap * reached,
        (mean * mean * below3 + 2.0 * mean * below2 + cap * (cap + 1.0) * reached) / 2.0,
        reached,
    )


def gathered(
    rate_ips: FloatArray, span_s: FloatArray, busy_s: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return how much longer a batch gathers because instances are busy, and how often, [...].

    These are E[(busy - A - span)+] and P(A < busy - span), where A is the exponential time until
    the batch's first request, `span_s` how long the batch would gather in front of a free
    instance, and `busy_s` how long instances stay busy.
    """
    gap = np.maximum(busy_s - span_s, 0.0)
    often = -np.expm1(-rate_ips * gap)
    return np.maximum(gap - often / rate_ips, 0.0), often
