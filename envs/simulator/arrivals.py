"""Throughput and latency of one tenant under Poisson arrivals: queue, batches, instances.

One queue stands in front of several groups of equal instances. `balance` finds how requests spread
over the groups and how large batches become, with the formulas of `batching`; `latency` turns that
into quantiles.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray, IntArray
from envs.simulator.balance import TINY, Groups, balance
from envs.simulator.latency import latency

#: The quantiles that have a name in `OpenLoop`.
QUANTILES = (0.5, 0.95, 0.99)

#: Rows computed at a time, few enough that their arrays stay in the processor's cache.
_ROWS = 8192


class OpenLoop(NamedTuple):
    """The service of one tenant, each [...].

    Attributes:
        throughput_ips: requests answered per second.
        mean_s, p50_s, p95_s, p99_s: latency; NaN for a quantile that was not asked for.
        utilisation: share of time in which an instance works.
    """

    throughput_ips: FloatArray
    mean_s: FloatArray
    p50_s: FloatArray
    p95_s: FloatArray
    p99_s: FloatArray
    utilisation: FloatArray


def open_loop(
    rate_ips: npt.ArrayLike,
    fixed_s: npt.ArrayLike,
    per_item_s: npt.ArrayLike,
    batch: npt.ArrayLike,
    instances: npt.ArrayLike,
    max_wait_s: npt.ArrayLike,
    window_s: npt.ArrayLike = 60.0,
    quantiles: Sequence[float] = QUANTILES,
) -> OpenLoop:
    """Return the service of one tenant's Poisson requests, first come first served.

    An idle instance takes the waiting requests, up to its batch, as soon as that many wait or the
    oldest has waited `max_wait_s`; k requests take fixed_s + k per_item_s. Above the capacity the
    queue grows through the window: throughput is the capacity, and a quantile q gets
    q (1 - capacity/rate) window_s longer, which joins the steady state at a load of 1, itself kept
    finite by the window.

    The wait is that of a common queue. While instances are free a batch forms as in
    `balance.balance`; while all are busy (Sakasegawa's form of Erlang C) requests wait evenly for
    the next free one and, where a batch could not take all, exponentially longer with the decay of
    the M/D/1. The mean batch makes both ends meet, and its spread is that of an autoregression.
    Idle instances share the batches evenly, so that the load of a group is v s/(1 + v s) with a
    common v; groups with a smaller batch go first.

    Error against a discrete-event simulation of 800 random cases that nothing here was fitted to
    (load 0.1 to 0.9, batch 1 to 16, max_wait 0 to 30 ms, 0.1 to 0.9 of a single request's time per
    item; one group of 1 to 4 instances, or two of 1 or 2 each): median and 90th percentile of the
    absolute value, %.

    | case | load | mean | p50 | p95 | p99 |
    | --- | --- | --- | --- | --- | --- |
    | one group, batch 1 | below 0.35 | 1, 1 | 0, 0 | 11, 22 | 3, 15 |
    | one group, batch 1 | above | 1, 2 | 0, 5 | 1, 2 | 1, 2 |
    | one group, batches, no wait | below 0.65 | 4, 10 | 0, 31 | 10, 23 | 7, 17 |
    | one group, batches, no wait | above | 9, 19 | 15, 58 | 6, 15 | 6, 17 |
    | one group, batches, max_wait | below 0.65 | 2, 6 | 4, 13 | 6, 18 | 4, 18 |
    | one group, batches, max_wait | above | 7, 17 | 10, 42 | 10, 21 | 11, 21 |
    | two groups, equal batches | any | 2, 8 | 6, 17 | 7, 21 | 6, 15 |
    | two groups, unequal batches | below 0.65 | 4, 14 | 6, 31 | 9, 33 | 9, 28 |
    | two groups, unequal batches | above | 8, 24 | 8, 39 | 19, 40 | 15, 37 |

    It is worst where a group of small batches and a slow one of large batches share a queue near
    saturation (p99 tends to be 12 % too low), for the median under batches near saturation, and
    for quantiles that fall between the latencies of two groups. Latency need not grow with the
    rate: batches fill sooner.

    Args:
        rate_ips: [...] arrivals.
        fixed_s: [..., I] time of a batch of each group, whatever its size.
        per_item_s: [..., I] time of each request of a batch.
        batch: [..., I] the largest batch.
        instances: [..., I] of each group; 0 where unused.
        max_wait_s: [...] the longest that a request waits for its batch to fill.
        window_s: [...] length of the window in which a queue can grow.
        quantiles: those of `QUANTILES` to find; each takes time.
    """
    given, shape = _flat((rate_ips, max_wait_s, window_s), (fixed_s, per_item_s, batch, instances))
    answers = np.empty((len(OpenLoop._fields), len(given.rate_ips)))
    for rows, groups in _by_groups(given):
        answers[:, rows] = _rows(groups, quantiles)
    found = OpenLoop(*(values.reshape(shape) for values in answers))
    # Who keeps up serves the rate as it was given, which single precision rounds.
    keeps_up = found.throughput_ips == given.rate_ips.reshape(shape)
    return found._replace(throughput_ips=np.where(keeps_up, rate_ips, found.throughput_ips))


def _flat(
    flat: Sequence[npt.ArrayLike], wide: Sequence[npt.ArrayLike]
) -> tuple[Groups, tuple[int, ...]]:
    """Return arrays [...] and [..., I] as groups of B rows, and the shape [...].

    They are in single precision, which takes two thirds of the time. It moves the latency of one
    queue in 10,000 by 1 %.
    """
    narrow: list[Any] = [np.asarray(value, dtype=np.float32) for value in flat]
    broad: list[Any] = [np.asarray(value, dtype=np.float32) for value in wide]
    common = np.broadcast_shapes(*(value.shape for value in narrow))
    *shape, width = np.broadcast_shapes(*(value.shape for value in broad), (*common, 1))
    narrow = [np.broadcast_to(value, shape).reshape(-1) for value in narrow]
    broad = [
        np.ascontiguousarray(np.broadcast_to(value, (*shape, width)).reshape(-1, width).T)
        for value in broad
    ]
    return Groups(*narrow, *broad), tuple(shape)


def _by_groups(given: Groups) -> Iterator[tuple[IntArray, Groups]]:
    """Yield rows [B'] and what is given of them, with as many groups as they use: most use few.

    Rows that serve one request at a time stand apart from those with batches: they take less work.
    """
    used = given.instances > 0.0
    # Few of the possible sets of groups occur, so that each is put in order once.
    bits = np.arange(len(used))
    sets, own_set = np.unique((1 << bits) @ used, return_inverse=True)
    order = np.argsort((sets >> bits[:, None] & 1) == 0, axis=0, kind="stable")
    counts = np.maximum(used.sum(axis=0), 1)
    batched = (used & (given.batch > 1.0)).any(axis=0)
    kinds = 2 * counts + batched
    for kind in np.unique(kinds).tolist():
        every, count = np.flatnonzero(kinds == kind), kind // 2
        for start in range(0, len(every), _ROWS):
            rows = every[start : start + _ROWS]
            own = order[:count].take(own_set[rows], axis=1)  # [I, B'] in memory, too: sums are fast
            yield (
                rows,
                Groups(*(values[rows] for values in given[:3]), *(v[own, rows] for v in given[3:])),
            )


def _served(given: Groups) -> tuple[Groups, FloatArray]:
    """Return the groups with the requests that they can serve, and their capacity [B]."""
    used = (given.instances > 0.0).astype(np.float32)
    unused = 1.0 - used
    fixed, per_item = given.fixed_s * used, given.per_item_s * used
    batch = given.batch * used + unused
    capacity = (given.instances * batch / (fixed + batch * per_item + unused)).sum(0)
    carried = np.minimum(given.rate_ips, capacity)
    groups = given._replace(
        rate_ips=np.maximum(carried, TINY), fixed_s=fixed, per_item_s=per_item, batch=batch
    )
    return groups, capacity


def _growth_s(given: Groups, carried: FloatArray) -> FloatArray:
    """Return by how much [B] the queue of an overload delays the last request of the window.

    A request at the share q of the window's answers waits q times as long as the last one.
    """
    overload = (1.0 - carried / np.maximum(given.rate_ips, TINY)) * (given.rate_ips > 0.0)
    return np.asarray(overload * given.window_s)


def _rows(given: Groups, quantiles: Sequence[float]) -> OpenLoop:
    """Return the service [B] of a block of rows."""
    groups, capacity = _served(given)
    carried = np.minimum(given.rate_ips, capacity)
    state = balance(groups, capacity)
    mean, found = latency(groups, state, capacity, quantiles)
    growth = _growth_s(given, carried)
    late = dict.fromkeys(QUANTILES, np.full_like(mean, np.nan)) | {
        q: value + q * growth for q, value in zip(quantiles, found, strict=True)
    }
    p50, p95, p99 = (late[q] for q in QUANTILES)
    return OpenLoop(carried, mean + 0.5 * growth, p50, p95, p99, np.minimum(state.utilisation, 1.0))
