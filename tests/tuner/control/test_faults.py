"""The loop while engines, sensors and drivers fail."""

from __future__ import annotations

import pytest

from benchmarks.fault_worlds import HANG, KILL, NAN, NO_MEMORY, STUCK
from benchmarks.faults import Campaign
from envs.errors import RuntimeFault
from envs.spec import Configuration, Failure, FailureKind, Measurement
from tests.tuner.control.campaigns import held, kinds, propose, write_limits
from tuner.control.events import EventKind
from tuner.control.guard import Phase


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
    propose(campaign, campaign.world.service.space.default(), monkeypatch)
    serving = held(campaign)
    campaign.world.break_engine(KILL)
    assert isinstance(campaign.period().outcome, Failure)
    campaign.world.break_engine(KILL)
    left = campaign.period()
    assert isinstance(left.outcome, Measurement), "another one serves in the same period"
    assert left.configuration != serving


@pytest.mark.parametrize("fault", [NAN, STUCK])
def test_while_the_sensor_reads_nothing_the_safe_default_serves(
    campaign: Campaign, fault: str
) -> None:
    campaign.settle()
    campaign.world.break_sensor(fault)
    periods = [campaign.period() for _ in range(5)]
    assert (periods[-1].phase, periods[-1].kept) == (Phase.SAFE, False)
    assert kinds(periods) == [EventKind.POWER_UNREADABLE]
    campaign.world.break_sensor("")
    assert EventKind.POWER_READABLE in kinds([campaign.period() for _ in range(4)])
    assert campaign.period().phase is not Phase.SAFE


def test_without_a_limit_on_power_a_broken_sensor_does_not_matter(campaign: Campaign) -> None:
    held(campaign)
    campaign.world.break_sensor(NAN)
    assert [campaign.period().phase for _ in range(3)][-1] is Phase.SAFE
    write_limits(campaign, '{"power_w": null, "p99_ms": 100}', 1)
    last = [campaign.period() for _ in range(2)][-1]
    assert last.phase is not Phase.SAFE
    assert last.kept


def test_joules_cannot_be_saved_while_the_sensor_reads_nothing(campaign: Campaign) -> None:
    """As for a limit on power: said once, and the safe default serves until it reads again."""
    write_limits(campaign, '{"power_w": null, "p99_ms": 100, "goal": "energy"}', 1)
    held(campaign)
    campaign.world.break_sensor(NAN)
    periods = [campaign.period() for _ in range(5)]
    assert kinds(periods) == [EventKind.POWER_UNREADABLE]
    assert (periods[-1].phase, periods[-1].kept) == (Phase.SAFE, False)
    campaign.world.break_sensor("")
    assert EventKind.POWER_READABLE in kinds([campaign.period() for _ in range(4)])


def test_no_memory_for_an_experiment_leaves_what_serves(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = campaign.period()
    propose(campaign, Configuration((((2, 4), (0, 0), (0, 0), (0, 0)),)), monkeypatch)
    campaign.world.break_engine(NO_MEMORY)
    failed = campaign.period()
    assert isinstance(failed.outcome, Failure)
    assert failed.outcome.kind is FailureKind.OUT_OF_MEMORY
    assert campaign.period().configuration == first.configuration
    assert all(campaign.period().configuration != failed.configuration for _ in range(12))


def test_an_exception_of_a_driver_fails_one_period_and_a_process_that_serves_nothing_ends(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(campaign)

    def apply(configuration: Configuration) -> None:
        raise MemoryError("cuMemAlloc failed")

    with monkeypatch.context() as broken:
        broken.setattr(campaign.world.runtime, "apply", apply)
        period = campaign.period()
    assert isinstance(period.outcome, Failure)
    assert period.events[-1].kind is EventKind.MEASUREMENT_FAILED
    assert "MemoryError: cuMemAlloc failed" in period.events[-1].text
    assert [campaign.period().kept for _ in range(4)][-1]
    monkeypatch.setattr(campaign.world.runtime, "apply", apply)
    with pytest.raises(RuntimeFault, match="10 periods in a row"):
        [campaign.period() for _ in range(20)]
