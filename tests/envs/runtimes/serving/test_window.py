"""Throughput, latency and overlap of a window, with answers worked out by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from envs.runtimes.serving.instance import BatchRecord
from envs.runtimes.serving.window import overlap, p99_interval, tenant_measurement, throughput_ips


def steady(period_s: float, batch: int, until_s: float, offset_s: float = 0.0) -> list[BatchRecord]:
    """Make batches back to back; each request arrives as its batch starts."""
    starts = np.arange(offset_s, until_s, period_s)
    return [BatchRecord(start, start + period_s, (start,) * batch) for start in starts.tolist()]


@pytest.mark.parametrize("offset_s", [0.0, 0.13, 0.77])
def test_throughput_does_not_depend_on_where_the_window_cuts(offset_s: float) -> None:
    records = steady(0.8, 4, 12.0)
    assert throughput_ips(records, 2.0 + offset_s, 4.0 + offset_s) == pytest.approx(5.0)


def test_closed_loop_latency_is_of_batches_that_end_inside() -> None:
    records = [
        BatchRecord(0.0, 1.0, (0.0,)),
        BatchRecord(1.0, 1.2, (0.5, 1.0)),
        BatchRecord(1.2, 9.0, (1.2,)),
    ]
    measured = tenant_measurement(records, 0.9, 2.0, None, 10.0)
    assert measured.requests == 3
    assert measured.p50_ms == pytest.approx(700)
    assert measured.p99_ms == pytest.approx(np.percentile([1000, 700, 200], 99))


def test_open_loop_latency_counts_from_the_arrival_and_the_unanswered_too() -> None:
    """A server stalls from 1 s to 4 s: arrivals meanwhile wait, and one has no answer yet."""
    records = [
        BatchRecord(0.0, 0.1, (0.0,)),
        BatchRecord(4.0, 4.1, (1.0, 2.0)),
        BatchRecord(4.1, 4.2, (9.0,)),
    ]
    measured = tenant_measurement(records, 0.0, 4.5, [3.0], 5.0)
    assert measured.requests == 4, "the arrival at 9 s is outside"
    assert measured.p50_ms == pytest.approx((2000 + 2100) / 2)
    assert measured.p99_ms == pytest.approx(np.percentile([100, 3100, 2100, 2000], 99))


def test_a_tenant_without_an_answer_is_nan_never_zero() -> None:
    measured = tenant_measurement([], 0.0, 1.0, None, 1.0)
    assert np.isnan([measured.p50_ms, measured.p99_ms, measured.p99_low_ms]).all()


def test_overlap_is_the_share_in_which_all_work() -> None:
    logs = [[BatchRecord(0.0, 6.0, ())], [BatchRecord(2.0, 4.0, ()), BatchRecord(5.0, 9.0, ())]]
    assert overlap(logs, 0.0, 10.0) == pytest.approx(0.3)
    assert overlap(logs[:1], 0.0, 10.0) == pytest.approx(0.6)
    assert overlap([*logs, []], 0.0, 10.0) == 0


def test_the_interval_covers_the_true_p99() -> None:
    """95 % nominal; with 400 batches the bootstrap of an extreme quantile covers a little less."""
    rng = np.random.default_rng(0)
    truth = -np.log(0.01)
    hits = 0
    for trial in range(100):
        low, high = p99_interval(
            [np.array([value]) for value in rng.exponential(size=400)], seed=trial
        )
        hits += low <= truth <= high
    assert 0.80 <= hits / 100 <= 1.0


def test_one_slow_batch_widens_the_interval_more_than_its_requests_say() -> None:
    groups = [np.full(8, 10.0)] * 11 + [np.full(8, 100.0)]
    low, high = p99_interval(groups)
    assert low == 10.0, "resampling batches, a third of the samples miss the slow one"
    assert high == 100.0


def test_a_long_window_takes_little_memory() -> None:
    """On a board, memory that a window leaves behind is missing on the GPU."""
    groups = list(np.random.default_rng(0).exponential(size=(10_000, 1)))
    tracemalloc.start()
    p99_interval(groups)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * 2**20
