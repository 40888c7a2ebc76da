"""Critical tenants beside best effort, which gives way to them between its segments.

Critical instances share the accelerators among themselves as if they were alone. Best effort takes
what they leave: its work takes longer by the share of time in which they work. Its segments take
turns, and it gives way between two of them, not within one, so that a critical batch may find a
segment in progress and waits for the rest of it. In a closed loop best effort begins when the
critical leaves the accelerator, so that most of a long segment is left when it comes back;
otherwise half of one is left on average. Memory traffic, power and locks of the host know no
classes: they slow both.

Arrays are [T, X, B] or [B], as in `sharing`.
"""

from __future__ import annotations

import numpy as np

from envs.arrays import FloatArray, IntArray, Single
from envs.simulator.cycles import cycles_of
from envs.simulator.in_service import TINY, Classes, Phases, Scalars, Served
from envs.simulator.mapped import Mapped, by_core, gpu_positions, put_by_core
from envs.simulator.tables import DLA, Contexts

#: The share of an accelerator that best effort has where critical tenants saturate it: rates stay
#: finite, and nothing else depends on it.
LEAST_LEFT = np.float32(1e-3)

#: Rounds in which the waits of the critical and the use of best effort make ends meet.
ROUNDS = 4

#: The quantile of a tail: what is met by fewer requests than this does not show in it.
TAIL = np.float32(0.01)


def classes_of(contexts: Contexts, rows: IntArray, segments: IntArray | None) -> Classes | None:
    """Return the classes of B rows; None where all of them are critical."""
    low = contexts.best_effort[rows].T[:, None].astype(np.float32)
    if not low.any():
        return None
    if segments is None:
        return Classes(low, np.ones((contexts.tenants, 1, len(rows)), dtype=np.float32))
    return Classes(low, np.ascontiguousarray(segments.transpose(1, 2, 0)).astype(np.float32))


def threads_by_class(number: Single, classes: Classes, scalars: Scalars) -> Single:
    """Return the threads [T, 1, B] of an instance of a plain computer, which others leave alone.

    Critical instances share out the cores among themselves, and so does best effort.
    """
    shares = [
        np.maximum(scalars["threads"] / np.maximum((number * each).sum(axis=(0, 1)), 1), 1)
        for each in (classes.low, classes.high)
    ]
    return classes.choose(*shares)


def use_by_class(use: Single, classes: Classes) -> Single:
    """Return the use [T, 1, B] of the GPU by a tenant's own class, from that of all [T, 2, B]."""
    return classes.choose(*((use * each).sum(axis=(0, 1)) for each in (classes.low, classes.high)))


def cycles_by_class(served: Served, phases: Phases, classes: Classes) -> tuple[Single, Single]:
    """Return cycle times [T, X, B] and the extra stretch [T, 1, B] of each class.

    See `sharing.cycles`.
    """
    high = served.instances * classes.high
    cycle_s, extra = cycles_of(high, phases)
    taken = (high * (phases.exclusive_s + phases.switching_s) / cycle_s).sum(axis=(0, 1))
    worked = high * phases.dla_s / cycle_s
    on_dla = worked.sum(axis=0)[None]
    put_by_core(on_dla, by_core(worked, served.mapped), served.mapped)
    low = served.instances * classes.low
    own_s = dla_round_s(low * phases.dla_s, None, served.mapped) / np.maximum(
        1 - on_dla, LEAST_LEFT
    )
    slow_s, more = cycles_of(
        low,
        phases._replace(
            round_s=np.maximum(phases.round_s, own_s),
            capacity=np.maximum(phases.capacity - taken, LEAST_LEFT * phases.capacity),
        ),
    )
    return classes.choose(slow_s, cycle_s), classes.choose(more, extra)


def with_blocking(
    served: Served, phases: Phases, classes: Classes | None
) -> tuple[Phases, Single | float]:
    """Return the phases in which the critical wait for segments in progress, and the tail of that.

    The GPU's part of best effort takes longer by the share of time that the critical use.

    Returns:
        The phases, and by how much more than on average the 99th percentile waits, [T, B].
    """
    if classes is None:
        return phases, 0.0
    waiting, tail = phases, np.zeros_like(phases.host_s)
    for _ in range(ROUNDS):
        cycle_s, _ = cycles_by_class(served, waiting, classes)
        taken = (served.instances * classes.high * phases.exclusive_s / cycle_s).sum(axis=(0, 1))
        left = np.maximum(1 - taken / phases.capacity, LEAST_LEFT)
        waiting = waiting._replace(
            stretch=phases.stretch / classes.choose(left, np.ones_like(left))
        )
        cycle_s, _ = cycles_by_class(served, waiting, classes)
        mean, tail = _blocked(served, waiting, classes, cycle_s)
        waiting = waiting._replace(host_s=phases.host_s + mean)
    return waiting, np.where(served.instances > 0, tail, 0).max(axis=1)


