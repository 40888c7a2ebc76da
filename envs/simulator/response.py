"""The response of a device to configurations: throughput, latency and power, without noise.

A closed loop saturates its instances. Of an open loop the device serves what arrives, and requests
wait as `arrivals.open_loop` says.
"""

from dataclasses import dataclass

import numpy as np

from envs.arrays import BoolArray, FloatArray, IntArray, Single
from envs.simulator.arrivals import open_loop
from envs.simulator.beside import with_beside
from envs.simulator.cycles import STEPS
from envs.simulator.in_service import TINY, Phases, Scalars, Served
from envs.simulator.mapped import gpu_positions
from envs.simulator.priority import crowding, unevenness, with_blocking
from envs.simulator.rails import rails_and_share
from envs.simulator.sharing import (
    batches_at,
    cycles,
    launch_factor,
    phases_of,
    served_of,
    with_contention,
    with_waits,
)
from envs.simulator.tables import Contexts

#: Rows that are computed at a time: few enough that their arrays stay in the cache.
CHUNK = 4096

#: Instances that serve less than this share of a tenant's requests do not show in its 99th
#: percentile.
SEEN_SHARE = 0.01

#: Throughput falls with this power of the excess where power would exceed the module's limit:
#: clocks go down, and voltage with them.
THROTTLE_EXPONENT = np.float32(0.6)


@dataclass(frozen=True)
class Response:
    """The response of B rows, a context and a configuration each.

    Attributes:
        throughput_ips, p50_ms, p99_ms: [B, T].
        rails_w: [B, 3], VDD_GPU_SOC, VDD_CPU_CV and VIN_SYS_5V0, whose sum is the module's power;
            0 on a plain computer, which has none of them.
        throttled: [B], True where the power limit lowers the clocks.
    """

    throughput_ips: FloatArray
    p50_ms: FloatArray
    p99_ms: FloatArray
    rails_w: FloatArray
    throttled: BoolArray

    @property
    def power_w(self) -> FloatArray:
        """Return the power of the module, [B]."""
        total: FloatArray = self.rails_w.sum(axis=1)
        return total


