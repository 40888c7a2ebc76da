"""From the log of batches to a tenant's measurement over a window; pure functions."""

import math
from collections.abc import Sequence

import numpy as np

from envs.arrays import FloatArray
from envs.runtimes.serving.instance import BatchRecord
from envs.spec import TenantMeasurement

#: Bootstrap resamples of an interval of p99.
RESAMPLES = 200


def throughput_ips(records: Sequence[BatchRecord], start_s: float, end_s: float) -> float:
    """Return inferences per second; each batch counts by the share of its run in the window.

    Counting only batches that end inside would be off by one batch per instance, which is a third
    in a window of three batches.
    """
    inside = sum(
        len(record.arrivals_s)
        * max(0.0, min(record.end_s, end_s) - max(record.start_s, start_s))
        / max(record.end_s - record.start_s, 1e-9)
        for record in records
    )
    return inside / (end_s - start_s)


def tenant_measurement(
    records: Sequence[BatchRecord],
    start_s: float,
    end_s: float,
    unanswered_s: Sequence[float] | None,
    now_s: float,
) -> TenantMeasurement:
    """Return throughput and latency of one tenant.

    Args:
        records: batches of all its instances.
        start_s: begin of the window.
        end_s: its end.
        unanswered_s: for open-loop load, arrivals in the window without an answer at `now_s`; each
            counts with the latency that it has reached by then, a lower bound. None for a closed
            loop, where the latencies are those of the batches that end inside.
        now_s: when `unanswered_s` was read.
    """
    if unanswered_s is None:
        groups = [
            [record.end_s - arrival for arrival in record.arrivals_s]
            for record in records
            if start_s <= record.end_s <= end_s
        ]
    else:
        groups = [
            [record.end_s - arrival for arrival in record.arrivals_s if start_s <= arrival < end_s]
            for record in records
        ]
        groups += [[now_s - arrival] for arrival in unanswered_s]
    groups = [group for group in groups if group]
    rate = throughput_ips(records, start_s, end_s)
    if not groups:
        return TenantMeasurement(rate, math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    latencies_ms = 1e3 * np.concatenate(groups)
    p50, p95, p99 = np.percentile(latencies_ms, [50, 95, 99])
    low, high = p99_interval([1e3 * np.array(group) for group in groups])
    return TenantMeasurement(rate, float(p50), float(p95), float(p99), low, high, len(latencies_ms))


def p99_interval(groups_ms: Sequence[FloatArray], seed: int = 0) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of p99 over batches, in the unit given.

    With few batches it is optimistic, since a bootstrap never exceeds the observed maximum.
    """
    rng = np.random.default_rng(seed)
    sizes = np.array([len(group) for group in groups_ms])
    values = np.concatenate(groups_ms)
    order = np.argsort(values)
    ordered, owner = values[order], np.repeat(np.arange(len(sizes)), sizes)[order]
    shares = np.full(len(sizes), 1.0 / len(sizes))
    found = np.empty(RESAMPLES)
    # One resample at a time: all at once would take tens of MiB after every window.
    for turn in range(RESAMPLES):
        weight = np.cumsum(rng.multinomial(len(sizes), shares)[owner])
        found[turn] = ordered[np.searchsorted(weight, 0.99 * weight[-1])]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def overlap(logs: Sequence[Sequence[BatchRecord]], start_s: float, end_s: float) -> float:
    """Return the share of the window in which every instance worked; one log per instance."""
    edges: list[tuple[float, int]] = []
    for log in logs:
        for record in log:
            begin, finish = max(record.start_s, start_s), min(record.end_s, end_s)
            if begin < finish:
                edges += [(begin, 1), (finish, -1)]
    working, together_s, since_s = 0, 0.0, start_s
    for when_s, change in sorted(edges):
        if working == len(logs):
            together_s += when_s - since_s
        working, since_s = working + change, when_s
    return together_s / (end_s - start_s)
