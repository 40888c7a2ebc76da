"""How one tenant's requests spread over its slots, and how large their batches become, in the mean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.arrays import FloatArray
from envs.simulator.batching import capped_poisson, gathered

_TINY = 1e-12


class Slots(NamedTuple):
    """[S, R], rows R, unused slots with 0 instances; rate, patience and window are [R]."""

    rate: FloatArray
    patience: FloatArray
    window: FloatArray
    fixed: FloatArray
    each: FloatArray
    batch: FloatArray
    instances: FloatArray


class Balance(NamedTuple):
    """Mean state of the slots, [R] each but for `busy` and `shares`, [S, R].

    Attributes:
        queue: requests that an instance finds when it takes a batch; taken: those it takes.
        busy: share of time; shares: of the requests.
        utilisation: share of time that an instance of the tenant works; instances: how many it has.
        free_s: time between instances that get free while all are busy; steepness: by how much a request more lengthens it.
        all_busy: how often all are; held: share of the requests whose batch waits for an instance.
        others, pairs, full: of the formation in front of free instances, as `capped_poisson` gives them.
    """

    queue: FloatArray
    taken: FloatArray
    busy: FloatArray
    shares: FloatArray
    utilisation: FloatArray
    instances: FloatArray
    free_s: FloatArray
    steepness: FloatArray
    all_busy: FloatArray
    held: FloatArray
    others: FloatArray
    pairs: FloatArray
    full: FloatArray


def balance(slots: Slots, capacity: FloatArray, rounds: int = 5) -> Balance:
    """The mean batch and the load of each slot, which depend on each other; a Newton step a round."""
    rate, count, each, largest = slots.rate, slots.instances, slots.each, slots.batch
    total = np.maximum(count.sum(0), 1.0)
    top = np.where(count > 0.0, largest, 1.0).max(0)
    least = np.minimum(np.where(count > 0.0, largest, np.inf).min(0), top)
    small = (largest == least) & (count > 0.0)
    apart = 1.0 - small
    number = np.maximum((count * small).sum(0), 1.0)
    mixed = top > least
    various = bool(mixed.any())
    first = capped_poisson(rate * slots.patience, least - 1.0)
    others, pairs, full = first
    queue = np.minimum(1.0 + others, top)
    pressure = rate / queue / total
    exponent = np.sqrt(2.0 * (total + 1.0)) - 1.0
    held_small = rate / np.maximum(capacity, _TINY)
    for step in range(rounds):
        taken_each = np.minimum(largest, queue)
        service = slots.fixed + taken_each * each
        # Slots that want more requests at once start only when the oldest ran out of patience, or no smaller one is free.
        eager = 1.0 - apart * (full * (1.0 - held_small))
        weight, stretch = count * taken_each * eager, eager * service
        for _ in range(3 if step == 0 else 2):
            idle = 1.0 / (1.0 + pressure * stretch)
            served = weight * idle
            newton = pressure + (rate - served.sum(0) * pressure) / np.maximum(
                (served * idle).sum(0), _TINY
            )
            pressure = np.minimum(np.maximum(newton, 0.3 * pressure), 10.0 * pressure)
        busy = pressure * stretch
        busy = busy / (1.0 + busy)
        starts = count * pressure * eager * (1.0 - busy)
        utilisation = np.minimum((count * busy).sum(0) / total, 1.0)
        speed = count / np.maximum(service, _TINY)
        free_s = 1.0 / np.maximum(speed.sum(0), _TINY)
        steepness = (
            (each * (largest > queue) * speed * speed / np.maximum(count, 1.0)).sum(0)
            * free_s
            * free_s
        )
        # Sakasegawa's form of Erlang C; an arrival finds all busy so often, a batch that starts leaves all busy 1/u times as often.
        all_busy = utilisation**exponent
        after = np.minimum(all_busy / np.maximum(utilisation, _TINY), 1.0)
        if various and step:
            # Requests gather for the large slots only until a small one gets free.
            held_small = mixed * ((count * busy * small).sum(0) / number) ** number
            rest = np.minimum(slots.patience, 1.0 / np.maximum((speed * small).sum(0), _TINY))
            later = capped_poisson(rate * rest, top - 1.0)
            others, pairs, full = (
                (1.0 - held_small) * now + held_small * then
                for now, then in zip(first, later, strict=True)
            )
        span = others / rate
        held, often = gathered(rate, span, free_s)
        gained = 1.0 + others + after * rate * held
        all_starts = np.maximum(starts.sum(0), _TINY)
        taken = (starts * taken_each).sum(0) / all_starts
        open_share = (starts * (largest > queue)).sum(0) / all_starts
        slope = np.maximum(
            (1.0 - np.minimum(after * rate * steepness, 0.95)) * np.maximum(open_share, 0.25), 0.05
        )
        if step < rounds - 1:
            queue = np.clip(queue + (gained - taken) / slope, 1.0, top)
    # A batch that busy instances held back gathers from its first request on for as long as they stay busy.
    longer = span + held / np.maximum(often, 1e-9)
    met = after * often * np.minimum(1.0 + rate * longer, top) / np.maximum(taken, 1.0)
    served = starts * taken_each
    shares = served / np.maximum(served.sum(0), _TINY)
    return Balance(
        queue,
        taken,
        busy,
        shares,
        utilisation,
        total,
        free_s,
        steepness,
        all_busy,
        met,
        others,
        pairs,
        full,
    )
