"""M/G/1, first come first served, with swaps: an Edge TPU or a DLA core that networks share.

A request pays the swap of its network if the request before it was for another one, which for
Poisson arrivals has the chance 1 - l_i / L (Liang et al., arXiv 2201.07312). The wait is that of
Pollaczek and Khinchine. A DLA core has no published swap time: 0 there.
"""

import numpy as np

from cluster.queueing.sharing import LATE, classes
from envs.arrays import FloatArray


def chance_of_swap(rate_ips: FloatArray) -> FloatArray:
    """Return the chance 1 - l_i / L [..., J] that the request before was for another network.

    Args:
        rate_ips: [..., J] arrivals; a class without any is taken to come after another.
    """
    (rate,) = classes(rate_ips)
    total = rate.sum(axis=-1, keepdims=True)
    share = np.divide(rate, total, out=np.zeros_like(rate), where=total > 0)
    return np.asarray(np.where(total > 0, 1.0 - share, 0.0))


def load_with_swaps(
    service_s: FloatArray, rate_ips: FloatArray, swap_s: FloatArray | float = 0.0
) -> FloatArray:
    """Return the load [...], swaps included.

    Args:
        service_s: [..., J] time of a request whose network is loaded.
        rate_ips: [..., J] arrivals.
        swap_s: [..., J] what it takes more after another network.

    Raises:
        ValueError: a time or a rate is negative or no number.
    """
    service, rate, swap = classes(service_s, rate_ips, swap_s)
    return np.asarray(((service + chance_of_swap(rate) * swap) * rate).sum(axis=-1))


def first_come_s(
    service_s: FloatArray, rate_ips: FloatArray, swap_s: FloatArray | float = 0.0
) -> FloatArray:
    """Return the mean time T_i = s_i + p_i o_i + W of requests of each class [..., J], in s.

    W = L (E[S^2] + 2 rho C) / (2 (1 - rho)), where S is s_i + o_i with the chance p_i of a swap,
    else s_i, and C the covariance of the S of two requests in a row: a rare network's request
    swaps, and so does the one after it. Ibis leaves C out, as is right for little load; heavy load
    has E[S^2] + 2 C. Arguments as of `load_with_swaps`.
    """
    service, rate, swap = classes(service_s, rate_ips, swap_s)
    visit = service + chance_of_swap(rate) * swap
    return np.asarray(visit + _wait_s(service, rate, swap)[..., None])


def first_come_late_s(
    service_s: FloatArray, rate_ips: FloatArray, swap_s: FloatArray | float = 0.0
) -> FloatArray:
    """Return about the 99th percentile [..., J] of the time of requests of each class, in s.

    A request waits with the chance rho, and then for an exponential time (exact for exponential
    sizes, and in heavy traffic); its own swap counts where more than 1 % of its requests swap.
    Arguments as of `load_with_swaps`.
    """
    service, rate, swap = classes(service_s, rate_ips, swap_s)
    load = load_with_swaps(service, rate, swap)
    wait = _wait_s(service, rate, swap)
    delay = np.divide(wait, load, out=np.zeros_like(wait), where=load > 0)
    beyond = delay * np.log(np.maximum(load / LATE, 1.0))
    own = service + np.where(chance_of_swap(rate) > LATE, swap, 0.0)
    return np.asarray(own + beyond[..., None])


def _wait_s(service_s: FloatArray, rate: FloatArray, swap_s: FloatArray) -> FloatArray:
    """Return the mean wait before service [...], infinite where the load is 1 or more."""
    chance = chance_of_swap(rate)
    load = load_with_swaps(service_s, rate, swap_s)
    square = (1.0 - chance) * service_s**2 + chance * (service_s + swap_s) ** 2
    shared = _covariance(service_s, rate, swap_s)
    second = np.asarray((rate * square).sum(axis=-1) + 2.0 * load * shared)
    out, idle = np.full(second.shape, np.inf), 1.0 - load
    np.divide(second, 2.0 * idle, out=out, where=idle > 0)
    return out


def _covariance(service_s: FloatArray, rate_ips: FloatArray, swap_s: FloatArray) -> FloatArray:
    """Return the sum of rates times the covariance of two visits in a row [...], in s."""
    chance = chance_of_swap(rate_ips)
    visit, share = service_s + chance * swap_s, 1.0 - chance
    ours = share * swap_s
    after = (
        -ours + ours.sum(axis=-1, keepdims=True) + (share * service_s).sum(axis=-1, keepdims=True)
    )
    mean = (share * visit).sum(axis=-1)
    return np.asarray(rate_ips.sum(axis=-1) * ((share * visit * after).sum(axis=-1) - mean**2))
