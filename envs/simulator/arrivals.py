"""Throughput and latency of one tenant under Poisson arrivals: one queue, several groups of instances, batches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.simulator.balance import Slots, balance
from envs.simulator.latency import QUANTILES, latency

_TINY = 1e-12
#: Rows worked on at a time, so that what is in between stays in the processor's cache.
_ROWS = 8192


class OpenLoop(NamedTuple):
    """What one tenant gets, each [...]; utilisation is the share of time that an instance works, shares [..., S] of the requests."""

    throughput_ips: FloatArray
    mean_s: FloatArray
    p50_s: FloatArray
    p95_s: FloatArray
    p99_s: FloatArray
    utilisation: FloatArray
    slot_utilisation: FloatArray
    slot_share: FloatArray
    batch: FloatArray


def open_loop(
    rate_ips: npt.ArrayLike,
    fixed_s: npt.ArrayLike,
    per_item_s: npt.ArrayLike,
    batch: npt.ArrayLike,
    instances: npt.ArrayLike,
    max_wait_s: npt.ArrayLike,
    window_s: npt.ArrayLike = 60.0,
) -> OpenLoop:
    """One tenant's Poisson requests in one queue, first come first served, in front of S slots of equal instances.

    An idle instance takes what waits, up to its batch, as soon as that many wait or the oldest has waited `max_wait_s`; k requests take
    fixed_s + k per_item_s. Slots [..., S] without instances are unused; the rest is [...]. Times are in seconds, rates in requests per
    second. From a rate above the capacity the queue grows through the window: throughput is the capacity, and a quantile q gets
    q (1 - capacity/rate) window_s longer, which joins the steady state at a load of 1, itself kept finite by the window.

    The wait is that of a common queue. While instances are free a batch forms as in `formed_batch`; while all are busy (Sakasegawa's
    form of Erlang C) requests wait evenly for the next free one and, where a batch could not take all, exponentially longer with the
    decay of the M/D/1. The mean batch makes both ends meet, and its spread is that of an autoregression. Idle instances share the
    batches evenly, so a slot's load is v s/(1 + v s) with a common v; slots with a smaller batch go first.

    Error against a discrete-event simulation of 800 random cases that nothing here was fitted to (load 0.1 to 0.9, batch 1 to 16,
    max_wait 0 to 30 ms, 0.1 to 0.9 of a single request's time per item; one slot of 1 to 4 instances, or two of 1 or 2 each):
    median and 90th percentile of the absolute value, %.

    | case | load | mean | p50 | p95 | p99 |
    | --- | --- | --- | --- | --- | --- |
    | one slot, batch 1 | below 0.35 | 1, 1 | 0, 0 | 11, 22 | 3, 15 |
    | one slot, batch 1 | above | 1, 2 | 0, 5 | 1, 2 | 1, 2 |
    | one slot, batches, no wait | below 0.65 | 4, 10 | 0, 31 | 10, 23 | 7, 17 |
    | one slot, batches, no wait | above | 9, 19 | 15, 58 | 6, 15 | 6, 17 |
    | one slot, batches, max_wait | below 0.65 | 2, 6 | 4, 13 | 6, 18 | 4, 18 |
    | one slot, batches, max_wait | above | 7, 17 | 10, 42 | 10, 21 | 11, 21 |
    | two slots, equal batches | any | 2, 8 | 6, 17 | 7, 21 | 6, 15 |
    | two slots, unequal batches | below 0.65 | 4, 14 | 6, 31 | 9, 33 | 9, 28 |
    | two slots, unequal batches | above | 8, 24 | 8, 39 | 19, 40 | 15, 37 |

    It is worst where a slot of small and a slow slot of large batches share a queue near saturation (p99 tends to be 12 % too low),
    for the median under batches near saturation, and for quantiles that fall between the latencies of two slots. Latency need not grow
    with the rate: batches fill sooner.
    """
    rate, patience, window = (
        np.asarray(value, dtype=np.float64) for value in (rate_ips, max_wait_s, window_s)
    )
    slots = [
        np.asarray(value, dtype=np.float64) for value in (fixed_s, per_item_s, batch, instances)
    ]
    *shape, width = np.broadcast_shapes(
        *(value.shape for value in slots),
        (*np.broadcast_shapes(rate.shape, patience.shape, window.shape), 1),
    )
    flat = [np.broadcast_to(value, shape).reshape(-1) for value in (rate, patience, window)]
    wide = [
        np.ascontiguousarray(np.broadcast_to(value, (*shape, width)).reshape(-1, width).T)
        for value in slots
    ]
    blocks = range(0, max(len(flat[0]), 1), _ROWS)
    answers = [
        _rows(Slots(*(value[..., at : at + _ROWS] for value in (*flat, *wide)))) for at in blocks
    ]
    whole = (np.concatenate(field, axis=-1) for field in zip(*answers, strict=True))
    return OpenLoop(
        *(
            field.reshape(shape) if field.ndim == 1 else field.T.reshape((*shape, width))
            for field in whole
        )
    )


def _rows(asked: Slots) -> OpenLoop:
    """Of a block of rows R; slots are [S, R] inside."""
    used = asked.instances > 0.0
    unused = 1.0 - used
    fixed, each, batch = asked.fixed * used, asked.each * used, asked.batch * used + unused
    capacity = (asked.instances * batch / (fixed + batch * each + unused)).sum(0)
    carried = np.minimum(asked.rate, capacity)
    slots = asked._replace(rate=np.maximum(carried, _TINY), fixed=fixed, each=each, batch=batch)
    state = balance(slots, capacity)
    mean, quantiles = latency(slots, state, capacity)
    # What a queue that grows through the window adds: a request at the share q of the window's answers waits q of what the last one does.
    growth = (1.0 - carried / np.maximum(asked.rate, _TINY)) * (asked.rate > 0.0) * asked.window
    p50, p95, p99 = (value + q * growth for value, q in zip(quantiles, QUANTILES, strict=True))
    utilisation = np.minimum(state.utilisation, 1.0)
    return OpenLoop(
        carried,
        mean + 0.5 * growth,
        p50,
        p95,
        p99,
        utilisation,
        np.minimum(state.busy, 1.0) * used,
        state.shares,
        state.taken,
    )
