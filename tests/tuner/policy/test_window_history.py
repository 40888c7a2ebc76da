"""What windows really gave: how often limits were kept, and what is remembered when a problem is asked anew."""

from __future__ import annotations

import numpy as np
import pytest

from envs.spec.space import Configuration
from tuner.policy.window_history import LATEST, Evidence

SERVED, OTHER = Configuration((((1, 1),),)), Configuration((((2, 1),),))


def test_how_often_limits_were_really_kept_counts_beside_what_is_believed() -> None:
    evidence, limits = Evidence(), np.array([np.inf, 0.0], np.float32)
    assert evidence.chance(SERVED, 0.99, limits) == pytest.approx(
        0.99 + 0.5 * np.sqrt(0.99 * 0.01 / 10)
    )
    for turn in range(100):
        evidence.add(SERVED, np.array([1.0, 0.1 if turn % 20 == 0 else -0.1], np.float32))
    assert evidence.chance(SERVED, 0.999, limits) == pytest.approx(0.95, abs=0.02), (
        "the belief in a thin tail was wrong"
    )
    assert evidence.chance(SERVED, 0.5, limits + 0.2) > 0.95, "a limit that none of them broke"
    evidence.add(SERVED, np.array([np.nan, np.nan], np.float32))
    assert evidence.chance(OTHER, 0.9, limits) > 0.9
    evidence.forget()
    assert evidence.chance(SERVED, 0.99, limits) > 0.99


def test_the_latest_windows_say_what_a_configuration_gives() -> None:
    evidence = Evidence()
    assert not evidence
    for value in (9.0, *[1.0] * LATEST):
        evidence.add(SERVED, np.array([value, np.nan if value == 1.0 else value], np.float32))
    evidence.add(OTHER, np.array([2.0, 3.0], np.float32))
    assert evidence.configurations() == [SERVED, OTHER]
    mean, count = evidence.latest(SERVED)
    assert mean[0] == 1.0, "the first one is too old"
    assert np.isnan(mean[1])
    assert count.tolist() == [LATEST, 1]
    assert [each.tolist() for each in evidence.latest(OTHER)] == [[2.0, 3.0], [1.0, 1.0]]
