"""The loop while arrivals, neighbours and the device itself change."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.fault_worlds import NAN, SimulatedWorld
from benchmarks.faults import Campaign
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.device_model import DeviceModel
from envs.spec import Measurement
from tests.tuner.control.campaigns import kinds, slower, write_limits
from tuner.control.events import EventKind


class Beside(SimulatedRuntime):
    """A board that something else uses, too."""

    def measure(self, window_s: float) -> Measurement:
        return replace(super().measure(window_s), disturbed=True)


class At50C(SimulatedRuntime):
    """A board at a fixed temperature."""

    shown_c = 50.0

    def measure(self, window_s: float) -> Measurement:
        return replace(super().measure(window_s), temperature_c=self.shown_c)


class At80C(At50C):
    """A hotter board."""

    shown_c = 80.0


def tightened(campaign: Campaign) -> tuple[SimulatedWorld, DeviceModel]:
    """Settle again, under a limit that allows 1.3 times the p99 of what served before."""
    campaign.settle()
    serving = campaign.period()
    assert isinstance(serving.outcome, Measurement)
    write_limits(campaign, f'{{"p99_ms": {1.3 * serving.outcome.p99_ms[0]}}}', 1)
    campaign.settle()
    assert isinstance(campaign.world, SimulatedWorld)
    return campaign.world, campaign.world.model_at((math.inf,))


def test_more_arrivals_make_it_decide_anew(campaign: Campaign) -> None:
    campaign.settle()
    campaign.world.arrivals_times(3.0)
    periods = [campaign.period() for _ in range(8)]
    assert EventKind.ARRIVALS_CHANGED in kinds(periods[:1])
    assert sum(not period.kept for period in periods) <= 1
    outcome = periods[-1].outcome
    assert isinstance(outcome, Measurement)
    assert outcome.tenants[0].throughput_ips == pytest.approx(1200, rel=0.1)


def test_a_device_that_is_no_longer_what_it_was_is_measured_anew(saturated: Campaign) -> None:
    world, model = tightened(saturated)
    serving = saturated.period().outcome
    assert isinstance(serving, Measurement)
    write_limits(saturated, f'{{"p99_ms": {1.1 * serving.p99_ms[0]}}}', 2)
    saturated.settle()
    assert all(saturated.period().kept for _ in range(2))
    world.runtime.become(SimulatedRuntime(model, slower(model, 0.55)))
    periods = [saturated.period() for _ in range(16)]
    assert EventKind.DEVICE_CHANGED in kinds(periods)
    assert all(period.kept for period in periods[-5:])


@pytest.mark.parametrize(
    "mild", [0, 1], ids=["at once", "after a period that keeps the limit still"]
)
def test_what_was_left_because_of_a_neighbour_serves_again_once_it_is_gone(
    saturated: Campaign, mild: int
) -> None:
    world, model = tightened(saturated)
    alone = saturated.period()
    world.runtime.become(Beside(model))
    assert all(saturated.period().kept for _ in range(mild))
    world.runtime.become(Beside(model, slower(model, 0.3)))
    crowded = [saturated.period() for _ in range(16)]
    assert EventKind.DEVICE_CHANGED in kinds(crowded)
    assert crowded[-1].score < 0.9 * alone.score
    world.runtime.become(SimulatedRuntime(model))
    after = [saturated.period() for _ in range(20)]
    gone = next(
        position
        for position, period in enumerate(after)
        if EventKind.NEIGHBOUR_GONE in kinds([period])
    )
    assert after[gone + 1].configuration == alone.configuration, "it is the first to be tried"
    assert after[-1].score > 0.97 * alone.score
    assert after[-1].kept


def test_a_burst_of_two_periods_leaves_what_is_known(saturated: Campaign) -> None:
    """Both the best and the next best break the limit; then the neighbour is gone."""
    world, model = tightened(saturated)
    alone = saturated.period()
    world.runtime.become(Beside(model, slower(model, 0.1)))
    burst = [saturated.period() for _ in range(2)]
    assert not any(period.kept for period in burst)
    world.runtime.become(SimulatedRuntime(model))
    after = [saturated.period() for _ in range(6)]
    assert EventKind.DEVICE_CHANGED not in kinds(burst + after)
    assert after[-1].score > 0.97 * alone.score


def test_each_change_of_a_long_run_is_one_event_in_its_period(campaign: Campaign) -> None:
    """Changes and faults in turn; nothing else is reported, and limits are kept in between."""
    world = campaign.world
    assert isinstance(world, SimulatedWorld)
    world.runtime.become(At50C(world.model_at((400.0,))))
    changes = {
        20: lambda: world.runtime.become(At50C(world.model_at((1200.0,)), seed=1)),
        30: lambda: world.break_sensor(NAN),
        35: lambda: world.break_sensor(""),
        45: lambda: write_limits(campaign, '{"power_w": 50}', 1),
        55: lambda: world.runtime.become(At80C(world.model_at((1200.0,)), seed=2)),
        65: lambda: world.break_engine("kill"),
        75: lambda: world.runtime.become(At50C(world.model_at((300.0,)), seed=3)),
    }
    expected = {
        20: {EventKind.ARRIVALS_CHANGED},
        30: {EventKind.POWER_UNREADABLE},
        35: {EventKind.POWER_READABLE},
        45: {EventKind.LIMITS_CHANGED},
        55: {EventKind.TEMPERATURE_CHANGED},
        65: {EventKind.MEASUREMENT_FAILED},
        75: {EventKind.ARRIVALS_CHANGED, EventKind.TEMPERATURE_CHANGED},
    }
    noticed, kept = {}, []
    for number in range(85):
        changes.get(number, lambda: None)()
        period = campaign.period()
        kept.append(period.kept)
        if period.events:
            noticed[number] = set(kinds([period]))
    assert noticed == expected
    unreadable = set(range(30, 35))
    assert sum(not kept[number] for number in range(85) if number not in unreadable) <= 4
