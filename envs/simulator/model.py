"""The device model: what configurations give. Pure, batched, without randomness.

Letters: R rows (a context and a configuration each), T tenants, P = 4 positions (see `tables`), S = T x P slots.

GPU. Instances share it as processor sharing does: the GPU phase of every batch is stretched by one factor, such that what they use together
is what there is. While an instance copies, launches or waits, and where its kernels leave SMs idle, others run.
DLA. One batch at a time, first come first served: a cycle is never shorter than the core's whole round.
DRAM. Beyond a threshold of traffic accelerators slow each other in proportion, up to a plateau (the shape of PCCS, MICRO 2021).
Arrivals. A closed loop saturates its instances. An open loop uses what its rate needs, and its requests wait as `open_loop` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray, Single
from envs.errors import ConfigurationError
from envs.simulator.arrivals import open_loop
from envs.simulator.tables import SCALARS, Contexts

#: Rows that are computed at a time: few enough that their arrays stay in the cache.
CHUNK = 4096

#: Newton steps for the stretch; the third moves it by less than 0.1 % (a test compares with bisection).
STEPS = 3

#: A slot that serves less than this share of a tenant's requests does not show in its 99th percentile.
SEEN_SHARE = 0.01

#: Throughput that is left where power would exceed the module's limit falls with this power of the excess: clocks go down, and voltage with them.
THROTTLE_EXPONENT = 0.6

TINY = np.float32(1e-30)


@dataclass(frozen=True)
class Response:
    """What configurations give, without noise: throughput_ips, p50_ms, p99_ms [R, T]; rails_w [R, 3]; throttled [R].

    Rails are VDD_GPU_SOC, VDD_CPU_CV and VIN_SYS_5V0; their sum is the module's power. A plain computer has none: 0.
    """

    throughput_ips: FloatArray
    p50_ms: FloatArray
    p99_ms: FloatArray
    rails_w: FloatArray
    throttled: npt.NDArray[np.bool_]

    @property
    def power_w(self) -> FloatArray:
        """[R]"""
        total: FloatArray = self.rails_w.sum(axis=1)
        return total


def respond(
    contexts: Contexts,
    rows: npt.NDArray[np.integer],
    instances: npt.NDArray[np.integer],
    levels: npt.NDArray[np.integer],
) -> Response:
    """What each row gives.

    Args:
        rows: [R], which context. instances: [R, T, P]. levels: [R, T, P], positions in `contexts.batches` (any, where no instance is).

    Raises:
        ConfigurationError: an instance stands on an accelerator that the device lacks.
    """
    parts = []
    for start in range(0, len(rows), CHUNK):
        some = slice(start, start + CHUNK)
        parts.append(_chunk(contexts, rows[some], instances[some], levels[some]))
    return Response(*(np.concatenate(values) for values in zip(*parts, strict=True)))


class _Batches(NamedTuple):
    """One batch of each slot alone, [S, R] each: the order of `tables.FEATURES`."""

    host: Single
    gpu: Single
    exclusive: Single
    dla: Single
    gpu_bytes: Single
    dla_bytes: Single
    gpu_j: Single
    cv_j: Single


def _chunk(
    contexts: Contexts,
    rows: npt.NDArray[np.integer],
    instances: npt.NDArray[np.integer],
    levels: npt.NDArray[np.integer],
) -> tuple[Any, ...]:
    """Arrays are [S, R] inside, so that sums over slots run along memory."""
    tenants, count = contexts.tenants, len(rows)
    slots, unused = tenants * 4, len(contexts.batches)
    n = np.ascontiguousarray(instances.reshape(count, slots).T).astype(np.float32)
    level = np.where(n > 0, levels.reshape(count, slots).T, unused)
    at = rows * (slots * (unused + 1)) + np.arange(slots)[:, None] * (unused + 1)
    batches = _Batches(*(column.take(at + level) for column in contexts.columns))
    if np.isnan(batches.gpu).any():
        raise ConfigurationError(
            "an instance stands on an accelerator that the device lacks: take configurations from the device's own space"
        )
    c = dict(zip(SCALARS, contexts.scalars[:, rows], strict=True))
    busy = n > 0

    threads = np.maximum(np.float32(1), c["threads"] / np.maximum(n.sum(axis=0), np.float32(1)))
    least = threads ** -c["threads_exponent"]
    on_gpu = n.reshape(tenants, 4, count)[:, :2].sum(axis=(0, 1))
    crowd = (1 + c["interference"] * np.maximum(on_gpu - 1, 0)) / c["clock"]
    gpu = batches.gpu * crowd
    demand = n * batches.exclusive * (crowd * threads * least)
    dla = batches.dla / c["clock"]
    fixed = batches.host + dla
    rounds = _rounds(n * dla, tenants)

    cycle = np.maximum(fixed + gpu * least, rounds) + (n == 0).astype(np.float32)
    share = (demand / cycle).reshape(tenants, 4, count).sum(axis=0)
    both = share[0] + share[1]
    capacity = (
        c["capacity"]
        * (1 - c["other_gpu"])
        * (1 + 4 * c["pipe_overlap"] * share[0] * share[1] / np.maximum(both * both, TINY))
    )
    ahead = np.minimum(
        share.sum(axis=0) - share[2:], 1
    )  # what a DLA needs of the GPU waits for a kernel of others, where one runs
    gpu.reshape(tenants, 4, count)[:, 2:] *= 1 + ahead
    cycle, stretch = _cycles(fixed, gpu, demand, rounds, busy, least, least, capacity, STEPS)

    slow_gpu, slow_dla = _contention(batches, n / cycle, c, tenants)
    gpu, demand = gpu * slow_gpu, demand * slow_gpu
    dla.reshape(tenants, 4, count)[:, 2:] *= slow_dla
    fixed, rounds = batches.host + dla, _rounds(n * dla, tenants)
    cycle, stretch = _cycles(fixed, gpu, demand, rounds, busy, stretch, least, capacity, STEPS - 1)
    locked = np.maximum(1, (n * batches.host / cycle).sum(axis=0) * c["launch_lock"])
    sizes = np.append(contexts.batches, 0).astype(np.float32)[level]

    asked = contexts.rate_ips[rows].T
    is_open = bool(np.isfinite(asked).any())
    if is_open:  # whoever is asked for less than it could give leaves the rest to the others
        able = (n * sizes / (cycle * locked)).reshape(tenants, 4, count).sum(axis=1)
        slack = np.maximum(1, able / asked).astype(np.float32)
        paced = np.maximum(
            rounds, cycle * np.repeat(slack, 4, axis=0) * (slack > 1).repeat(4, axis=0)
        )
        cycle, stretch = _cycles(fixed, gpu, demand, paced, busy, least, least, capacity, STEPS)
        locked = np.maximum(1, (n * batches.host / cycle).sum(axis=0) * c["launch_lock"])
    cycle = cycle * locked

    rails, left = _power(batches, n / cycle, c)
    cycle = cycle * left ** np.float32(-THROTTLE_EXPONENT)
    images = (n * sizes / cycle).reshape(tenants, 4, count)
    throughput = images.sum(axis=1)
    cycle = cycle.reshape(tenants, 4, count)
    seen = (images >= SEEN_SHARE * throughput[:, None]) & (images > 0)
    queued = c["quantum_s"] * np.minimum(1, np.maximum(stretch / least - 1, 0))
    # Where three instances run on two cores, two of them share one: the slowest takes as long as if there were four.
    crowded = np.maximum(1, n.sum(axis=0) / np.maximum(c["threads"], 1)) * (c["threads"] > 0) + (
        c["threads"] == 0
    )
    uneven = np.ceil(crowded - 1e-3) / crowded
    p99 = np.where(seen, cycle, 0).max(axis=1) * (1 + c["tail"]) * uneven + queued
    p50 = np.minimum((images * cycle).sum(axis=1) / np.maximum(throughput, TINY), p99)
    if is_open:
        served = (fixed + gpu * stretch) * locked * left ** np.float32(-THROTTLE_EXPONENT)
        first = _Batches(
            *(column.take(at + np.where(busy, 0, unused)) for column in contexts.columns)
        )
        single = (
            served
            * (first.host + first.dla + first.gpu)
            / np.maximum(batches.host + batches.dla + batches.gpu, TINY)
        )
        throughput, p50, p99 = _arrivals(
            contexts, rows, n, sizes, served, single, (throughput, p50, p99)
        )
        p99 = p99 * (1 + c["tail"]) + queued
    return throughput.T.astype(float), p50.T * 1e3, p99.T * 1e3, rails.T.astype(float), left < 1


def _rounds(work: Single, tenants: int) -> Single:
    """How long a DLA core takes for one batch of all its instances, of all tenants, in each of its slots; 0 on the GPU."""
    rounds = np.zeros_like(work)
    by_core = work.reshape(tenants, 4, -1)[:, 2:].sum(axis=0)
    rounds.reshape(tenants, 4, -1)[:, 2:] = by_core
    return rounds


def _contention(
    batches: _Batches, rate: Single, c: dict[str, Single], tenants: int
) -> tuple[Single, Single]:
    """How much slower the GPU [R] and the DLA cores [2, R] get by the DRAM traffic of the others."""
    own = (rate * batches.gpu_bytes).sum(axis=0)
    cores = (rate * batches.dla_bytes).reshape(tenants, 4, -1)[:, 2:].sum(axis=0)
    everything = own + cores[0] + cores[1] + c["other_byte_s"]
    above = np.minimum(
        np.maximum(everything / c["dram_byte_s"] - c["contention_threshold"], 0),
        c["contention_plateau"],
    )
    relative = c["contention_slope"] * above / np.maximum(everything, TINY)
    return 1 + relative * (everything - own), 1 + relative * (everything - cores)


def _power(batches: _Batches, rate: Single, c: dict[str, Single]) -> tuple[Single, Single]:
    """Rails [3, R], and the share [R] of what is asked for above idle that the module's limit leaves."""
    added = np.stack(
        [
            (rate * batches.gpu_j).sum(axis=0),
            (rate * batches.cv_j).sum(axis=0),
            (rate * (batches.gpu_bytes + batches.dla_bytes)).sum(axis=0) * c["byte_j"],
        ]
    )
    idle = np.stack([c["idle_gpu_w"], c["idle_cv_w"], c["idle_sys_w"]])
    left = np.minimum(
        1,
        np.maximum(c["max_power_w"] - idle.sum(axis=0), 0.1) / np.maximum(added.sum(axis=0), TINY),
    )
    return idle + added * left, left


