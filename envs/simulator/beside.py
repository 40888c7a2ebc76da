"""Instances beside GPU and DLAs: on the processor's cores of a board, and on Edge TPUs.

Cores: instances share out the cores as threads, as on a plain computer. The threads of the host,
which feed GPU and DLAs and wait for them, want the same cores; where all together want more than
there are, each of them takes longer by the same factor.
Edge TPU: one sample after the other, first come first served. A network pays its swap where the one
before was another. Saturated instances stand in a fixed, random order, so that the one before is
any of the others; of Poisson arrivals it belongs to another tenant as often as others arrive, and
the wait is that of Pollaczek and Khinchine (Ibis, arXiv 2201.07312).
DRAM: the cores slow GPU and DLAs and are slowed by them, as these slow each other.

What comes out are batches whose times hold what they wait for here, for `sharing`. Rates that this
needs before `sharing` has found them are those of batches that wait for their accelerator alone.
Arrays are [T, X, B] or [B], as there.
"""

import numpy as np

from envs.arrays import BoolArray, FloatArray, IntArray, Single
from envs.simulator.in_service import TINY, Batches, Scalars, Served
from envs.simulator.mapped import Mapped, by_core, gpu_positions, put_by_core
from envs.simulator.tables import Contexts

#: The most of an Edge TPU that Poisson arrivals are taken to use: waits stay finite.
MOST_USE = np.float32(0.98)

#: The share of requests above the 99th percentile.
LATE = np.float32(0.01)


def with_beside(
    served: Served, contexts: Contexts, rows: IntArray, scalars: Scalars, rate_ips: FloatArray
) -> tuple[Served, Scalars]:
    """Return the batches and values of the device as instances beside GPU and DLAs change them.

    Args:
        served: instances in service.
        contexts: C contexts.
        rows: [B], which context.
        scalars: [B] each.
        rate_ips: [T, B] arrival rates, infinite for a closed loop.
    """
    number, full, layout = served.instances, served.full, contexts.layout
    board, on_cores, edge_tpus = layout.board, layout.cores, layout.edge_tpus
    computing = np.maximum(number[:, on_cores].sum(axis=(0, 1)), 1)
    cores = contexts.cores[rows].astype(np.float32)
    threads = np.maximum(cores / computing, 1)
    gain = threads ** scalars["threads_exponent"]
    own_s, cv_j = full.dla_s.copy(), full.cv_j.copy()
    own_s[:, on_cores] /= gain
    cv_j[:, on_cores] *= threads / gain
    full = full._replace(dla_s=own_s, cv_j=cv_j)

    swap_s = contexts.swap_s[rows].T[:, None].astype(np.float32)
    cycle_s = _cycles(number, full, swap_s, edge_tpus, served.mapped)
    able_ips = (number * served.sizes / cycle_s).sum(axis=1)
    asked = (rate_ips / able_ips).astype(np.float32)[:, None]  # of what a tenant could have
    rate = number / cycle_s * np.minimum(asked, 1)

    polling = full.host_s + contexts.poll_share[rows] * (full.gpu_s + full.dla_s)
    host = (rate * polling)[:, board].sum(axis=(0, 1))
    wanted = (rate * own_s)[:, on_cores].sum(axis=(0, 1)) * threads
    late = np.where(wanted > 0, np.maximum((wanted + host) / cores, 1), 1).astype(np.float32)

    moved = (rate * (full.gpu_bytes + full.dla_bytes)).sum(axis=0)
    moved[on_cores] /= late
    here = moved[board.stop :].sum(axis=0)
    elsewhere = moved[board].sum(axis=0) + scalars["other_byte_s"]
    above = np.clip(
        (here + elsewhere) / scalars["dram_byte_s"] - scalars["contention_threshold"],
        0,
        scalars["contention_plateau"],
    )
    share = elsewhere / np.maximum(here + elsewhere, TINY)
    slower = 1 + scalars["contention_slope"] * above * share

    host_s = full.host_s.copy()
    host_s[:, board] *= late
    own_s[:, on_cores] *= late * slower
    is_open = np.isfinite(rate_ips)[:, None]
    coming = np.where(is_open, number / cycle_s * np.where(is_open, asked, 0), rate)
    images = coming * served.sizes
    share = images / np.maximum(images.sum(axis=1, keepdims=True), TINY)
    visit_s, work, late_s = _visits(number, full, swap_s, coming, share, is_open, edge_tpus)
    own_s[:, edge_tpus] = visit_s[:, edge_tpus]
    cv_j[:, edge_tpus] *= work[:, edge_tpus]
    full = full._replace(host_s=host_s)
    served = served._replace(full=full, alone=served.full, late_s=late_s)
    return served, scalars | {"other_byte_s": scalars["other_byte_s"] + here}