def _blocked(
    served: Served, phases: Phases, classes: Classes, cycle_s: Single
) -> tuple[Single, Single]:
    """Return mean and tail [T, X, B] of the waits for segments in progress."""
    mean, tail = np.zeros_like(cycle_s), np.zeros_like(cycle_s)
    low, high = (served.instances * each for each in (classes.low, classes.high))
    closed = phases.round_s < cycle_s  # a tenant with few arrivals has the pace of these
    away_s = np.where(closed, served.full.host_s + phases.gpu_s - phases.exclusive_s, np.inf)
    every: slice | IntArray
    for every, there, work_s, piece_s, capacity in (
        (
            gpu_positions(served.mapped),
            np.float32(1),
            phases.exclusive_s,
            phases.gpu_s * phases.alone,
            phases.capacity,
        ),
        *(
            (*_of_core(core, served.mapped), phases.dla_s, phases.dla_s, np.float32(1))
            for core in range(DLA.stop - DLA.start)
        ),
    ):
        use = (work_s / cycle_s)[:, every] * there
        used, wanted = ((each[:, every] * use).sum(axis=(0, 1)) for each in (high, low))
        chance = np.minimum(wanted / np.maximum(capacity - used, TINY), 1)
        whole_s = (((low > 0) * piece_s / classes.segments)[:, every] * there).max(axis=(0, 1))
        rest_s = chance * np.maximum(whole_s - away_s[:, every], whole_s / 2) * there
        worst_s = whole_s * np.maximum(1 - TAIL / np.maximum(chance, TAIL), 0) * there
        mean[:, every] += rest_s * classes.high
        tail[:, every] += np.maximum(worst_s - rest_s, 0) * classes.high
    return mean, tail


def _of_core(core: int, mapped: Mapped | None) -> tuple[slice | IntArray, Single | np.float32]:
    """Return the positions that may draw on a DLA core, and 1 where they do."""
    if mapped is None:
        return slice(DLA.start + core, DLA.start + core + 1), np.float32(1)
    return mapped.of_core(core)


def crowding(stretched: Single, alone: Single, served: Served, classes: Classes) -> Single:
    """Return the stretch by others over that alone, [T, B]: the most of the tenant's own class."""
    found = [
        np.where(served.instances * each > 0, stretched / alone, 0).max(axis=(0, 1))
        for each in (classes.low, classes.high)
    ]
    return classes.choose(*found)[:, 0]


def unevenness(number: Single, threads: Single, classes: Classes | None) -> Single | FloatArray:
    """Return the factor [B] or [T, B] by which the slowest instance of a plain computer is slower.

    Where three instances run on two cores, two of them share one: the slowest takes as long as if
    there were four. Boards have no such threads; best effort leaves the cores to the critical.
    """
    parts = [number] if classes is None else [number * each for each in (classes.low, classes.high)]
    factors = []
    for part in parts:
        per_core = np.maximum(1, part.sum(axis=(0, 1)) / np.maximum(threads, 1))
        crowd = np.where(threads > 0, per_core, 1)
        factors.append(np.ceil(crowd - 1e-3) / crowd)
    return factors[0] if classes is None else classes.choose(factors[0], factors[1])[:, 0]


def dla_round_s(
    work_s: Single, classes: Classes | None = None, mapped: Mapped | None = None
) -> Single:
    """Return how long a DLA core takes for one batch of all instances on it, [T, X, B].

    `work_s` is the DLA time of a batch of each; the result is 0 on the GPU. Each class has rounds
    of its own.
    """
    rounds = np.zeros_like(work_s)
    if classes is None:
        put_by_core(rounds, by_core(work_s, mapped), mapped)
    else:
        parts = (by_core(work_s * each, mapped) for each in (classes.low, classes.high))
        put_by_core(rounds, classes.choose(*parts), mapped)
    return rounds
