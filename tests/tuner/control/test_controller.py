"""The loop: finds a configuration, keeps the limits when conditions change, and survives whatever fails around it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fault_worlds import HANG, KILL, NAN, NO_MEMORY, STUCK, SimulatedWorld
from benchmarks.faults import BUNDLE, Campaign
from envs.configuration import Configuration
from envs.measurement import Failure, FailureKind, Measurement
from envs.runtimes.simulated import SimulatedRuntime
from tuner.control.guard import Phase
from tuner.control.watch import moved


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    made = Campaign(SimulatedWorld(tmp_path, 1.0), tmp_path, 1.0)
    yield made
    made.close()


@pytest.fixture
def saturated(tmp_path: Path) -> Iterator[Campaign]:
    made = Campaign(SimulatedWorld(tmp_path, 1.0, math.inf), tmp_path, 1.0)
    yield made
    made.close()


def held(campaign: Campaign) -> Configuration:
    """What serves once the search is over."""
    periods = [campaign.period() for _ in range(16)]
    assert periods[-1].phase is Phase.HOLDING
    return periods[-1].configuration


def written(campaign: Campaign, text: str, stamp: int) -> None:
    campaign.limits_path.write_text(text)
    os.utime(campaign.limits_path, ns=(stamp, stamp))


def test_it_searches_within_its_budget_and_then_holds_what_is_nearly_the_best(saturated: Campaign) -> None:
    periods = [saturated.period() for _ in range(20)]
    assert sum(period.phase is Phase.SEARCHING for period in periods) <= 8
    assert len({period.configuration for period in periods[-8:]}) == 1
    assert all(period.kept for period in periods[-8:])
    assert saturated.memory.load() == periods[-1].configuration


def test_tighter_limits_are_kept_from_the_next_period_on_and_wider_ones_are_used(saturated: Campaign) -> None:
    saturated.settle()
    wide = saturated.period()
    assert isinstance(wide.outcome, Measurement)
    watts = 0.8 * wide.outcome.power_w
    written(saturated, f'{{"power_w": {watts}}}', 1)
    periods = [saturated.period() for _ in range(16)]
    assert "limits changed" in periods[0].events[0]
    assert sum(not period.kept for period in periods) <= 1
    outcome = periods[-1].outcome
    assert isinstance(outcome, Measurement)
    assert outcome.power_w <= watts


def test_limits_that_cannot_be_read_are_an_event_and_the_old_ones_stay(campaign: Campaign) -> None:
    campaign.settle()
    before = campaign.limits.objective
    written(campaign, "{", 1)
    period = campaign.period()
    assert any("the limits stay as they are" in event for event in period.events)
    assert (period.objective, period.kept) == (before, True)


@pytest.mark.parametrize("fault", [KILL, HANG])
def test_an_instance_that_is_lost_is_started_again_in_the_same_configuration(campaign: Campaign, fault: str) -> None:
    serving = held(campaign)
    campaign.world.break_engine(fault)
    assert isinstance(campaign.period().outcome, Failure)
    again = campaign.period()
    assert (again.configuration, again.kept) == (serving, True)


def test_a_configuration_that_loses_its_instances_twice_is_left(campaign: Campaign) -> None:
    serving = held(campaign)
    for _ in range(2):
        campaign.world.break_engine(KILL)
        assert isinstance(campaign.period().outcome, Failure)
    assert campaign.period().configuration != serving


@pytest.mark.parametrize("fault", [NAN, STUCK])
def test_while_the_sensor_says_nothing_the_safe_default_serves(campaign: Campaign, fault: str) -> None:
    campaign.settle()
    campaign.world.break_sensor(fault)
    periods = [campaign.period() for _ in range(5)]
    assert (periods[-1].phase, periods[-1].kept) == (Phase.SAFE, False)
    assert sum("the power sensor" in event for period in periods for event in period.events) == 1
    campaign.world.break_sensor("")
    assert any("is back" in event for period in [campaign.period() for _ in range(4)] for event in period.events)
    assert campaign.period().phase is not Phase.SAFE


def test_no_memory_for_an_experiment_leaves_what_serves(campaign: Campaign) -> None:
    first = campaign.period()
    campaign.world.break_engine(NO_MEMORY)
    failed = campaign.period()
    assert isinstance(failed.outcome, Failure)
    assert failed.outcome.kind is FailureKind.OUT_OF_MEMORY
    assert campaign.period().configuration == first.configuration
    assert all(campaign.period().configuration != failed.configuration for _ in range(12))


def test_more_arrivals_make_it_decide_anew(campaign: Campaign) -> None:
    campaign.settle()
    campaign.world.arrivals_times(3.0)
    periods = [campaign.period() for _ in range(8)]
    assert any("arrivals changed" in event for event in periods[0].events)
    assert sum(not period.kept for period in periods) <= 1
    outcome = periods[-1].outcome
    assert isinstance(outcome, Measurement)
    assert outcome.tenants[0].throughput_ips == pytest.approx(1200, rel=0.1)


def test_a_device_that_is_no_longer_what_it_was_is_measured_anew(saturated: Campaign) -> None:
    saturated.settle()
    serving = saturated.period()
    assert isinstance(serving.outcome, Measurement)
    written(saturated, f'{{"p99_ms": {1.3 * serving.outcome.p99_ms[0]}}}', 1)
    saturated.settle()
    world = saturated.world
    assert isinstance(world, SimulatedWorld)
    model = world.model_at((math.inf,))
    slow = model.nominal()
    world.runtime.become(SimulatedRuntime(model, type(slow)(**{**slow.__dict__, "clock": 0.55 * slow.clock})))
    periods = [saturated.period() for _ in range(16)]
    assert any("measuring anew" in event for period in periods for event in period.events)
    assert all(period.kept for period in periods[-5:])


def test_a_policy_that_fails_is_left_out(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign.settle()
    decider = campaign.controller._decider
    assert decider is not None
    monkeypatch.setattr(decider, "resting", lambda current: 1 / 0)
    periods = [campaign.period() for _ in range(4)]
    assert "ZeroDivisionError" in periods[0].events[0]
    assert all(period.kept for period in periods)


def test_without_a_policy_the_safe_default_serves(tmp_path: Path) -> None:
    cut = tmp_path / "cut.bundle"
    cut.write_bytes(BUNDLE.read_bytes()[:500])
    campaign = Campaign(SimulatedWorld(tmp_path, 1.0), tmp_path, 1.0, cut)
    assert all(campaign.period().kept for _ in range(3))
    campaign.close()


def test_arrivals_have_moved_only_beyond_their_own_scatter() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(40.0 * 3.0, 2000)
    assert np.mean([moved(count / 3.0, 40.0, 3.0, 0.1) for count in counts]) < 0.001
    assert moved(120.0, 40.0, 3.0, 0.25)
