"""The closed forms against exact results and against an independent discrete-event simulation.

Errors of `open_loop` against longer simulations stand in its docstring; the tolerances here also
cover the noise of short ones.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.arrays import FloatArray
from envs.simulator.arrivals import open_loop
from envs.simulator.batching import capped_poisson, gathered, poisson_at_most
from tests.envs.simulator.queue_simulation import Group, simulate


class TestFormation:
    def test_poisson(self) -> None:
        for mean in (0.3, 2.0, 9.0):
            terms = np.exp(
                -mean
                + np.arange(40) * math.log(mean)
                - np.array([math.lgamma(k + 1) for k in range(40)])
            )
            assert poisson_at_most(np.arange(20.0), np.full(20, mean)) == pytest.approx(
                np.cumsum(terms)[:20], abs=0.007
            )
            capped = np.minimum(np.arange(40), 7)
            first, pairs, reached = capped_poisson(np.array(mean), np.array(7.0))
            assert (float(first), float(pairs)) == pytest.approx(
                ((capped * terms).sum(), (capped * (capped + 1) / 2 * terms).sum()), rel=0.02
            )
            assert float(reached) == pytest.approx(terms[7:].sum(), abs=0.007)

    @pytest.mark.parametrize(
        ("rate", "batch", "max_wait_s"), [(100.0, 8, 0.05), (300.0, 8, 0.05), (50.0, 4, 0.01)]
    )
    def test_free_instances_against_simulation(
        self, rate: float, batch: int, max_wait_s: float
    ) -> None:
        seen = simulate(rate, [Group(30, batch, 1e-6, 0.0)], max_wait_s, 8_000)
        others, pairs, _ = capped_poisson(np.array(rate * max_wait_s), np.array(batch - 1.0))
        assert 1.0 + float(others) == pytest.approx(seen.batch, rel=0.04)
        assert float(pairs / (rate * (1.0 + others))) == pytest.approx(
            seen.waits_s.mean(), rel=0.05
        )

    @pytest.mark.parametrize(("rate", "busy_s"), [(50.0, 0.03), (100.0, 0.04), (100.0, 0.02)])
    def test_a_busy_instance_against_simulation(self, rate: float, busy_s: float) -> None:
        seen = simulate(rate, [Group(1, 8, busy_s, 0.0)], 0.005, 8_000)
        others, _, _ = capped_poisson(np.array(rate * 0.005), np.array(7.0))
        held, _ = gathered(np.array(rate), others / rate, np.array(busy_s))
        assert float(1.0 + others + rate * held) == pytest.approx(seen.batch, rel=0.05)


ONE = [Group(1, 1, 0.01, 0.0)]
CASES = [
    *[([Group(servers, 1, 0.004, 0.006)], 0.0, rho) for servers, rho in ((1, 0.8), (3, 0.5))],
    *[
        ([Group(1, 8, 0.008, 0.004)], wait, rho)
        for wait, rho in ((0.0, 0.4), (0.01, 0.2), (0.01, 0.7))
    ],
    *[([Group(2, 4, 0.012, 0.003)], wait, rho) for wait, rho in ((0.0, 0.7), (0.005, 0.5))],
    *[([Group(4, 16, 0.01, 0.004)], 0.01, rho) for rho in (0.15, 0.6)],
    ([Group(2, 4, 0.01, 0.005), Group(1, 4, 0.02, 0.008)], 0.005, 0.4),
    ([Group(2, 4, 0.01, 0.005), Group(1, 4, 0.02, 0.008)], 0.005, 0.8),
    ([Group(1, 8, 0.01, 0.003), Group(2, 4, 0.015, 0.004)], 0.005, 0.5),
]


def closed(groups: list[Group], rate: float | FloatArray, max_wait_s: float, window_s: float = 1e6):  # type: ignore[no-untyped-def]
    table = np.array(
        [(group.fixed_s, group.each_s, group.batch, group.servers) for group in groups]
    ).T
    return open_loop(rate, *table, max_wait_s, window_s)


class TestOpenLoop:
    @pytest.mark.parametrize(("groups", "max_wait_s", "rho"), CASES)
    def test_against_simulation(self, groups: list[Group], max_wait_s: float, rho: float) -> None:
        rate = rho * sum(group.capacity for group in groups)
        seen = simulate(rate, groups, max_wait_s, seed=3)
        answer = closed(groups, rate, max_wait_s)
        assert float(answer.throughput_ips) == pytest.approx(rate)
        assert float(answer.utilisation) == pytest.approx(seen.utilisation, rel=0.08)
        assert float(answer.mean_s) == pytest.approx(seen.latencies_s.mean(), rel=0.12)
        assert float(answer.p95_s) == pytest.approx(np.quantile(seen.latencies_s, 0.95), rel=0.22)
        assert float(answer.p99_s) == pytest.approx(np.quantile(seen.latencies_s, 0.99), rel=0.22)

    @pytest.mark.parametrize("groups", [ONE, CASES[6][0], CASES[-1][0]])
    def test_overload_is_finite_continuous_and_rises(self, groups: list[Group]) -> None:
        capacity = sum(group.capacity for group in groups)
        load = np.array([0.999, 1.0, 1.001, 1.2, 2.0, 10.0])
        answer = closed(groups, load * capacity, 0.005, 20.0)
        assert answer.throughput_ips == pytest.approx(np.minimum(load, 1.0) * capacity)
        for latency in (answer.mean_s, answer.p50_s, answer.p95_s, answer.p99_s):
            assert np.isfinite(latency).all()
            assert (np.diff(latency[1:]) > 0.0).all()
            assert abs(latency[2] - latency[0]) < 0.1
        assert answer.p99_s[3:] == pytest.approx(0.99 * (1 - 1 / load[3:]) * 20.0, rel=0.5)

    def test_overload_against_simulation(self) -> None:
        window, load = 40.0, 1.5
        seen = simulate(load * 100.0, ONE, 0.0, int(window * load * 100.0), seed=5)
        arrived = np.arange(len(seen.latencies_s)) / (load * 100.0) + window / 20.0
        answered = seen.latencies_s[arrived + seen.latencies_s < window]
        assert float(closed(ONE, load * 100.0, 0.0, window).p99_s) == pytest.approx(
            np.quantile(answered, 0.99), rel=0.15
        )

    def test_unused_groups_change_nothing(self) -> None:
        group = CASES[2][0][0]
        alone = closed([group], 60.0, 0.01)
        beside = closed([group, Group(0, 16, 0.5, 0.5)], 60.0, 0.01)
        for one, other in zip(alone, beside, strict=True):
            assert float(one) == pytest.approx(float(other), rel=1e-5)

    def test_a_quantile_alone_is_the_one_among_others(self) -> None:
        rng = np.random.default_rng(1)
        given = (
            rng.uniform(1, 500, 2000),
            *(rng.uniform(0.001, top, (2000, 3)) for top in (0.1, 0.01)),
            rng.integers(1, 17, (2000, 3)),
            rng.integers(0, 4, (2000, 3)),
            0.005,
        )
        every, late = open_loop(*given), open_loop(*given, quantiles=(0.99,))
        assert (late.p99_s == every.p99_s).all()
        assert (late.throughput_ips == every.throughput_ips).all()
        assert np.isnan(late.p50_s).all()
        assert np.isnan(late.p95_s).all()

    def test_the_unit_of_time_does_not_matter(self) -> None:
        # Single precision rounds each unit in another way.
        rng = np.random.default_rng(2)
        times = rng.uniform(0.001, 0.1, (2000, 3)), rng.uniform(0.001, 0.01, (2000, 3))
        batch, count = rng.integers(1, 17, (2000, 3)), rng.integers(0, 3, (2000, 3))
        count[:, 0] = 1
        top = np.maximum(batch, 1)
        capacity = (count * top / (times[0] + top * times[1])).sum(axis=1)
        rate = capacity * rng.uniform(0.05, 1.2, 2000)
        answer = open_loop(rate, *times, batch, count, 0.005)
        other = open_loop(rate / 7, *(7 * each for each in times), batch, count, 0.035, 420.0)
        keeps_up = rate < 0.999 * capacity
        assert (answer.throughput_ips[keeps_up] == rate[keeps_up]).all()
        assert answer.throughput_ips[~keeps_up] == pytest.approx(
            np.minimum(rate, capacity)[~keeps_up], rel=1e-5
        )
        for one, scaled in ((answer.p99_s, other.p99_s), (answer.mean_s, other.mean_s)):
            away = np.abs(np.log(scaled / 7 / one))
            assert np.quantile(away, 0.99) < 1e-3
            assert away.max() < 0.03

    def test_shapes_and_rows(self) -> None:
        rng = np.random.default_rng(0)
        rate, fixed, each = (
            rng.uniform(1, 500, (5000, 2)),
            rng.uniform(0.001, 0.1, (5000, 2, 3)),
            rng.uniform(0.001, 0.01, (5000, 2, 3)),
        )
        batch, count = rng.integers(1, 17, (5000, 2, 3)), rng.integers(0, 4, (5000, 2, 3))
        answer = open_loop(rate, fixed, each, batch, count, 0.005)
        assert answer.p99_s.shape == (5000, 2)
        for at in (0, 1, 2500, 4321, 4999):
            row = open_loop(
                rate[at, 1], fixed[at, 1], each[at, 1], batch[at, 1], count[at, 1], 0.005
            )
            for one, all_of_them in zip(row, answer, strict=True):
                assert one == pytest.approx(all_of_them[at, 1], rel=1e-5, abs=1e-9)
        nothing = open_loop(10.0, [0.01], [0.01], [4], [0], 0.005)
        assert float(nothing.throughput_ips) == 0.0
        assert all(np.isfinite(field).all() for field in nothing)


slots = st.lists(
    st.builds(
        Group,
        st.integers(1, 6),
        st.sampled_from([1, 2, 3, 4, 8, 16, 32]),
        st.floats(1e-4, 0.5),
        st.floats(1e-5, 0.2),
    ),
    min_size=1,
    max_size=4,
)


class TestProperties:
    @settings(max_examples=150, deadline=None)
    @given(slots, st.floats(0.0, 5.0), st.floats(0.0, 0.1))
    def test_whatever_comes_is_finite_and_in_order(
        self, groups: list[Group], load: float, max_wait_s: float
    ) -> None:
        capacity = sum(group.capacity for group in groups)
        answer = closed(groups, load * capacity, max_wait_s, 60.0)
        assert all(np.isfinite(field).all() for field in answer)
        least = min(group.fixed_s + group.each_s for group in groups)
        assert least * (1 - 1e-5) <= answer.p50_s <= answer.p95_s * (1 + 1e-6)
        assert answer.p95_s <= answer.p99_s * (1 + 1e-6)
        assert answer.mean_s >= least * (1 - 1e-5)
        assert 0.0 <= answer.utilisation <= 1.0
        assert answer.throughput_ips == pytest.approx(min(load, 1.0) * capacity)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(1, 8), st.floats(0.001, 0.1))
    def test_without_batches_more_requests_wait_longer(
        self, servers: int, service_s: float
    ) -> None:
        load = np.linspace(0.02, 1.5, 60)
        answer = closed([Group(servers, 1, service_s, 0.0)], load * servers / service_s, 0.0, 60.0)
        for latency in (
            answer.mean_s,
            answer.p50_s,
            answer.p95_s,
            answer.p99_s,
        ):
            # A quantile is found to a small part of the range of latencies.
            assert (np.diff(latency) >= -0.02 * latency[1:] - 1e-9).all()
        assert (np.diff(answer.utilisation) >= -1e-6).all()
