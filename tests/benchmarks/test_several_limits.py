"""Limits of live networks lie between two configurations, and one of these keeps all of them."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.live_tuning import LiveOptions, Measured
from benchmarks.several_limits import Ends, kept_ends, measured_ends
from envs.catalog.reference_networks import reference_network
from envs.errors import ObjectiveError
from envs.problems.draw import described
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Measurement,
    Origin,
    Outcome,
    TenantMeasurement,
    local_computer,
    workload_of,
)
from tuner.device import Device

OPTIONS = LiveOptions(limits=1, measurements=1, pairs=2, window_s=0.1, pause_s=0.0)


class Told:
    """A device whose outcome is told for each configuration; windows alternate around it."""

    def __init__(self, outcomes: dict[int, tuple[float, float, float]], scatter: float) -> None:
        networks = [described(reference_network(name)) for name in ("resnet50", "mobilenet_v2")]
        self.space = ConfigurationSpace(local_computer(), workload_of(networks), 2, (1, 2))
        self.outcomes, self.scatter, self.windows = outcomes, scatter, 0
        self.failing, self.turns = set[int](), Counter[int]()

    def measure(self, configuration: Configuration, window_s: float) -> Outcome:
        self.windows += 1
        which = int(configuration.array()[0, 0, 0])
        if which in self.failing:
            return Failure(FailureKind.OUT_OF_MEMORY, "told")
        ips, *late_ms = self.outcomes[which]
        self.turns[which] += 1
        factor = np.exp(self.scatter * (-1) ** self.turns[which])
        tenants = tuple(
            TenantMeasurement(ips, *(ms * factor,) * 3, math.nan, math.nan, 100) for ms in late_ms
        )
        return Measurement(tenants, window_s, Origin.SIMULATED)


def configuration(which: int) -> Configuration:
    placements = np.ones((2, 2, 2), dtype=np.int16)
    placements[0, 0, 0] = which
    return Configuration.of(placements)


def measured(device: Told) -> Measured:
    found = Measured(cast(Device, cast(Any, device)), OPTIONS)
    for which in device.outcomes:
        found.add(configuration(which))
    return found


#: Throughput and p99 of both networks: the first is the calmest, the last has most throughput.
OUTCOMES = {
    1: (10.0, 10.0, 40.0),
    2: (20.0, 20.0, 50.0),
    3: (25.0, 30.0, 80.0),
    4: (40.0, 40.0, 20.0),
}


def test_limits_lie_between_the_calmest_and_the_fastest() -> None:
    device = Told(OUTCOMES, 0.0)
    ends = measured_ends(measured(device), len(OUTCOMES), 2)
    assert ends.calm_ms == pytest.approx((10.0, 40.0))
    assert ends.fast_ms == pytest.approx((40.0, 20.0))
    # Half way in logarithms for the first; the second is calmer where it is fast, so that what the
    # calmest has is the limit.
    assert ends.limits_ms(0.5) == pytest.approx((20.0, 40.0))
    objectives = ends.objectives(2)
    assert [each.p99_ms[0] for each in objectives] == pytest.approx([10 * 4**0.35, 10 * 4**0.65])


def test_no_limit_is_nearer_to_the_calmest_than_its_windows_scatter() -> None:
    ends = Ends((10.0, 10.0), (11.0, 40.0), (0.1, 0.1))
    assert ends.limits_ms(0.5) == pytest.approx((10 * np.exp(0.2), 20.0))


def test_a_scatter_that_is_known_is_found() -> None:
    ends = measured_ends(measured(Told(OUTCOMES, 0.1)), len(OUTCOMES), 4)
    # Two values at +-0.1: the standard deviation of four of them is 0.1 sqrt(4/3).
    assert ends.scatter == pytest.approx((0.1 * np.sqrt(4 / 3),) * 2)


def test_a_candidate_that_fails_is_no_end() -> None:
    device = Told(OUTCOMES, 0.0)
    found = measured(device)
    device.failing = {1}
    assert measured_ends(found, len(OUTCOMES), 2).calm_ms == pytest.approx((40.0, 20.0))
    device.failing = {1, 2, 3, 4}
    with pytest.raises(ObjectiveError, match="failed"):
        measured_ends(found, len(OUTCOMES), 2)


def test_an_interrupted_search_goes_on_under_the_same_limits(tmp_path: Path) -> None:
    device = Told(OUTCOMES, 0.1)
    found, path = measured(device), tmp_path / "limits.json"
    first = kept_ends(path, found, len(OUTCOMES), 2)
    windows = device.windows
    assert kept_ends(path, found, len(OUTCOMES), 2) == first
    assert device.windows == windows
