"""Discrete events of single requests at one place: sharing, first come first served, batches.

Every function takes the instants at which requests come, ascending, and returns the instants at
which they are answered, [B] each. Nothing is random here but `poisson_arrivals`.
"""

import heapq
from typing import NamedTuple

import numpy as np

from envs.arrays import FloatArray, Rows


class Arrivals(NamedTuple):
    """Requests in the order in which they come.

    Attributes:
        times_s: [B], ascending.
        classes: [B], which class each belongs to.
    """

    times_s: FloatArray
    classes: Rows


def poisson_arrivals(rates_ips: FloatArray, seconds: float, rng: np.random.Generator) -> Arrivals:
    """Draw the Poisson arrivals of J classes in this many seconds.

    Args:
        rates_ips: [J] requests a second.
        seconds: until when.
        rng: source of the draw.
    """
    counts = rng.poisson(np.asarray(rates_ips) * seconds)
    times = rng.uniform(0.0, seconds, counts.sum())
    order = np.argsort(times, kind="stable")
    return Arrivals(times[order], np.repeat(np.arange(len(counts)), counts)[order])


def shared(times_s: FloatArray, sizes_s: FloatArray, servers: int = 1) -> FloatArray:
    """Return when requests are done that share `servers` processors evenly, one each at most.

    Args:
        times_s: [B], ascending.
        sizes_s: [B] time of each alone.
        servers: processors: 1 for a GPU, the cores for a front end.
    """
    done = np.empty(len(times_s))
    inside: list[tuple[float, int]] = []  # the work of each at which it is done, and its number
    now = work = 0.0  # `work` is what everybody inside since the beginning has got
    for number, (time, size) in enumerate(zip(times_s.tolist(), sizes_s.tolist(), strict=True)):
        while inside:
            pace = min(1.0, servers / len(inside))
            ends = now + (inside[0][0] - work) / pace
            if ends > time:
                work += (time - now) * pace
                break
            now, (work, which) = ends, heapq.heappop(inside)
            done[which] = now
        now = time
        heapq.heappush(inside, (work + size, number))
    while inside:
        pace = min(1.0, servers / len(inside))
        now += (inside[0][0] - work) / pace
        work, which = heapq.heappop(inside)
        done[which] = now
    return done


def first_come(
    arrivals: Arrivals, sizes_s: FloatArray, swap_s: FloatArray | None = None
) -> FloatArray:
    """Return when requests are done that are served one after the other.

    Args:
        arrivals: B requests of J classes.
        sizes_s: [B] time of each while its network is loaded.
        swap_s: [J] what it takes more after another class; None for nothing.
    """
    visit = np.asarray(sizes_s, dtype=float).copy()
    if swap_s is not None and len(visit):
        other = np.concatenate([[True], arrivals.classes[1:] != arrivals.classes[:-1]])
        visit += other * np.asarray(swap_s)[arrivals.classes]
    # Done is the largest, over all requests before, of its arrival and all work since then.
    total = np.cumsum(visit)
    return np.asarray(total + np.maximum.accumulate(arrivals.times_s - total + visit))


class Gathered(NamedTuple):
    """Batches in the order in which they are closed, M of them.

    Attributes:
        closed_s: [M] when each is full, or its wait is over.
        sizes: [M] requests of each, the next ones in the order in which they came.
    """

    closed_s: FloatArray
    sizes: Rows


def gathered(times_s: FloatArray, most: int, wait_s: float) -> Gathered:
    """Return the batches of requests that are gathered up to `most`, or for `wait_s`.

    Args:
        times_s: [B], ascending.
        most: requests of a full batch.
        wait_s: the most that a batch waits for more requests after its first.
    """
    if most == 1:
        return Gathered(times_s, np.ones(len(times_s), dtype=np.int64))
    closed, sizes, first = [], [], 0
    ends = np.searchsorted(times_s, times_s + wait_s, side="right").tolist()
    while first < len(times_s):
        last = min(ends[first], first + most)
        full = last - first == most
        closed.append(times_s[last - 1] if full else times_s[first] + wait_s)
        sizes.append(last - first)
        first = last
    return Gathered(np.array(closed, dtype=float), np.array(sizes, dtype=np.int64))


def batched(times_s: FloatArray, batch_s: FloatArray, wait_s: float) -> FloatArray:
    """Return when requests are done that are gathered into batches, served one after the other.

    Args:
        times_s: [B], ascending.
        batch_s: service times of batches of 1, 2, ... requests; as many as a batch may have.
        wait_s: the most that a batch waits for more requests after its first.
    """
    closed, sizes = gathered(times_s, len(batch_s), wait_s)
    one_class = Arrivals(closed, np.zeros(len(closed), dtype=np.int64))
    return np.repeat(first_come(one_class, np.asarray(batch_s)[sizes - 1]), sizes)
