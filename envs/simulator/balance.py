"""The mean state of one tenant's instances: how requests spread over them, and batch sizes."""

from typing import NamedTuple

import numpy as np

from envs.arrays import FloatArray
from envs.simulator.batching import capped_poisson, gathered

#: Stands for a time or a rate of zero where something is divided by it.
TINY = 1e-12

#: Newton steps for the rate at which idle instances start: in the first round of `balance`, and in
#: each other one.
FIRST_STEPS, STEPS = 3, 2


class Groups(NamedTuple):
    """The instances of one tenant, and its requests.

    Attributes:
        rate_ips, max_wait_s, window_s: [B], see `arrivals.open_loop`.
        fixed_s, per_item_s, batch, instances: [I, B], see there; unused groups have 0 instances.
    """

    rate_ips: FloatArray
    max_wait_s: FloatArray
    window_s: FloatArray
    fixed_s: FloatArray
    per_item_s: FloatArray
    batch: FloatArray
    instances: FloatArray

    @property
    def batched(self) -> bool:
        """Return True if any of the groups takes more than one request at a time."""
        return bool((self.batch > 1.0).any())


class Balance(NamedTuple):
    """The mean state, [B] each except for `shares`.

    Attributes:
        queue: requests that an instance finds when it takes a batch.
        taken: requests that it takes.
        shares: [I, B], of the requests that each group serves.
        utilisation: share of time in which an instance of the tenant works.
        instances: how many instances the tenant has.
        free_s: time between instances that become free while all are busy.
        steepness: by how much one request more in a batch lengthens `free_s`.
        all_busy: share of time in which all instances are busy.
        held: share of the requests whose batch waits for an instance.
        others, pairs, full: of a batch in front of free instances, as `capped_poisson` gives them.
    """

    queue: FloatArray
    taken: FloatArray
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


def balance(groups: Groups, capacity: FloatArray, rounds: int = 5) -> Balance:
    """Return the mean batch and the load of each group, which depend on each other.

    A round is a Newton step for the mean queue. Where no instance takes more than one request at a
    time there is nothing to find, and one round does.

    Args:
        groups: instances and requests.
        capacity: [B], inferences per second that all instances together can serve.
        rounds: the number of steps.
    """
    rate, count, largest = groups.rate_ips, groups.instances, groups.batch
    per_item = groups.per_item_s
    total = np.maximum(count.sum(0), 1.0)
    top = np.where(count > 0.0, largest, 1.0).max(0)
    bottom = np.minimum(np.where(count > 0.0, largest, np.inf).min(0), top)
    small = ((largest == bottom) & (count > 0.0)).astype(np.float32)
    small_count = np.maximum((count * small).sum(0), 1.0)
    mixed = top > bottom
    any_mixed = bool(mixed.any())
    formed = capped_poisson(rate * groups.max_wait_s, bottom - 1.0)
    others, pairs, full = formed
    queue = np.minimum(1.0 + others, top)
    pressure = rate / queue / total
    exponent = np.sqrt(2.0 * (total + 1.0)) - 1.0
    small_busy = rate / np.maximum(capacity, TINY)
    last = rounds - 1 if groups.batched else 0
    for step in range(last + 1):
        taken_each = np.minimum(largest, queue)
        service_s = groups.fixed_s + taken_each * per_item
        # Groups of larger batches start only when the oldest request has waited its time, or when
        # no instance of the smallest batch is free.
        eager = 1.0 - (1.0 - small) * (full * (1.0 - small_busy))
        weight, stretch = count * taken_each * eager, eager * service_s
        steps = FIRST_STEPS if step == 0 else STEPS
        if not groups.batched:
            steps += STEPS * (rounds - 1)
        pressure = _pressure(rate, pressure, weight, stretch, steps)
        idle = 1.0 / (1.0 + pressure * stretch)
        busy = pressure * stretch * idle
        starts = count * pressure * eager * idle
        utilisation = np.minimum((count * busy).sum(0) / total, 1.0)
        speed = count / np.maximum(service_s, TINY)
        free_s = 1.0 / np.maximum(speed.sum(0), TINY)
        slower = per_item * (largest > queue) * speed * speed / np.maximum(count, 1.0)
        steepness = slower.sum(0) * free_s * free_s
        # Sakasegawa's form of Erlang C. An arrival finds all busy with this chance; a batch that
        # starts leaves all busy 1/utilisation times as often.
        all_busy = utilisation**exponent
        after = np.minimum(all_busy / np.maximum(utilisation, TINY), 1.0)
        if any_mixed and step:
            # Requests gather for the large batches only until an instance of small ones is free.
            small_busy = mixed * ((count * busy * small).sum(0) / small_count) ** small_count
            until_free = 1.0 / np.maximum((speed * small).sum(0), TINY)
            rest = np.minimum(groups.max_wait_s, until_free)
            later = capped_poisson(rate * rest, top - 1.0)
            others, pairs, full = (
                (1.0 - small_busy) * now + small_busy * then
                for now, then in zip(formed, later, strict=True)
            )
        span = others / rate
        held, often = gathered(rate, span, free_s)
        gained = 1.0 + others + after * rate * held
        all_starts = np.maximum(starts.sum(0), TINY)
        taken = (starts * taken_each).sum(0) / all_starts
        open_share = (starts * (largest > queue)).sum(0) / all_starts
        slope = np.maximum(
            (1.0 - np.minimum(after * rate * steepness, 0.95)) * np.maximum(open_share, 0.25), 0.05
        )
        if step < last:
            queue = np.clip(queue + (gained - taken) / slope, 1.0, top)
    # A batch that busy instances hold back gathers from its first request on as long as they are
    # busy.
    longer = span + held / np.maximum(often, 1e-9)
    met = after * often * np.minimum(1.0 + rate * longer, top) / np.maximum(taken, 1.0)
    served = starts * taken_each
    return Balance(
        queue=queue,
        taken=taken,
        shares=served / np.maximum(served.sum(0), TINY),
        utilisation=utilisation,
        instances=total,
        free_s=free_s,
        steepness=steepness,
        all_busy=all_busy,
        held=met,
        others=others,
        pairs=pairs,
        full=full,
    )


def _pressure(
    rate: FloatArray, pressure: FloatArray, weight: FloatArray, stretch: FloatArray, steps: int
) -> FloatArray:
    """Return the common rate [B] of starts of an idle instance, at which all requests are served.

    Newton's method from `pressure`; a group serves weight p/(1 + p stretch) at the rate p.
    """
    for _ in range(steps):
        idle = 1.0 / (1.0 + pressure * stretch)
        served = weight * idle
        newton = pressure + (rate - served.sum(0) * pressure) / np.maximum(
            (served * idle).sum(0), TINY
        )
        pressure = np.minimum(np.maximum(newton, 0.3 * pressure), 10.0 * pressure)
    return pressure
