import numpy as np
import pytest

from cluster.placement.feasibility import (
    budget_s,
    filled,
    front_end_time_s,
    gather_s,
    mean_batch,
    tightness,
)
from cluster.placement.nodes import Application, Engine, NodeKind, Place, Rules
from cluster.queueing import first_come_s, sharing_late_s, sharing_s
from tests.cluster.placement.worlds import BOARD

MEAN, LATE = Rules(late=False), Rules()
GPU, DLA = Place("gpu", True), Place("dla0", False)


def full(place: Place, load: float, second_s: float, tight: float, rules: Rules) -> float:
    return float(filled(*map(np.array, (place.shared, load, second_s, tight)), rules))


def test_a_shared_place_is_full_where_the_closed_form_says_so() -> None:
    # 10 ms in 40 ms on average: the load may be 0.75, where s / (1 - rho) is the budget.
    tight = tightness(GPU, 0.010, 0.040, MEAN)
    assert tight == pytest.approx(0.75)
    assert sharing_s(np.array([0.010]), np.array([75.0]))[0] == pytest.approx(0.040)
    assert full(GPU, 0.75, 0.0, tight, MEAN) == pytest.approx(1.0)


def test_the_load_for_a_percentile_promises_no_more_than_the_closed_form() -> None:
    for others_s in (0.002, 0.010, 0.050):
        load = tightness(GPU, 0.010, 0.080, LATE)
        rates = np.array([1.0, (load - 0.010) / others_s])
        assert sharing_late_s(np.array([0.010, others_s]), rates)[0] <= 0.080


def test_first_come_is_full_where_the_mean_is_the_limit() -> None:
    sizes, rates = np.array([0.010, 0.030]), np.array([20.0, 10.0])
    load, second = (rates * sizes).sum(), (rates * sizes**2).sum()
    mean = first_come_s(sizes, rates)[0]
    assert full(DLA, load, second, tightness(DLA, 0.010, mean, MEAN), MEAN) == pytest.approx(1.0)


def test_the_load_alone_fills_a_place() -> None:
    for place in (GPU, DLA):
        assert full(place, 0.8, 0.0, np.inf, LATE) == pytest.approx(1.0)


def test_what_never_keeps_its_limit_fits_nowhere() -> None:
    assert tightness(GPU, 0.05, 0.05, MEAN) == 0
    assert full(GPU, 0.01, 0.0, 0.0, MEAN) > 1e6


def test_batches_that_wait_long_are_full() -> None:
    assert mean_batch(100.0, 4, 1e3) == pytest.approx(4.0)
    assert mean_batch(100.0, 4, 0.0) == pytest.approx(1.0)
    # Of two: 1 + P(another comes) = 2 - exp(-1).
    assert mean_batch(100.0, 2, 0.01) == pytest.approx(2 - np.exp(-1))


def test_the_budget_is_what_front_end_network_and_gathering_leave() -> None:
    kind = NodeKind("k", (GPU,), 100.0, {}, front_end_s=0.020)
    one = Application("one", "a", 10.0, 0.200)
    assert front_end_time_s(10.0, kind, MEAN) == pytest.approx(0.025)
    assert budget_s(one, Engine("gpu", 1, 0.01, 1.0), kind, MEAN) == pytest.approx(0.165)
    careful = Rules(late=False, reserve=0.1)
    assert budget_s(one, Engine("gpu", 1, 0.01, 1.0), kind, careful) == pytest.approx(0.145)
    # A batch of two waits for one more, 0.15 s, but at most for a quarter of the limit.
    assert gather_s(one, 2) == pytest.approx(0.050)
    assert budget_s(one, Engine("gpu", 2, 0.01, 1.0), kind, MEAN) == pytest.approx(0.115)
    assert np.isinf(front_end_time_s(41.0, kind, MEAN))


def test_the_front_end_of_a_board_may_take_no_time() -> None:
    assert front_end_time_s(10.0, BOARD, LATE) == 0
