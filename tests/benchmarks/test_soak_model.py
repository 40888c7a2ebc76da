"""The best fixed configuration of a phase, and a device through all phases."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.setup import REFERENCE_BUNDLE
from benchmarks.soak_model import best_fixed_ips, figures_of, soak
from benchmarks.soak_worlds import Windows


def test_the_best_fixed_configuration_keeps_its_limit_where_no_neighbour_is() -> None:
    """The fast one breaks the limit by itself, the middle one only beside a neighbour."""
    ips = np.tile([100.0, 200.0, 400.0], (10, 1))
    p99_ms = np.tile([4.0, 4.0, 4.0], (10, 1))
    disturbed = np.arange(10) == 3
    p99_ms[3, 1] = p99_ms[5, 2] = 6.0
    windows = Windows(ips, p99_ms, disturbed)
    assert best_fixed_ips(windows, range(10), 5.0) == pytest.approx(0.9 * 200.0)
    assert best_fixed_ips(windows, range(5, 10), 3.0) == 0.0, "nothing keeps such a limit"


def test_a_device_goes_through_all_phases() -> None:
    played = soak(1, "computers", [], 12, REFERENCE_BUNDLE)
    assert len(played.periods) == 6 * 12
    assert 0.5 < np.mean(played.shares) < 1.2
    figures = {each.name: each.value for each in figures_of("computers", [played])}
    assert figures["computers: periods that broke a limit"] == played.broken_percent()
