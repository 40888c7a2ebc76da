"""How long the requests of one tenant take, given how its slots share them: mean and quantiles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.arrays import FloatArray, Single
from envs.simulator.balance import Balance, Slots

_TINY = 1e-12
#: Standard points that stand for the spread of batches while instances are busy, with their weights: mean 0, variance 1.
_BUSY_POINTS = ((-(5.0**0.5), 0.1), (0.0, 0.8), (5.0**0.5, 0.1))
#: The same for batches that form in front of free instances: most a little below the mean, few far above.
_FREE_POINTS = ((-0.35, 0.85), (2.0, 0.15))
#: How a quantile is found: common points over the range of latencies, and halvings of the interval between two.
_POINTS = 8
_STEPS = 4
QUANTILES = (0.5, 0.95, 0.99)


class _Waits(NamedTuple):
    """Requests by how they wait: those that met busy instances [3, R] and those that met a free one [2, R].

    The busy ones wait evenly up to `span` and, with chance `left`, exponentially longer (mean `scale`); the free ones wait
    `patience` with chance `late`, else evenly up to `rest`. `met` and `found` are the batches they become part of.
    """

    busy: FloatArray
    span: FloatArray
    left: FloatArray
    scale: FloatArray
    met: FloatArray
    free: FloatArray
    late: FloatArray
    rest: FloatArray
    found: FloatArray


def _waits(slots: Slots, state: Balance, capacity: FloatArray) -> _Waits:
    rate, queue, free_s, total = slots.rate, state.queue, state.free_s, state.instances
    top = slots.batch.max(0)
    single = top <= 1.0
    rho = np.minimum(rate / np.maximum(capacity, _TINY), 1.0)
    room, gap = 1.0 - rho, 1.0 / np.maximum(capacity, _TINY)
    # The decay of the M/D/1 of the same capacity; but a queue cannot become longer than it grows by chance within the window.
    scale = np.maximum(
        gap / (room + np.sqrt(room * room + 4.0 * gap / slots.window)) * np.cbrt(rho), _TINY
    )

    # Batches of busy instances follow an autoregression: a large one takes long, so that the next is large too.
    memory = np.minimum(rate * state.steepness, 0.98)
    spread = np.sqrt(np.minimum(rate * free_s, top) / (1.0 - memory * memory))
    wider = np.where(single, 0.0, state.steepness * spread)
    # What a small slot leaves in the queue for others to take.
    backlog = np.maximum(queue - state.taken, 0.0)
    biased = free_s + wider * wider / np.maximum(free_s, _TINY)
    met = np.minimum(1.0 + rate * biased + backlog, top)
    span = biased * (2.0 * total / (total + 1.0)) ** (1.0 - state.utilisation)
    # Requests left over by a full batch: how often the maximum of a Gaussian walk is positive (Janssen and van Leeuwaarden 2007).
    drift = np.minimum((top - queue) / np.maximum(spread, 1e-6), 2.6)
    left = np.clip(
        1.0 - np.sqrt(2.0) * drift * np.exp(-0.5826 * drift + 0.0138 * drift**3), 0.0, 1.0
    ) * (drift < 2.6)
    left = np.where(single, np.cbrt(state.utilisation) ** 2, left)
    busy = np.where(single, state.all_busy, np.minimum(state.held, 1.0))

    alone = 1.0 + state.others
    late = np.where(single, 0.0, (1.0 - state.full) / alone)
    mean = state.pairs / (rate * alone)
    rest = np.where(
        single,
        0.0,
        np.maximum(2.0 * (mean - late * slots.patience) / np.maximum(1.0 - late, 1e-9), 0.0),
    )
    size = (alone + 2.0 * state.pairs) / alone
    deviation = np.sqrt(np.maximum(state.others * (1.0 - state.full), 0.0))

    def points(values: tuple[tuple[float, float], ...]) -> tuple[FloatArray, FloatArray]:
        table = np.array(values)[:, :, None]
        return table[:, 0], table[:, 1]

    (z, weight), (y, share) = points(_BUSY_POINTS), points(_FREE_POINTS)
    return _Waits(
        busy * weight,
        np.maximum(
            2.0 * backlog / rate + np.maximum(span + memory * z * wider, 0.02 * span), _TINY
        ),
        left,
        scale,
        np.clip(met + z * spread, 1.0, top),
        (1.0 - busy) * share,
        late,
        np.maximum(rest, _TINY),
        np.clip(size + y * deviation, 1.0, top),
    )


def latency(
    slots: Slots, state: Balance, capacity: FloatArray
) -> tuple[FloatArray, list[FloatArray]]:
    """Mean [R] and quantiles [R] of the latency over the kinds of requests and the slots that serve them."""
    waits = _waits(slots, state, capacity)
    shares = state.shares[:, None]  # [S, 1, R], against the kinds [kinds, R]
    fixed, each, batch = (value[:, None] for value in (slots.fixed, slots.each, slots.batch))
    width, rows = shares.shape[0], shares.shape[2]
    busy_shift = (fixed + np.minimum(batch, waits.met) * each).reshape(-1, rows)
    free_shift = (fixed + np.minimum(batch, waits.found) * each).reshape(-1, rows)
    busy, free = (shares * waits.busy).reshape(-1, rows), (shares * waits.free).reshape(-1, rows)
    span, rest = np.tile(waits.span, (width, 1)), waits.rest
    mean = (busy * (busy_shift + span / 2.0 + waits.left * waits.scale)).sum(0)
    mean += (
        free * (free_shift + (1.0 - waits.late) * rest / 2.0 + waits.late * slots.patience)
    ).sum(0)
    single = slots.fixed + slots.each + 1e9 * (slots.instances <= 0.0)
    least = single.min(0) * (single.min(0) < 1e9)
    longest = np.maximum(
        busy_shift + span, free_shift.max(0) + np.maximum(rest, slots.patience)
    ).max(0)
    most = np.maximum(longest + 5.0 * waits.scale, least)
    tail = _Tail.of(waits, slots.patience, busy, busy_shift, span, free, free_shift)
    return mean, [np.maximum(value, least) for value in tail.quantiles(least, most)]


class _Tail(NamedTuple):
    """How likely a latency is exceeded: kinds of requests [K, R] or rows [R], in single precision, which is enough to find a quantile."""

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
    patience: Single

    @classmethod
    def of(
        cls,
        waits: _Waits,
        patience: FloatArray,
        busy: FloatArray,
        busy_shift: FloatArray,
        span: FloatArray,
        free: FloatArray,
        shift: FloatArray,
    ) -> _Tail:
        steep = 1.0 / span
        lift = np.exp(np.minimum(span / waits.scale, 50.0))
        fields = (
            busy,
            busy_shift,
            steep,
            waits.left * waits.scale * steep,
            lift,
            -1.0 / waits.scale,
            free * (1.0 - waits.late),
            free * waits.late,
        )
        # Nothing changes beyond 1e12 (a step, to all purposes), and single precision still multiplies it without overflow.
        return cls(
            *(
                np.clip(field, -1e12, 1e12).astype(np.float32)
                for field in (*fields, shift, 1.0 / waits.rest, patience)
            )
        )

    def beyond(self, t: Single) -> Single:
        """Chance [R] of a latency above t [R]."""
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
        chance += (self.atom * (over < self.patience)).sum(0)
        over *= self.flat
        np.subtract(1.0, over, out=over)
        np.maximum(over, 0.0, out=over)
        np.minimum(over, 1.0, out=over)
        over *= self.even
        chance += over.sum(0)
        return chance

    def quantiles(self, least: FloatArray, most: FloatArray) -> list[FloatArray]:
        """At `QUANTILES`: points common to all of them, closer together near `least`, then a few halvings for each."""
        low, width = least.astype(np.float32), np.minimum(most - least, 1e12).astype(np.float32)
        starts = [np.zeros_like(low) for _ in QUANTILES]  # in points below the quantile
        for point in range(1, _POINTS):
            chance = self.beyond(low + width * np.float32((point / _POINTS) ** 2))
            for start, q in zip(starts, QUANTILES, strict=True):
                start += chance > 1.0 - q
        found = []
        width *= np.float32(_POINTS**-2.0)
        for start, q in zip(starts, QUANTILES, strict=True):
            at = low + width * start * start
            step = width * (2.0 * start + 1.0)
            for _ in range(_STEPS):
                step *= 0.5
                at += step * (self.beyond(at + step) > 1.0 - q)
            found.append((at + 0.5 * step).astype(np.float64))
        return found
