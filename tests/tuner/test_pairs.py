"""Ratios from pairs of windows, and mean windows: answers known on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from envs.spec import Failure, FailureKind, Measurement, Origin, TenantMeasurement
from tests.worlds import respond, space
from tuner.confirming import FEWEST_PAIRS, PAIRS, PRECISION
from tuner.pairs import MOST_PAIRS, T_QUANTILES, mean_window, ratio_of


def window(ips: float, p99_ms: float, power_w: float = math.nan, **more: float) -> Measurement:
    found = {"p50_ms": 1.0, "p95_ms": 2.0, "p99_low_ms": 3.0, "p99_high_ms": 5.0, "requests": 30.0}
    tenant = TenantMeasurement(throughput_ips=ips, p99_ms=p99_ms, **(found | more))
    return Measurement((tenant,), 3.0, Origin.MEASURED, power_w)


def test_a_ratio_is_the_geometric_mean_with_student_s_interval_of_the_logarithms() -> None:
    found = ratio_of([2.0, 8.0], [1.0, 1.0])
    assert found is not None
    assert found.times == pytest.approx(4.0)
    # Two logarithms, log 2 and log 8, differ by log 4: their standard error is half of it.
    reach = T_QUANTILES[0] * math.log(4.0) / 2
    assert found.high == pytest.approx(4.0 * math.exp(reach))
    assert found.low == pytest.approx(4.0 * math.exp(-reach))
    assert found.reach == pytest.approx(reach)


def test_a_pair_needs_both_scores() -> None:
    assert ratio_of([], []) is None
    assert ratio_of([0.0, math.nan], [1.0, 1.0]) is None
    found = ratio_of([3.0, 0.0, 5.0], [1.0, 1.0])
    assert found is not None
    assert (found.times, found.pairs) == (pytest.approx(3.0), 1)
    assert math.isnan(found.low)
    assert math.isinf(found.reach)


def test_windows_that_do_not_scatter_say_nothing_of_an_interval() -> None:
    found = ratio_of([30.0, 30.0, 30.0], [20.0, 20.0, 20.0])
    assert found is not None
    assert found.times == pytest.approx(1.5)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.reach == 0.0


def test_quantiles_are_those_of_student_s_t() -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.t.ppf(0.985, np.arange(1, MOST_PAIRS))
    assert pytest.approx(expected, abs=6e-4) == T_QUANTILES


@pytest.mark.parametrize("spread", [0.01, 0.03, 0.07, 0.2])
def test_the_interval_covers_the_ratio_in_95_of_100_although_each_pair_is_looked_at(
    spread: float,
) -> None:
    """Stopping where an interval is narrow makes one of 95 % cover in 92 % of the cases only."""
    rng, covered, runs = np.random.default_rng(3), 0, 4000
    for _ in range(runs):
        scores = 1.5 * np.exp(spread * rng.normal(size=PAIRS) / math.sqrt(2))
        others = np.exp(spread * rng.normal(size=PAIRS) / math.sqrt(2))
        for pairs in range(FEWEST_PAIRS, PAIRS + 1):
            found = ratio_of(scores[:pairs].tolist(), others[:pairs].tolist())
            assert found is not None
            if found.reach <= PRECISION:
                break
        covered += found.low <= 1.5 <= found.high
    assert covered / runs > 0.94


def test_a_mean_window_is_geometric_and_its_requests_are_those_of_a_window() -> None:
    found = mean_window([window(10.0, 4.0, 5.0), window(40.0, 9.0, 20.0, requests=10.0)])
    assert isinstance(found, Measurement)
    assert found.tenants[0].throughput_ips == pytest.approx(20.0)
    assert found.tenants[0].p99_ms == pytest.approx(6.0)
    assert found.power_w == pytest.approx(10.0)
    assert found.tenants[0].requests == 20.0
    assert math.isnan(found.tenants[0].p99_low_ms)


def test_power_that_one_window_lacks_is_not_read_and_the_lowest_agreement_counts() -> None:
    found = mean_window(
        [window(1.0, 1.0, 5.0, agreement=0.99), window(1.0, 1.0, agreement=math.nan)]
    )
    assert isinstance(found, Measurement)
    assert math.isnan(found.power_w)
    assert found.tenants[0].agreement == 0.99


def test_a_failed_window_makes_the_mean_a_failure() -> None:
    lost = Failure(FailureKind.INSTANCE_LOST, "no memory")
    world = space()
    assert mean_window([respond(world, world.default()), lost]) is lost
