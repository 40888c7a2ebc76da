"""The loop: finds a configuration, keeps the limits when conditions change, and survives whatever fails around it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tuner.control.arrivals import Arrivals, idle, moved, without_idle

from benchmarks.fault_worlds import HANG, KILL, NAN, NO_MEMORY, STUCK, SimulatedWorld
from benchmarks.faults import BUNDLE, Campaign
from envs.errors import ObjectiveError, RuntimeFault
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec.measurement import Failure, FailureKind, Measurement
from envs.spec.space import Configuration
from tests.worlds import respond, space
from tuner.control.guard import Phase


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


def proposes(
    campaign: Campaign, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lets the policy ask for this one next."""
    decider = campaign.controller._decider
    assert decider is not None
    monkeypatch.setattr(
        decider, "experiment", lambda: None if configuration in decider._tried else configuration
    )


def written(campaign: Campaign, text: str, stamp: int) -> None:
    campaign.limits_path.write_text(text)
    os.utime(campaign.limits_path, ns=(stamp, stamp))


def test_it_searches_within_its_budget_and_then_holds_what_is_nearly_the_best(
    saturated: Campaign,
) -> None:
    periods = [saturated.period() for _ in range(20)]
    assert sum(period.phase is Phase.SEARCHING for period in periods) <= 8
    assert len({period.configuration for period in periods[-8:]}) == 1
    assert all(period.kept for period in periods[-8:])
    assert saturated.memory.load() == periods[-1].configuration


def test_tighter_limits_are_kept_from_the_next_period_on_and_wider_ones_are_used(
    saturated: Campaign,
) -> None:
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
def test_an_instance_that_is_lost_is_started_again_in_the_same_configuration(
    campaign: Campaign, fault: str
) -> None:
    serving = held(campaign)
    campaign.world.break_engine(fault)
    assert isinstance(campaign.period().outcome, Failure)
    again = campaign.period()
    assert (again.configuration, again.kept) == (serving, True)


