"""Batching with a maximum wait: requests are gathered, then served together on one accelerator."""

from typing import NamedTuple

import numpy as np

from cluster.queueing.sharing import classes
from envs.arrays import FloatArray

#: Arrivals in a wait: below the first a batch has one request, above the second it is full.
_RARE, _OFTEN = 1e-12, 1e9


class Batched(NamedTuple):
    """Hold what gathering gives, [...] each.

    Attributes:
        mean_s: mean time of a request, from its arrival to its answer.
        gather_s: the part of it until its batch is closed.
        load: of the accelerator.
        mean_batch: requests of a batch, averaged over batches.
    """

    mean_s: FloatArray
    gather_s: FloatArray
    load: FloatArray
    mean_batch: FloatArray


def batching_with_wait(
    batch_s: FloatArray, rate_ips: FloatArray, wait_s: FloatArray | float
) -> Batched:
    """Return the times of requests that are gathered up to B, for at most `wait_s` after the first.

    A closed batch waits for the batches before it. With M Poisson of mean x = rate times wait, a
    batch has min(B, 1 + M) requests, and is gathered for min(wait, Erlang of B - 1 arrivals):
    sizes, gathering and the intervals between batches are exact. The wait of a batch is that of
    GI/G/1 by Kraemer and Langenbach-Belz (8th International Teletraffic Congress, 1976), whatever
    its own size. With B = 1, or no wait, it is the M/G/1 of Pollaczek and Khinchine.

    Args:
        batch_s: [B] service times of batches of 1 .. B requests.
        rate_ips: [...] arrivals; a request that hardly ever comes waits alone, all of `wait_s`.
        wait_s: [...] the most that a batch waits for more requests.

    Raises:
        ValueError: a time or a rate is negative or no number.
    """
    (batch_s,), (rate, wait) = classes(batch_s), classes(rate_ips, wait_s)
    most, number = len(batch_s), np.arange(1, len(batch_s) + 1)
    expected = np.multiply(rate, wait, out=np.zeros(rate.shape), where=rate > 0)
    at_least = _at_least(expected, most + 1)  # [..., B + 2], P(M >= n)
    chance = at_least[..., :most] - at_least[..., 1 : most + 1]
    chance[..., -1] = at_least[..., most - 1]
    size = (chance * number).sum(axis=-1)

    # Times between arrivals are of 1 / rate here, so that no rate is too low to divide by.
    reached, index = at_least[..., 1:most], number[: most - 1]  # M >= n + 1 for n < B - 1
    alone_s = wait if most > 1 else np.zeros_like(wait)
    gather_s = np.divide((index * reached).sum(axis=-1), rate * size, out=alone_s.copy(),
                         where=expected > _RARE)  # fmt: skip
    gathered = reached.sum(axis=-1)
    gathered_2 = 2.0 * (index * at_least[..., 2 : most + 1]).sum(axis=-1)
    interval = gathered + 1.0
    spread_a = (np.maximum(gathered_2 - gathered**2, 0.0) + 1.0) / interval**2

    service = (chance * batch_s).sum(axis=-1)
    square = np.divide((chance * batch_s**2).sum(axis=-1), service**2, out=np.ones_like(service),
                       where=service > 0)  # fmt: skip
    load = service * rate / interval
    queue_s = _queue_s(load, service, spread_a, np.maximum(square - 1.0, 0.0))
    own_s = (chance * number * batch_s).sum(axis=-1) / size
    return Batched(gather_s + queue_s + own_s, gather_s, load, size)


def _queue_s(
    load: FloatArray, service_s: FloatArray, spread_a: FloatArray, spread_s: FloatArray
) -> FloatArray:
    """Return the mean wait [...] of GI/G/1 by squared variation of intervals and of services."""
    total = spread_a + spread_s
    idle = np.where(load < 1, 1.0 - load, 1.0)
    regular = np.exp(
        -2.0 * idle * (1.0 - np.minimum(spread_a, 1.0)) ** 2 / np.maximum(3.0 * load * total, 1e-12)
    )
    return np.where(load < 1, load * service_s / idle * total / 2.0 * regular, np.inf)


def _at_least(mean: FloatArray, most: int) -> FloatArray:
    """Return the chances [..., most + 1] that a Poisson number is at least 0 .. most.

    They are sums of chances from the far end, so that small ones are as exact as large ones.
    """
    number = np.arange(4 * most + 60)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(number[1:]))])
    known = np.minimum(mean, _OFTEN)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.where(number > 0, number * np.log(known), 0.0)
    chance = np.exp(powers - known - log_factorial)
    beyond = np.where(known[..., 0] < len(number) / 4, 0.0, 1.0 - chance.sum(axis=-1))
    far = np.maximum(beyond, 0.0)[..., None]
    return np.asarray((np.cumsum(chance[..., ::-1], axis=-1)[..., ::-1] + far)[..., : most + 1])
