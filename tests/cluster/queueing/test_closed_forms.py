"""Closed forms beside requests one by one, with fixed seeds, and beside answers known on paper."""

import numpy as np
import pytest

from cluster.queueing import (
    batching_with_wait,
    best_split,
    chance_of_swap,
    first_come_late_s,
    first_come_s,
    front_end_s,
    late_mixture_s,
    load_of,
    load_with_swaps,
    mixture_s,
    sharing_by_mean_size_s,
    sharing_late_s,
    sharing_s,
    sharing_variance_s2,
)
from cluster.simulate.requests import batched, first_come, poisson_arrivals, shared
from envs.arrays import FloatArray

SERVICE_S = np.array([0.01, 0.03, 0.06])
RATE_IPS = np.array([10.0, 6.0, 5.0])
SWAP_S = np.array([0.017, 0.01, 0.005])


def by_class(stays: FloatArray, classes: FloatArray, quantile: float | None = None) -> FloatArray:
    groups = [stays[classes == each] for each in range(3)]
    return np.array([g.mean() if quantile is None else np.quantile(g, quantile) for g in groups])


def test_sharing_of_equal_sizes_is_m_m_1_on_paper() -> None:
    # mu = 10, L = 5: the mean time is 1 / (mu - L), in both forms.
    for form in (sharing_s, sharing_by_mean_size_s):
        assert form(np.array([0.1, 0.1]), np.array([2.0, 3.0])) == pytest.approx([0.2, 0.2])


def test_sharing_agrees_with_requests_one_by_one() -> None:
    arrivals = poisson_arrivals(RATE_IPS, 4000.0, np.random.default_rng(0))
    stays = shared(arrivals.times_s, SERVICE_S[arrivals.classes]) - arrivals.times_s
    means = by_class(stays, arrivals.classes)
    assert sharing_s(SERVICE_S, RATE_IPS) == pytest.approx(means, rel=0.02)
    late = by_class(stays, arrivals.classes, 0.99)
    assert sharing_late_s(SERVICE_S, RATE_IPS) == pytest.approx(late, rel=0.08)
    spread = [stays[arrivals.classes == each].var() for each in range(3)]
    assert sharing_variance_s2(SERVICE_S, RATE_IPS) == pytest.approx(spread, rel=0.15)
    # As published it is right for all requests together, and wrong for each class.
    published = sharing_by_mean_size_s(SERVICE_S, RATE_IPS)
    share = RATE_IPS / RATE_IPS.sum()
    assert (share * published).sum() == pytest.approx((share * means).sum(), rel=0.02)
    assert published[0] > 1.5 * means[0]
    assert published[2] < 0.8 * means[2]


@pytest.mark.parametrize("load", [0.02, 0.05, 0.9])
def test_late_requests_of_a_place_with_little_and_much_to_do(load: float) -> None:
    rates = RATE_IPS * load / load_of(SERVICE_S, RATE_IPS)
    arrivals = poisson_arrivals(rates, 120_000 / rates.sum(), np.random.default_rng(5))
    stays = shared(arrivals.times_s, SERVICE_S[arrivals.classes]) - arrivals.times_s
    late = by_class(stays, arrivals.classes, 0.99)
    assert sharing_late_s(SERVICE_S, rates) == pytest.approx(late, rel=0.13)


def test_first_come_agrees_with_requests_one_by_one() -> None:
    arrivals = poisson_arrivals(RATE_IPS, 10000.0, np.random.default_rng(1))
    sizes = SERVICE_S[arrivals.classes]
    for swap in (np.zeros(3), SWAP_S):
        stays = first_come(arrivals, sizes, swap) - arrivals.times_s
        expected = by_class(stays, arrivals.classes)
        assert first_come_s(SERVICE_S, RATE_IPS, swap) == pytest.approx(expected, rel=0.03)
        late = by_class(stays, arrivals.classes, 0.99)
        assert first_come_late_s(SERVICE_S, RATE_IPS, swap) == pytest.approx(late, rel=0.12)


