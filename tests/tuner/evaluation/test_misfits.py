"""Cases whose device departs from the model: heavier tails, drifts, neighbours, lagging sensors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.problems.draw import DrawnProblem
from envs.problems.misfits import NUMBERS, Misfit
from envs.spec import Configuration
from tests.tuner.evaluation.small_problems import small_problem, tried
from tuner.evaluation.simulated import simulated_case


def with_misfit(**numbers: float) -> DrawnProblem:
    values = np.array([numbers.get(name, 0.0) for name in NUMBERS])
    return replace(small_problem(), misfit=Misfit("made up", values))


def logs_of(drawn: DrawnProblem, asks: int, seed: int = 0) -> np.ndarray:
    """Return windows of two configurations in turns, and their truth, as logarithms [N, 2, 3]."""
    case = simulated_case(drawn, np.random.default_rng(0), (1, 2))
    pair = case.problem.candidates[[3, 7]]
    windows = tried(case, seed, [Configuration.of(pair[step % 2]) for step in range(asks)])
    assert case.truth is not None
    true = case.truth(pair).logs
    return np.array(
        [
            [np.log([*each.throughput_ips, *each.p99_ms, each.power_w]), true[:, step % 2]]
            for step, each in enumerate(windows)
        ]
    )


def test_a_heavier_tail_moves_p99_alone() -> None:
    usual, heavy = (logs_of(with_misfit(tail=tail), 40)[:, 0] for tail in (0.1, 0.5))
    assert heavy[:, [0, 2]] == pytest.approx(usual[:, [0, 2]])
    assert heavy[:, 1].std() > usual[:, 1].std()


def test_a_drift_walks_away_from_the_truth_and_a_neighbour_comes_and_goes() -> None:
    """A hot or shared device is slower: less throughput, by much more than windows scatter."""
    calm = logs_of(with_misfit(), 12)[:, 0, 0]
    drifting = logs_of(with_misfit(drift=0.1), 12)[:, 0, 0] - calm
    assert drifting[0] == pytest.approx(0.0, abs=1e-6)
    assert np.diff(drifting[::2][:6]).max() < 0
    assert drifting[10] == pytest.approx(drifting[8] * 10 / 8, rel=0.01)
    bursts = logs_of(with_misfit(burst=0.5), 40)[:, 0, 0] - logs_of(with_misfit(), 40)[:, 0, 0]
    busy = np.abs(bursts) > 1e-6
    assert 8 < busy.sum() < 32
    for turn in (0, 1):  # whichever window it is, the neighbour takes the same
        taken = bursts[turn::2][busy[turn::2]]
        assert taken == pytest.approx(taken[0], rel=0.01)
        assert taken[0] == pytest.approx(drifting[10 + turn], rel=0.01), "a drift has walked there"


def test_a_lagging_sensor_still_tells_of_the_window_before() -> None:
    """Half of the power is that of the other configuration, from the second window on."""
    lagging, calm = logs_of(with_misfit(lag=0.5), 4)[:, 0], logs_of(with_misfit(), 4)
    true_w = np.exp(calm[:2, 1, 2])
    mixed = np.log(true_w.mean() / true_w)
    expected = np.array([0.0, mixed[1], mixed[0], mixed[1]])
    assert lagging[:, 2] - calm[:, 0, 2] == pytest.approx(expected, abs=1e-6)
    assert lagging[:, :2] == pytest.approx(calm[:, 0, :2])
