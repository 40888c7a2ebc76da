"""Measured windows correct a belief in thin tails, and count when a problem is made anew."""

from __future__ import annotations

import numpy as np
import pytest

from envs.spec import Configuration
from tuner.policy.thresholds import DEFAULT_THRESHOLDS as DEFAULT
from tuner.policy.window_history import WindowHistory

SERVED, OTHER = Configuration((((1, 1),),)), Configuration((((2, 1),),))


def test_how_often_limits_were_really_kept_counts_beside_what_is_believed() -> None:
    history, limits = WindowHistory(DEFAULT), np.array([np.inf, 0.0], np.float32)
    assert history.chance(SERVED, 0.99, limits) == pytest.approx(0.99)
    for turn in range(2 * DEFAULT.memory_windows):  # of which the latter half is remembered
        history.add(SERVED, np.array([1.0, 0.1 if turn % 20 == 0 else -0.1], np.float32))
    assert history.chance(SERVED, 0.999, limits) == pytest.approx((0.999 + 0.95) / 2), (
        "the belief in a thin tail was wrong"
    )
    assert history.chance(SERVED, 0.5, limits + 0.2) == 0.75, "a limit that none of them broke"
    history.add(SERVED, np.array([np.nan, np.nan], np.float32))
    assert history.chance(OTHER, 0.9, limits) == 0.9
    history.forget()
    assert history.chance(SERVED, 0.99, limits) == 0.99


def test_the_latest_windows_say_what_a_configuration_gives() -> None:
    history = WindowHistory(DEFAULT)
    assert not history
    for value in (9.0, *[1.0] * DEFAULT.latest_windows):
        history.add(SERVED, np.array([value, np.nan if value == 1.0 else value], np.float32))
    history.add(OTHER, np.array([2.0, 3.0], np.float32))
    assert history.configurations() == [SERVED, OTHER]
    mean, count = history.latest(SERVED)
    assert mean[0] == 1.0, "the first one is too old"
    assert np.isnan(mean[1])
    assert count.tolist() == [DEFAULT.latest_windows, 1]
    assert [each.tolist() for each in history.latest(OTHER)] == [[2.0, 3.0], [1.0, 1.0]]