def test_a_configuration_that_loses_its_instances_twice_is_left(
    saturated: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = saturated
    campaign.period()
    proposes(campaign, campaign.world.service.space.default(), monkeypatch)
    serving = held(campaign)
    for _ in range(2):
        campaign.world.break_engine(KILL)
        assert isinstance(campaign.period().outcome, Failure)
    assert campaign.period().configuration != serving


@pytest.mark.parametrize("fault", [NAN, STUCK])
def test_while_the_sensor_says_nothing_the_safe_default_serves(
    campaign: Campaign, fault: str
) -> None:
    campaign.settle()
    campaign.world.break_sensor(fault)
    periods = [campaign.period() for _ in range(5)]
    assert (periods[-1].phase, periods[-1].kept) == (Phase.SAFE, False)
    assert sum("the power sensor" in event for period in periods for event in period.events) == 1
    campaign.world.break_sensor("")
    assert any(
        "is back" in event
        for period in [campaign.period() for _ in range(4)]
        for event in period.events
    )
    assert campaign.period().phase is not Phase.SAFE


def test_no_memory_for_an_experiment_leaves_what_serves(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = campaign.period()
    proposes(campaign, Configuration((((2, 4), (0, 0), (0, 0), (0, 0)),)), monkeypatch)
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


def tightened(campaign: Campaign) -> tuple[SimulatedWorld, DeviceModel]:
    """Settled again, under a limit that allows 1.3 times the p99 of what served before."""
    campaign.settle()
    serving = campaign.period()
    assert isinstance(serving.outcome, Measurement)
    written(campaign, f'{{"p99_ms": {1.3 * serving.outcome.p99_ms[0]}}}', 1)
    campaign.settle()
    assert isinstance(campaign.world, SimulatedWorld)
    return campaign.world, campaign.world.model_at((math.inf,))


def slower(model: DeviceModel, share: float) -> Contexts:
    """The same board at a share of its clock."""
    return replace(model.nominal(), clock=share * model.nominal().clock)


def test_a_device_that_is_no_longer_what_it_was_is_measured_anew(saturated: Campaign) -> None:
    world, model = tightened(saturated)
    world.runtime.become(SimulatedRuntime(model, slower(model, 0.55)))
    periods = [saturated.period() for _ in range(16)]
    assert any("measuring anew" in event for period in periods for event in period.events)
    assert all(period.kept for period in periods[-5:])


class Beside(SimulatedRuntime):
    """A board that something else uses, too."""

    def measure(self, window_s: float) -> Measurement:
        return replace(super().measure(window_s), disturbed=True)


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
    world.runtime.become(Beside(model, slower(model, 0.55)))
    crowded = [saturated.period() for _ in range(16)]
    assert any("measuring anew" in event for period in crowded for event in period.events)
    assert crowded[-1].score_ips < 0.9 * alone.score_ips
    world.runtime.become(SimulatedRuntime(model))
    after = [saturated.period() for _ in range(20)]
    at = next(
        number
        for number, period in enumerate(after)
        if any("nothing else keeps the processor busy" in event for event in period.events)
    )
    assert after[at + 1].configuration == alone.configuration, "it is the first to be tried"
    assert after[-1].score_ips > 0.97 * alone.score_ips
    assert after[-1].kept


def test_a_burst_of_two_periods_leaves_what_is_known(saturated: Campaign) -> None:
    """What serves and what is gone back to both break the limit beside the neighbour; it is gone before anything else would be measured."""
    world, model = tightened(saturated)
    alone = saturated.period()
    world.runtime.become(Beside(model, slower(model, 0.1)))
    burst = [saturated.period() for _ in range(2)]
    assert not any(period.kept for period in burst)
    world.runtime.become(SimulatedRuntime(model))
    after = [saturated.period() for _ in range(6)]
    assert not any("measuring anew" in event for period in burst + after for event in period.events)
    assert after[-1].score_ips > 0.97 * alone.score_ips


def test_a_policy_that_fails_is_left_out(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign.settle()
    decider = campaign.controller._decider
    assert decider is not None
    monkeypatch.setattr(decider, "experiment", lambda: 1 / 0)
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


def test_limits_in_the_file_hold_from_the_start_and_a_wrong_file_is_an_error_then(
    tmp_path: Path,
) -> None:
    (tmp_path / "limits.json").write_text('{"p99_ms": 3}')
    campaign = Campaign(SimulatedWorld(tmp_path, 1.0), tmp_path, 1.0)
    first = campaign.period()
    assert (first.objective.p99_ms, first.kept, first.events) == ((3.0,), True, ())
    campaign.close()
    (tmp_path / "limits.json").write_text('{"p99_ms": -3}')
    with pytest.raises(ObjectiveError, match="above zero"):
        Campaign(SimulatedWorld(tmp_path, 1.0), tmp_path, 1.0)


def test_what_was_good_last_is_served_first_by_the_next_process(tmp_path: Path) -> None:
    before = Campaign(SimulatedWorld(tmp_path, 1.0), tmp_path, 1.0)
    good = held(before)
    other = next(
        Configuration.of(row)
        for row in before.world.service.space.catalogue[::-1]
        if Configuration.of(row) != good
    )
    for kept in (good, other):
        before.memory.keep(kept)
        again = Campaign(SimulatedWorld(tmp_path, 1.0), tmp_path, 1.0)
        assert again.period().configuration == kept
        again.close()
    before.close()


def test_without_a_limit_on_power_a_broken_sensor_does_not_matter(campaign: Campaign) -> None:
    held(campaign)
    campaign.world.break_sensor(NAN)
    assert [campaign.period().phase for _ in range(3)][-1] is Phase.SAFE
    written(campaign, '{"power_w": null, "p99_ms": 100}', 1)
    assert [
        (period.phase is not Phase.SAFE, period.kept)
        for period in (campaign.period(), campaign.period())
    ][-1] == (True, True)


def test_whatever_a_driver_raises_is_a_failure_of_one_period_and_a_process_that_can_serve_nothing_ends(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(campaign)

    def apply(configuration: Configuration) -> None:
        raise MemoryError("cuMemAlloc failed")

    with monkeypatch.context() as broken:
        broken.setattr(campaign.world.runtime, "apply", apply)
        period = campaign.period()
    assert isinstance(period.outcome, Failure)
    assert "MemoryError: cuMemAlloc failed" in period.events[-1]
    assert [campaign.period().kept for _ in range(4)][-1]
    monkeypatch.setattr(campaign.world.runtime, "apply", apply)
    with pytest.raises(RuntimeFault, match="10 periods in a row"):
        [campaign.period() for _ in range(20)]


def test_a_tenant_that_nobody_asks_is_not_late_and_the_others_are_learned_from() -> None:
    outcome = respond(space(tenants=2), Configuration.of(space(tenants=2).catalogue[40]))
    quiet = replace(
        outcome,
        tenants=(
            outcome.tenants[0],
            replace(outcome.tenants[1], requests=0, throughput_ips=0.0, p99_ms=math.nan),
        ),
    )
    assert not idle(quiet)
    assert without_idle(quiet).p99_ms.tolist() == [outcome.tenants[0].p99_ms, 0.0]


def test_a_burst_is_not_a_change_of_arrivals_and_a_trebling_is_one_at_once() -> None:
    world = space()
    workload = replace(
        world.workload, tenants=(replace(world.workload.tenants[0], rate_ips=200.0),)
    )
    outcome = respond(world, Configuration.of(world.catalogue[5]))

    def window(rate: float) -> Measurement:
        return replace(
            outcome, tenants=(replace(outcome.tenants[0], requests=int(rate * outcome.window_s)),)
        )

    arrivals = Arrivals(workload, 0.25)
    said = [bool(arrivals.moved((200.0,), window(rate))) for rate in (210, 300, 200, 300, 310, 600)]
    assert said == [False, False, False, False, True, True]
