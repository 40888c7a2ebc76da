"""Requests of one application on several accelerators of a node: shares, and times of the mix."""

import numpy as np

from cluster.queueing.sharing import LATE
from envs.arrays import FloatArray

#: Halvings of the interval in which a percentile is sought: more than a double resolves.
_HALVINGS = 60


def mixture_s(shares: FloatArray, mean_s: FloatArray) -> FloatArray:
    """Return the mean time [...] of requests that go to place k with the chance `shares`, in s.

    Args:
        shares: [..., J], with the sum 1.
        mean_s: [..., J] mean time at each place; it may be infinite where nothing goes.
    """
    used = np.asarray(shares) > 0
    return np.asarray((shares * np.where(used, mean_s, 0.0)).sum(axis=-1))


def late_mixture_s(shares: FloatArray, least_s: FloatArray, delay_s: FloatArray) -> FloatArray:
    """Return the 99th percentile [...] of a mixture of shifted exponential times, in s.

    P(T > t) = sum over k of share_k exp(-(t - least_k) / delay_k), each term at most its share. It
    is exact for such times, and found by halving an interval.

    Args:
        shares: [..., J], with the sum 1.
        least_s: [..., J] what a request takes at least.
        delay_s: [..., J] the mean of what comes on top; infinite at a place with too much work.
    """
    shares, least, delay = (
        np.asarray(each, dtype=float) for each in np.broadcast_arrays(shares, least_s, delay_s)
    )
    used = shares > 0
    endless = used & ~(np.isfinite(least) & np.isfinite(delay))
    never = np.where(endless, shares, 0.0).sum(axis=-1)
    used &= ~endless
    least, delay = np.where(used, least, 0.0), np.where(used, delay, 0.0)
    low, left = np.zeros(shares.shape[:-1]), np.maximum(LATE - never, np.finfo(float).tiny)
    high = (least + delay * np.log(1.0 / left)[..., None]).max(axis=-1)
    for _ in range(_HALVINGS):
        middle = ((low + high) / 2.0)[..., None]
        over = np.maximum(middle - least, 0.0) / np.where(delay > 0, delay, 1.0)
        beyond = np.where(delay > 0, np.exp(-over), middle < least)
        late = np.where(used, shares * beyond, 0.0).sum(axis=-1) + never > LATE
        low, high = np.where(late, middle[..., 0], low), np.where(late, high, middle[..., 0])
    return np.where(never > LATE, np.inf, high)


def best_split(capacity_ips: FloatArray, rate_ips: float) -> FloatArray:
    """Return the rates [J] of places with the least mean time of all requests, in requests/s.

    Each place shares its processor, so that its mean time is 1 / (mu_k - l_k). The used places, the
    fastest ones, get l_k = mu_k - sqrt(mu_k) (sum of mu - L) / (sum of sqrt(mu)), sums over used
    places (Bell and Stidham, Management Science 29, 1983).

    Args:
        capacity_ips: [J] the most that each place can serve.
        rate_ips: L, all arrivals.

    Raises:
        ValueError: the places together cannot serve it.
    """
    capacity = np.asarray(capacity_ips, dtype=float)
    if not 0 <= rate_ips < capacity.sum():
        raise ValueError(f"rate_ips={rate_ips} must be below {capacity.sum():g}, what all serve")
    order = np.argsort(-capacity, kind="stable")
    split = np.zeros_like(capacity)
    for count in range(1, len(order) + 1):
        used = capacity[order[:count]]
        spare = (used.sum() - rate_ips) / np.sqrt(used).sum()
        if used.sum() <= rate_ips:
            continue
        rates = used - np.sqrt(used) * spare
        if rates[-1] < 0:  # The slowest of these is better left out.
            break
        split[:] = 0.0
        split[order[:count]] = rates
    return split
