"""Heavy tails: Tukey's h distribution, whose variance and quantiles are known on paper."""

from __future__ import annotations

import numpy as np
import pytest

from envs.simulator.tails import LARGEST_STRETCH, TAIL_WEIGHT, stretched
from envs.simulator.window_noise import NOISE_OF_SHORT, SHORT_MS, noise_spread

NORMALS = np.random.default_rng(0).standard_normal(400_000)


@pytest.mark.parametrize("weight", [0.0, TAIL_WEIGHT / 2, TAIL_WEIGHT])
def test_the_usual_tail_is_within_the_scatter_that_is_believed(weight: float) -> None:
    assert stretched(NORMALS, weight).var() == pytest.approx(1.0, rel=0.02)


def test_a_heavier_tail_comes_on_top() -> None:
    core = (1 - 2 * TAIL_WEIGHT) ** 0.75
    heavy = stretched(NORMALS, 0.2)
    assert heavy.var() == pytest.approx(core**2 * (1 - 0.4) ** -1.5, rel=0.05)
    levels = np.array([0.5, 1.0, 2.0])
    assert stretched(levels, 0.4) == pytest.approx(core * levels * np.exp(0.2 * levels**2))
    assert stretched(np.array([9.0]), 0.4) == pytest.approx(9 * core * np.exp(LARGEST_STRETCH))


def test_weights_are_those_of_their_rows() -> None:
    rows = stretched(np.full((2, 3), 2.0), np.array([[0.0], [0.5]]))
    assert (rows[0] == 2.0).all()
    assert (rows[1] > 3.0).all()


def test_short_latencies_scatter_more_on_a_processor_alone() -> None:
    ips = np.array([1e6])
    board = noise_spread(ips)
    short, half, long = (
        noise_spread(ips, processor_p99_ms=np.array([each])) for each in (1e-6, SHORT_MS, np.nan)
    )
    assert short[1] == pytest.approx(np.hypot(board[1], NOISE_OF_SHORT))
    assert half[1] == pytest.approx(np.hypot(board[1], NOISE_OF_SHORT / 2))
    assert (long == board).all()
    for each in (short, half):
        assert (each[[0, 2]] == board[[0, 2]]).all()
