"""What the soak compares: configurations brought to the same level of a computer that drifts, and memory of phases that are alike."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.soak import Phase, growth, levelled


def test_configurations_are_told_from_the_level_of_the_computer() -> None:
    """A computer that gets slower and slower, and three configurations whose ratios are known: those that came late are not thought slow."""
    which = np.array([0, 0, 1, 0, 0, 2, 0, 0, 1, 0, 0, 2] * 10)
    level = np.linspace(0.0, -1.0, len(which))
    speed = np.log([100.0, 150.0, 50.0])
    own, found = levelled(speed[which] + level, which)
    assert np.diff(own) == pytest.approx(np.diff(speed), abs=0.01)
    assert own[which] + found == pytest.approx(speed[which] + level, abs=0.02)


def test_memory_is_compared_between_phases_with_the_same_limit() -> None:
    def phase(limit_ms: float, memory_mib: float) -> Phase:
        return Phase(limit_ms, [], [], [], np.empty((0, 0)), np.empty((0, 0)), memory_mib)

    assert growth([phase(8.0, 160.0), phase(2.0, 190.0), phase(8.0, 160.0), phase(2.0, 190.0)]) == 1.0
    assert growth([phase(8.0, 160.0), phase(2.0, 190.0), phase(8.0, 168.0)]) == pytest.approx(1.05)