def respond(
    contexts: Contexts,
    rows: IntArray,
    instances: IntArray,
    levels: IntArray,
    segments: IntArray | None = None,
    *,
    median: bool = True,
) -> Response:
    """Return the response of each row.

    Args:
        contexts: C contexts of T tenants.
        rows: [B], which context.
        instances: [B, T, X].
        levels: [B, T, X], indices into `contexts.batches`; any where there is no instance.
        segments: [B, T, X], in how many the networks of best effort run; 1 where not given.
        median: False to leave out p50 of requests that arrive at a rate, which takes time; it is
            NaN then.

    Raises:
        ConfigurationError: an instance stands on an accelerator that the device lacks.
    """
    parts = []
    for start in range(0, len(rows), CHUNK):
        some = slice(start, start + CHUNK)
        cut = None if segments is None else segments[some]
        served = served_of(contexts, rows[some], instances[some], levels[some], cut)
        parts.append(_respond(contexts, rows[some], served, median))
    return Response(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def logarithms(found: Response) -> FloatArray:
    """Return the logarithms [B, Q] of responses, NaN where there is no power."""
    with np.errstate(divide="ignore"):
        power = np.log(found.power_w)
        return np.concatenate(
            [
                np.log(found.throughput_ips),
                np.log(found.p99_ms),
                np.where(power > -np.inf, power, np.nan)[:, None],
            ],
            axis=1,
        )


def _respond(
    contexts: Contexts, rows: IntArray, served: Served, median: bool
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, BoolArray]:
    """Return the fields of `Response` for a chunk of rows."""
    scalars = {name: values[rows] for name, values in contexts.scalars.items()}
    rate_ips = contexts.rate_ips[rows].T
    is_open = bool(np.isfinite(rate_ips).any())
    board = contexts.layout.board
    if contexts.positions > board.stop:
        served, scalars = with_beside(served, contexts, rows, scalars, rate_ips)
    phases = phases_of(served, scalars)
    cycle_s, extra = cycles(served, phases)
    phases = with_contention(served, phases, cycle_s, scalars)
    phases, blocked_s = with_blocking(served, phases, served.classes)
    cycle_s, extra = cycles(served, phases, extra, STEPS - 1)
    locked = launch_factor(served, cycle_s, scalars)
    if is_open:
        paced = _paced(served, phases, cycle_s, locked, rate_ips)
        phases = with_waits(served, phases, paced.round_s, scalars)
        phases, blocked_s = with_blocking(
            served, phases._replace(round_s=paced.round_s), served.classes
        )
        paced = phases._replace(round_s=paced.round_s)
        cycle_s, extra = cycles(served, paced)
        locked = launch_factor(served, cycle_s, scalars)
    cycle_s = cycle_s * locked
    rails_w, share = rails_and_share(served.full, served.instances / cycle_s, scalars)
    throttle = share**-THROTTLE_EXPONENT
    on_board, stretched = served.instances[:, board], (phases.stretch + extra)[:, board]
    if served.classes is None:
        crowded = np.where(on_board > 0, stretched, 0).max(axis=1)
        crowded = crowded / phases.alone
    else:
        crowded = crowding(
            stretched, phases.alone, served._replace(instances=on_board), served.classes
        )
    queue_s = scalars["quantum_s"] * np.clip(crowded - 1, 0, 1) + blocked_s
    found = _closed_loop(served, cycle_s * throttle, queue_s, scalars)
    if is_open:
        batch_s = phases.batch_s(extra) * locked * throttle
        throughput, p50, p99 = _open_loop(contexts, rows, served, batch_s, found, median)
        late = np.maximum(p99 * (1 + scalars["tail"]) + queue_s, served.late_s)
        found = throughput, p50, np.where(np.isfinite(rate_ips), late, p99)
    throughput, p50, p99 = found
    return throughput.T.astype(float), p50.T * 1e3, p99.T * 1e3, rails_w.T.astype(float), share < 1


def _paced(
    served: Served, phases: Phases, cycle_s: Single, locked: Single, rate_ips: FloatArray
) -> Phases:
    """Return phases in which tenants with a low arrival rate [T, B] leave the rest to others."""
    able_ips = (served.instances * served.sizes / (cycle_s * locked)).sum(axis=1)
    slack = np.maximum(1, able_ips / rate_ips).astype(np.float32)[:, None]
    return phases._replace(round_s=np.maximum(phases.round_s, cycle_s * slack * (slack > 1)))


def _closed_loop(
    served: Served, cycle_s: Single, queue_s: Single, scalars: Scalars
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return throughput, p50 and p99 [s] of saturated instances, [T, B] each.

    Waiting for a turn adds `queue_s` [T, B] to the tail.
    """
    images = served.instances * served.sizes / cycle_s
    throughput = images.sum(axis=1)
    seen = (images >= SEEN_SHARE * throughput[:, None]) & (images > 0)
    cores = gpu_positions(served.mapped)
    uneven = unevenness(served.instances[:, cores], scalars["threads"], served.classes)
    slowest = np.where(seen, cycle_s, 0).max(axis=1)
    p99 = slowest * (1 + scalars["tail"]) * uneven + queue_s
    p50 = np.minimum((images * cycle_s).sum(axis=1) / np.maximum(throughput, TINY), p99)
    return throughput, p50, p99


def _open_loop(
    contexts: Contexts,
    rows: IntArray,
    served: Served,
    batch_s: Single,
    closed: tuple[FloatArray, FloatArray, FloatArray],
    median: bool,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return throughput, p50 and p99 [s] where requests arrive at a rate, [T, B] each.

    A full batch takes `batch_s` [T, X, B] beside everything else. Tenants without a rate keep the
    answers `closed` [T, B] of a closed loop. Without `median` p50 of the others is NaN.
    """
    throughput, p50, p99 = (np.array(values, dtype=np.float64) for values in closed)
    full, first = served.alone or served.full, batches_at(contexts, served.first)
    alone_s = np.maximum(full.host_s + full.dla_s + full.gpu_s, TINY)
    single_s = batch_s * (first.host_s + first.dla_s + first.gpu_s) / alone_s
    rates, smallest = contexts.rate_ips[rows].T, contexts.batches[0]
    # All tenants together: the longer the arrays, the less each row costs.
    which = np.isfinite(rates)
    at = np.flatnonzero(which)
    instances, size, whole_s, one_s = (
        values.swapaxes(0, 1).reshape(-1, rates.size).take(at, axis=1).T
        for values in (served.instances, served.sizes, batch_s, single_s)
    )
    item_s = np.where(
        size > smallest,
        np.maximum(whole_s - one_s, 0.0) / np.maximum(size - smallest, 1.0),
        whole_s / np.maximum(size, 1.0),
    )
    answer = open_loop(
        rates[which],
        np.maximum(whole_s - item_s * size, 0.0),
        item_s,
        np.maximum(size, 1.0),
        instances,
        np.broadcast_to(contexts.max_wait_s[rows], rates.shape)[which],
        quantiles=(0.5, 0.99) if median else (0.99,),
    )
    throughput[which] = answer.throughput_ips
    p50[which], p99[which] = answer.p50_s, answer.p99_s
    return throughput, p50, p99
