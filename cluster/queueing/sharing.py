"""M/G/1 with processor sharing: a GPU that several processes share, a time slice each.

With n requests inside, each gets 1/n of the GPU. The mean time of a request depends on its own size
and the load alone (Kleinrock, Queueing Systems II, 1976, section 4.4).
"""

from statistics import NormalDist

import numpy as np

from envs.arrays import FloatArray

#: The share of requests above the 99th percentile.
LATE = 0.01

_normal = np.vectorize(NormalDist().inv_cdf, otypes=[float])


def load_of(service_s: FloatArray, rate_ips: FloatArray) -> FloatArray:
    """Return the load rho = sum of rate times service time [...], 1 where there is no idle time.

    Args:
        service_s: [..., J] time of a request alone.
        rate_ips: [..., J] arrivals.

    Raises:
        ValueError: a time or a rate is negative or no number.
    """
    service, rate = classes(service_s, rate_ips)
    return np.asarray((service * rate).sum(axis=-1))


def classes(*given: FloatArray | float) -> list[FloatArray]:
    """Return times and rates of classes as arrays of one shape [..., J].

    Raises:
        ValueError: one is negative or no number.
    """
    found = [np.asarray(each, dtype=float) for each in given]
    for each in found:
        if not (each >= 0).all():
            raise ValueError(f"times and rates must be 0 or more, and one is {each.min()}")
    return list(np.broadcast_arrays(*found))


def sharing_s(service_s: FloatArray, rate_ips: FloatArray) -> FloatArray:
    """Return the mean time T_i = s_i / (1 - rho) of the requests of each class [..., J], in s.

    It is exact for any distribution of sizes. Arguments as of `load_of`.
    """
    service, rate = classes(service_s, rate_ips)
    return _over(service, 1.0 - load_of(service, rate)[..., None])


def sharing_by_mean_size_s(service_s: FloatArray, rate_ips: FloatArray) -> FloatArray:
    """Return T_i = s_i + 1 / (mu - L) - 1 / mu [..., J], in s, as Ibis has it.

    L is the sum of the rates and 1 / mu the mean service time (Liang et al., arXiv 2201.07312,
    equations 6 and 7, and their released code). Every class waits as long as a request of mean size
    does: averaged over all requests it equals `sharing_s`, but it is too long for short requests
    and too short for long ones. Arguments as of `load_of`.
    """
    service, rate = classes(service_s, rate_ips)
    load, total = load_of(service, rate)[..., None], rate.sum(axis=-1, keepdims=True)
    mean_s = np.divide(load, total, out=np.zeros_like(load), where=total > 0)
    return np.asarray(service + _over(load * mean_s, 1.0 - load))


def sharing_variance_s2(service_s: FloatArray, rate_ips: FloatArray) -> FloatArray:
    """Return the variance [..., J] of the time of requests of each class, in s^2.

    For a size x it is 2 / (1 - rho)^2 times the integral over u from 0 to x of (x - u) P(W > u), W
    the wait of an M/G/1 queue, first come first served (Yashkov, Math. Operationsforsch. Statist.
    Ser. Optimization 14, 1983). Here P(W > u) = rho exp(-u rho / E[W]), which is exact for
    exponential sizes. Every class has a fixed size. Arguments as of `load_of`.
    """
    service, rate = classes(service_s, rate_ips)
    load = load_of(service, rate)[..., None]
    second = (rate * service**2).sum(axis=-1, keepdims=True)
    idle = 1.0 - load
    # E[W] / rho, the mean wait of those that wait.
    delay = np.divide(second, 2.0 * load * idle, out=np.zeros_like(load), where=load * idle > 0)
    ratio = np.divide(service, delay, out=np.zeros_like(service), where=delay > 0)
    area = load * delay**2 * (ratio + np.expm1(-ratio))
    return _over(2.0 * area, np.where(idle > 0, idle**2, 0.0))


def sharing_late_s(service_s: FloatArray, rate_ips: FloatArray) -> FloatArray:
    """Return about the 99th percentile [..., J] of the time of requests of each class, in s.

    A request needs at least its size. It shares unless nobody is there when it comes, and nobody
    comes in its time, which has the chance (1 - rho) exp(-L s_i). What it takes longer has the mean
    and variance above. Of those that share, it is taken as gamma distributed, by the approximation
    of Wilson and Hilferty (PNAS 17, 1931). Arguments as of `load_of`.
    """
    service, rate = classes(service_s, rate_ips)
    more, variance = sharing_s(service, rate) - service, sharing_variance_s2(service, rate)
    idle = np.maximum(1.0 - load_of(service, rate), 0.0)[..., None]
    ever = 1.0 - idle * np.exp(-rate.sum(axis=-1, keepdims=True) * service)
    open_ = np.isfinite(more)
    some = open_ & (ever > LATE) & (more > 0)
    share, mean = np.where(some, ever, 1.0), np.where(some, more, 1.0)
    mean = mean / share
    square = (np.where(some, variance, 0.0) + np.where(some, more, 1.0) ** 2) / share
    ninth = np.maximum(square / mean**2 - 1.0, 0.0) / 9.0
    cube = np.maximum(1.0 - ninth + _normal(1.0 - LATE / share) * np.sqrt(ninth), 0.0) ** 3
    return np.asarray(service + np.where(some, mean * cube, np.where(open_, 0.0, np.inf)))


def _over(value: FloatArray, idle: FloatArray) -> FloatArray:
    """Return value / idle, infinite where nothing is idle."""
    idle = np.broadcast_to(idle, value.shape)
    out = np.full(value.shape, np.inf)
    np.divide(value, idle, out=out, where=idle > 0)
    return out