def test_first_come_of_one_network_is_pollaczek_and_khinchine_on_paper() -> None:
    # M/D/1 with rho = 1/2 waits half a service; a network alone never swaps.
    one = np.array([1.0])
    assert first_come_s(one, np.array([0.5]), np.array([9.0])) == pytest.approx([1.5])
    assert chance_of_swap(np.array([1.0, 3.0])) == pytest.approx([0.75, 0.25])
    assert load_with_swaps(np.array([0.1, 0.1]), np.ones(2), 0.1) == pytest.approx(0.3)


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_front_end_agrees_with_requests_one_by_one(cores: int) -> None:
    rng = np.random.default_rng(2)
    rate = np.array([0.7 * cores / 0.024])
    arrivals = poisson_arrivals(rate, 2000.0, rng)
    sizes = rng.exponential(0.024, len(arrivals.times_s))
    stays = shared(arrivals.times_s, sizes, cores) - arrivals.times_s
    assert front_end_s(np.array(0.024), rate, cores)[0] == pytest.approx(stays.mean(), rel=0.05)


@pytest.mark.parametrize(("rate_ips", "wait_s"), [(20, 0.0), (80, 0.02), (150, 0.1), (230, 0.1)])
def test_batching_agrees_with_requests_one_by_one(rate_ips: float, wait_s: float) -> None:
    batch_s = 0.004 + 0.003 * np.arange(1, 9)
    rng = np.random.default_rng(4)
    arrivals = poisson_arrivals(np.array([rate_ips]), 1000.0, rng)
    stays = batched(arrivals.times_s, batch_s, wait_s) - arrivals.times_s
    found = batching_with_wait(batch_s, np.array(rate_ips), wait_s)
    assert found.mean_s == pytest.approx(stays.mean(), rel=0.05)


def test_batches_of_one_are_m_d_1_on_paper() -> None:
    found = batching_with_wait(np.array([1.0]), np.array(0.5), 7.0)
    assert [float(each) for each in found] == pytest.approx([1.5, 0.0, 0.5, 1.0])


def test_batches_that_fill_at_once_have_no_wait_to_speak_of() -> None:
    found = batching_with_wait(np.array([1e-6, 1e-6]), np.array([1000.0]), 1e3)
    # Of two requests the first waits 1 ms on average for the second.
    assert found.gather_s == pytest.approx([0.0005])
    assert found.mean_batch == pytest.approx([2.0])


def test_too_much_work_takes_for_ever() -> None:
    service, rate = np.array([[0.1], [0.1]]), np.array([[5.0], [10.0]])
    for form in (sharing_s, sharing_by_mean_size_s, sharing_late_s, first_come_s):
        assert np.isfinite(form(service, rate)[:, 0]).tolist() == [True, False]
    assert np.isinf(front_end_s(np.array(0.1), np.array(10.0)))
    assert np.isinf(batching_with_wait(np.array([0.1]), np.array(10.0), 0.0).mean_s)


def test_nobody_who_comes_has_the_time_of_one_request() -> None:
    rate = np.zeros(3)
    for form in (sharing_s, sharing_by_mean_size_s, sharing_late_s, first_come_s):
        assert form(SERVICE_S, rate) == pytest.approx(SERVICE_S)
    assert load_of(SERVICE_S, rate) == 0


def test_the_best_split_beats_its_neighbours() -> None:
    capacity = np.array([100.0, 50.0, 5.0])

    def mean_s(rates: FloatArray) -> float:
        return float(mixture_s(rates / 60.0, 1.0 / (capacity - rates)))

    split = best_split(capacity, 60.0)
    assert split.sum() == pytest.approx(60.0)
    assert split[2] == 0
    for move in ([1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]):
        assert mean_s(split) < mean_s(split + np.array(move))
    with pytest.raises(ValueError, match="must be below 155"):
        best_split(capacity, 200.0)


def test_the_percentile_of_a_mixture_is_that_of_its_parts() -> None:
    half = np.array([0.5, 0.5])
    assert late_mixture_s(half, np.zeros(2), np.ones(2)) == pytest.approx(np.log(100.0))
    # Only half of the requests can be late: 2 % of those are 1 % of all.
    found = late_mixture_s(half, np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert found == pytest.approx(1.0 + np.log(50.0))