def _cycles(
    number: Single, full: Batches, swap_s: Single, edge_tpus: slice, mapped: Mapped | None
) -> Single:
    """Return the least cycle times [T, X, B]: a batch alone, or a round of the accelerator."""
    least_s = full.host_s + full.gpu_s + full.dla_s
    round_s = np.zeros_like(least_s)
    service_s = full.dla_s + swap_s * _after_another(number)
    least_s[:, edge_tpus] = np.maximum(least_s, full.host_s + service_s)[:, edge_tpus]
    round_s[:, edge_tpus] = (number * service_s)[:, edge_tpus].sum(axis=0)
    put_by_core(round_s, by_core(number * full.dla_s, mapped), mapped)
    gpu = gpu_positions(mapped)
    exclusive_s = (number * full.exclusive_s)[:, gpu].sum(axis=(0, 1))
    round_s[:, gpu] = np.maximum(round_s[:, gpu], exclusive_s)
    return np.asarray(np.maximum(np.maximum(least_s, round_s), TINY))


def _after_another(rate: Single, own: Single | float = 1.0) -> Single:
    """Return the chance [T, X, B] that the batch before on an accelerator was another tenant's.

    Args:
        rate: [T, X, B], how often batches come, in any unit.
        own: [T, X, B], what of it cannot come before: the instance itself, which waits.
    """
    total = rate.sum(axis=0)
    return np.asarray((total - rate) / np.maximum(total - own, TINY) * (rate > 0))


def _visits(
    number: Single,
    full: Batches,
    swap_s: Single,
    rate: Single,
    share: Single,
    is_open: BoolArray,
    edge_tpus: slice,
) -> tuple[Single, Single, Single]:
    """Return the time of a batch on an Edge TPU, and its work over that without swaps, [T, X, B].

    The third value [T, B] is how late 1 % of a tenant's arrivals are at least: where there are only
    arrivals, the wait has an exponential tail.

    Saturated instances share what arrivals leave. The time of an arrival is such that a queue of
    its tenant alone waits as long (M/D/1) as it does behind all others.

    Args:
        number: [T, X, B] instances.
        full: the batches in service.
        swap_s: [T, 1, B].
        rate: [T, X, B] batches that come in a second, more than can be served perhaps.
        share: [T, X, B], of a tenant's requests.
        is_open: [T, 1, B], True for tenants with an arrival rate.
        edge_tpus: their positions.
    """
    chance = np.where(is_open, _after_another(rate, 0.0), _after_another(number))
    work_s = full.dla_s + swap_s * chance
    arriving, closed = rate * is_open, number * ~is_open
    wanted = (arriving * work_s).sum(axis=0)
    load = np.minimum(wanted, MOST_USE)
    round_s = (closed * work_s).sum(axis=0)
    # An arrival finds every saturated instance before it, one of them half done.
    rest_s = (closed * work_s**2).sum(axis=0) / np.maximum(2 * round_s, TINY)
    ahead_s = round_s - rest_s + (arriving * work_s**2).sum(axis=0) / 2
    stay_s = work_s + ahead_s / (1 - load)
    own = arriving / np.maximum(number, 1)
    alone_s = 2 * stay_s / (1 + own * stay_s + np.sqrt(1 + (own * stay_s) ** 2))
    # What is too much for the Edge TPU is too much for each tenant, by the same factor.
    alone_s = np.where(wanted > MOST_USE, wanted / np.maximum(own, TINY), alone_s)
    turn_s = np.maximum(work_s, round_s - full.host_s) / (1 - load)
    visit_s = np.where(is_open, alone_s, turn_s).astype(np.float32)
    more = np.asarray(work_s / np.maximum(full.dla_s, TINY), dtype=np.float32)

    tail_s = ahead_s / (1 - load) / np.maximum(load, TINY) * (round_s == 0)
    beyond = np.log(np.maximum(is_open * share * load / LATE, 1))
    late_s = np.where(beyond > 0, work_s + tail_s * beyond, 0)[:, edge_tpus]
    return visit_s, more, late_s.max(axis=1, initial=0.0).astype(np.float32)
