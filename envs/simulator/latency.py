"""Latency of one tenant's requests, given the mean state of its instances: mean and quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from envs.arrays import FloatArray, Single
from envs.simulator.balance import TINY, Balance, Groups

#: Points that stand for the spread of batches while instances are busy, with their weights: mean 0,
#: variance 1.
_BUSY_POINTS = ((-(5.0**0.5), 0.1), (0.0, 0.8), (5.0**0.5, 0.1))
#: The same for batches that form in front of free instances: most are a little below the mean, few
#: far above it.
_FREE_POINTS = ((-0.35, 0.85), (2.0, 0.15))
#: Where no instance takes more than one request at a time, there is no spread.
_NO_SPREAD = ((0.0, 1.0),)
#: A quantile is found between two of so many points over the range of latencies, a power of two,
#: then by halving the interval between them.
_POINTS = 8
_STEPS = 4


class _Waits(NamedTuple):
    """Requests by how they wait: K kinds met busy instances, L kinds a free one.

    There are three and two of them where batches spread, else one of each.

    Attributes:
        busy: [K, B] share of the requests that met busy instances, by kind.
        span: [K, B] bound up to which their waits are uniform.
        again: [B] chance that a full batch leaves one of them behind.
        scale: [B] mean of the exponential wait that follows then.
        met: [K, B] size of the batch that they become part of.
        free: [L, B] share of the requests that met a free instance, by kind.
        late: [B] chance that one of them waits `max_wait_s`.
        rest: [B] bound up to which the other waits are uniform.
        found: [L, B] size of the batch that they become part of.
    """

    busy: FloatArray
    span: FloatArray
    again: FloatArray
    scale: FloatArray
    met: FloatArray
    free: FloatArray
    late: FloatArray
    rest: FloatArray
    found: FloatArray


def _waits(groups: Groups, state: Balance, capacity: FloatArray) -> _Waits:
    rate, queue, free_s, total = groups.rate_ips, state.queue, state.free_s, state.instances
    top = groups.batch.max(0)
    single = top <= 1.0
    rho = np.minimum(rate / np.maximum(capacity, TINY), 1.0)
    room, gap = 1.0 - rho, 1.0 / np.maximum(capacity, TINY)
    # The decay of the M/D/1 of the same capacity; but a queue cannot become longer than it grows by
    # chance within the window.
    scale = np.maximum(
        gap / (room + np.sqrt(room * room + 4.0 * gap / groups.window_s)) * np.cbrt(rho), TINY
    )

    # Batches of busy instances follow an autoregression: a large one takes long, so that the next
    # one is large too.
    memory = np.minimum(rate * state.steepness, 0.98)
    spread = np.sqrt(np.minimum(rate * free_s, top) / (1.0 - memory * memory))
    wider = np.where(single, 0.0, state.steepness * spread)
    # Requests that a group of small batches leaves in the queue for others to take.
    backlog = np.maximum(queue - state.taken, 0.0)
    biased = free_s + wider * wider / np.maximum(free_s, TINY)
    met = np.minimum(1.0 + rate * biased + backlog, top)
    span = biased * (2.0 * total / (total + 1.0)) ** (1.0 - state.utilisation)
    # Requests left behind by a full batch: the chance that the maximum of a Gaussian walk is
    # positive (Janssen and van Leeuwaarden 2007).
    drift = np.minimum((top - queue) / np.maximum(spread, 1e-6), 2.6)
    again = np.clip(
        1.0 - np.sqrt(2.0) * drift * np.exp(-0.5826 * drift + 0.0138 * drift**3), 0.0, 1.0
    ) * (drift < 2.6)
    again = np.where(single, np.cbrt(state.utilisation) ** 2, again)
    busy = np.where(single, state.all_busy, np.minimum(state.held, 1.0))

    alone = 1.0 + state.others
    late = np.where(single, 0.0, (1.0 - state.full) / alone)
    mean = state.pairs / (rate * alone)
    rest = np.where(
        single,
        0.0,
        np.maximum(2.0 * (mean - late * groups.max_wait_s) / np.maximum(1.0 - late, 1e-9), 0.0),
    )
    size = (alone + 2.0 * state.pairs) / alone
    deviation = np.sqrt(np.maximum(state.others * (1.0 - state.full), 0.0))

    def points(values: tuple[tuple[float, float], ...]) -> tuple[FloatArray, FloatArray]:
        table = np.array(values, dtype=groups.batch.dtype)[:, :, None]
        return table[:, 0], table[:, 1]

    if groups.batched:
        (z, weight), (y, share) = points(_BUSY_POINTS), points(_FREE_POINTS)
    else:
        (z, weight), (y, share) = points(_NO_SPREAD), points(_NO_SPREAD)
    return _Waits(
        busy * weight,
        np.maximum(2.0 * backlog / rate + np.maximum(span + memory * z * wider, 0.02 * span), TINY),
        again,
        scale,
        np.clip(met + z * spread, 1.0, top),
        (1.0 - busy) * share,
        late,
        np.maximum(rest, TINY),
        np.clip(size + y * deviation, 1.0, top),
    )


def _shortest_s(groups: Groups) -> FloatArray:
    """Return the least latency [B]: that of a request alone on the fastest group."""
    alone = groups.fixed_s + groups.per_item_s + np.float32(1e9) * (groups.instances <= 0.0)
    least = alone.min(0)
    return np.asarray(least * (least < 1e9))


def latency(
    groups: Groups, state: Balance, capacity: FloatArray, quantiles: Sequence[float]
) -> tuple[FloatArray, list[FloatArray]]:
    """Return the mean [B] and the quantiles [B] of the latency [s]."""
    waits = _waits(groups, state, capacity)
    shares = state.shares[:, None]  # [I, 1, B], against the kinds of requests [kinds, B]
    fixed_s, item_s, batch = (
        value[:, None] for value in (groups.fixed_s, groups.per_item_s, groups.batch)
    )
    width, rows = shares.shape[0], shares.shape[2]
    busy_shift = (fixed_s + np.minimum(batch, waits.met) * item_s).reshape(-1, rows)
    free_shift = (fixed_s + np.minimum(batch, waits.found) * item_s).reshape(-1, rows)
    busy, free = (shares * waits.busy).reshape(-1, rows), (shares * waits.free).reshape(-1, rows)
    span, rest = np.tile(waits.span, (width, 1)), waits.rest
    mean = (busy * (busy_shift + span / 2.0 + waits.again * waits.scale)).sum(0)
    mean += (
        free * (free_shift + (1.0 - waits.late) * rest / 2.0 + waits.late * groups.max_wait_s)
    ).sum(0)
    shortest = _shortest_s(groups)
    longest = np.maximum(
        busy_shift + span, free_shift.max(0) + np.maximum(rest, groups.max_wait_s)
    ).max(0)
    limit = np.maximum(longest + 5.0 * waits.scale, shortest)
    tail = _Tail.of(waits, groups.max_wait_s, busy, busy_shift, span, free, free_shift)
    return mean, [np.maximum(tail.quantile(q, shortest, limit), shortest) for q in quantiles]


class _Tail(NamedTuple):
    """The chance that a latency is exceeded.

    Fields are [kinds x I, B] or [B], in single precision, which is enough to find a quantile.
    """

    busy: Single
    busy_shift: Single
    steep: Single
    bulge: Single
    lift: Single
    faster: Single
    even: Single
    atom: Single
    free_shift: Single
    flat: Single
    max_wait: Single

    @classmethod
    def of(
        cls,
        waits: _Waits,
        max_wait_s: FloatArray,
        busy: FloatArray,
        busy_shift: FloatArray,
        span: FloatArray,
        free: FloatArray,
        shift: FloatArray,
    ) -> _Tail:
        """Return the tail of these waits, of shares `busy` and `free` and service times `shift`."""
        steep = 1.0 / span
        lift = np.exp(np.minimum(span / waits.scale, 50.0))
        fields = (
            busy,
            busy_shift,
            steep,
            waits.again * waits.scale * steep,
            lift,
            -1.0 / waits.scale,
            free * (1.0 - waits.late),
            free * waits.late,
        )
        # A slope of 1e12 is a step, and single precision still multiplies it without overflow.
        return cls(
            *(
                np.clip(field, -1e12, 1e12).astype(np.float32)
                for field in (*fields, shift, 1.0 / waits.rest, max_wait_s)
            )
        )

    def beyond(self, t: Single) -> Single:
        """Return the chance [B] of a latency above t [B]."""
        over = t - self.busy_shift
        np.maximum(over, 0.0, out=over)
        decayed = over * self.faster
        np.exp(decayed, out=decayed)
        over *= self.steep
        np.subtract(1.0, over, out=over)
        np.maximum(over, 0.0, out=over)
        lifted = decayed * self.lift
        np.minimum(lifted, 1.0, out=lifted)
        lifted -= decayed
        lifted *= self.bulge
        over += lifted
        over *= self.busy
        chance: Single = over.sum(0)
        over = t - self.free_shift
        chance += (self.atom * (over < self.max_wait)).sum(0)
        over *= self.flat
        np.subtract(1.0, over, out=over)
        np.maximum(over, 0.0, out=over)
        np.minimum(over, 1.0, out=over)
        over *= self.even
        chance += over.sum(0)
        return chance

    def quantile(self, q: float, shortest: FloatArray, limit: FloatArray) -> FloatArray:
        """Return the latency [B] at the quantile q, between two bounds.

        The points lie closer together near `shortest`.
        """
        low = shortest.astype(np.float32)
        width = np.minimum(limit - shortest, 1e12).astype(np.float32)
        start = np.zeros_like(low)  # the number of points below the quantile
        half = _POINTS // 2
        while half:
            point = (start + np.float32(half)) / np.float32(_POINTS)
            start += np.float32(half) * (self.beyond(low + width * (point * point)) > 1.0 - q)
            half //= 2
        width *= np.float32(_POINTS**-2.0)
        at = low + width * start * start
        step = width * (2.0 * start + 1.0)
        for _ in range(_STEPS):
            step *= 0.5
            at += step * (self.beyond(at + step) > 1.0 - q)
        return (at + 0.5 * step).astype(np.float64)