def _cycles(
    fixed: Single,
    gpu: Single,
    demand: Single,
    rounds: Single,
    busy: npt.NDArray[np.bool_],
    start: Single,
    least: Single,
    capacity: Single,
    steps: int,
) -> tuple[Single, Single]:
    """Cycle times [S, R] and the stretch [R] at which all GPU phases together use `capacity`.

    Newton's method on the reciprocal of the use, which is a straight line where there is one slot: that solves one kind of instance at once.
    """
    stretch = start
    idle = (~busy).astype(np.float32)
    for step in range(steps + 1):
        free = fixed + gpu * stretch
        cycle = np.maximum(free, rounds) + idle
        if step == steps:
            break
        use = demand / cycle
        total = use.sum(axis=0)
        steep = use * gpu / cycle
        falling = (steep * (free >= rounds)).sum(axis=0)
        # Where every slot waits for its DLA core, stretching the GPU's part changes nothing yet: step as if none did.
        falling = np.where(falling > 0, falling, steep.sum(axis=0))
        stretch = np.maximum(
            stretch + total * (total / capacity - 1) / np.maximum(falling, TINY), least
        )
    return cycle, stretch


def _arrivals(
    contexts: Contexts,
    rows: npt.NDArray[np.integer],
    n: Single,
    sizes: Single,
    served: Single,
    single: Single,
    closed: tuple[Single, Single, Single],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Throughput, p50 and p99 in seconds [T, R] where requests arrive at a rate; a closed loop's are left as they are.

    Args:
        served, single: [S, R], a full batch and a batch of the smallest size, as long as they take beside everything else.
    """
    throughput, p50, p99 = (np.array(values, dtype=np.float64) for values in closed)
    smallest = contexts.batches[0]
    for tenant in range(contexts.tenants):
        rates = contexts.rate_ips[rows, tenant]
        which = np.flatnonzero(np.isfinite(rates))
        if not len(which):
            continue
        own = [
            values[4 * tenant : 4 * tenant + 4, which].T.astype(np.float64)
            for values in (n, sizes, served, single)
        ]
        instances, size, whole, one = own
        each = np.where(
            size > smallest,
            np.maximum(whole - one, 0.0) / np.maximum(size - smallest, 1.0),
            whole / np.maximum(size, 1.0),
        )
        answer = open_loop(
            rates[which],
            np.maximum(whole - each * size, 0.0),
            each,
            np.maximum(size, 1.0),
            instances,
            contexts.max_wait_s[rows[which]],
        )
        throughput[tenant, which], p50[tenant, which], p99[tenant, which] = (
            answer.throughput_ips,
            answer.p50_s,
            answer.p99_s,
        )
    return throughput, p50, p99
