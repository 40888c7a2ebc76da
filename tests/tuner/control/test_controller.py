"""The loop: it finds a configuration, keeps the limits when they change, and survives restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fault_worlds import SimulatedWorld
from benchmarks.faults import REFERENCE_BUNDLE, Campaign
from envs.errors import ObjectiveError
from envs.spec import Configuration, Measurement
from tests.tuner.control.campaigns import held, kinds, policy_of, write_limits
from tuner.control.events import EventKind
from tuner.control.guard import Phase


def test_it_searches_within_its_budget_and_then_holds_what_is_nearly_the_best(
    saturated: Campaign,
) -> None:
    periods = [saturated.period() for _ in range(20)]
    assert sum(period.phase is Phase.SEARCHING for period in periods) <= 8
    assert len({period.configuration for period in periods[-8:]}) == 1
    assert all(period.kept for period in periods[-8:])
    assert saturated.last_good.load() == periods[-1].configuration


def test_tighter_limits_are_kept_from_the_next_period_on_and_wider_ones_are_used(
    saturated: Campaign,
) -> None:
    saturated.settle()
    wide = saturated.period()
    assert isinstance(wide.outcome, Measurement)
    watts = 0.8 * wide.outcome.power_w
    write_limits(saturated, f'{{"power_w": {watts}}}', 1)
    periods = [saturated.period() for _ in range(16)]
    assert periods[0].events[0].kind is EventKind.LIMITS_CHANGED
    assert sum(not period.kept for period in periods) <= 1
    outcome = periods[-1].outcome
    assert isinstance(outcome, Measurement)
    assert outcome.power_w <= watts


def test_limits_that_cannot_be_read_are_an_event_and_the_old_ones_stay(campaign: Campaign) -> None:
    campaign.settle()
    before = campaign.limits.objective
    write_limits(campaign, "{", 1)
    period = campaign.period()
    (event,) = period.events
    assert event.kind is EventKind.LIMITS_REFUSED
    assert "the limits stay as they are" in event.text
    assert (period.objective, period.kept) == (before, True)


def test_limits_in_the_file_hold_from_the_start_and_a_wrong_file_is_an_error_then(
    tmp_path: Path,
) -> None:
    (tmp_path / "limits.json").write_text('{"p99_ms": 3}')
    campaign = Campaign(SimulatedWorld(tmp_path, 1.0), tmp_path, 1.0)
    first, second = campaign.period(), campaign.period()
    assert (first.objective.p99_ms, first.phase, first.events) == ((3.0,), Phase.SAFE, ())
    assert (second.objective.p99_ms, second.kept) == ((3.0,), True)
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
        before.last_good.keep(kept)
        again = Campaign(SimulatedWorld(tmp_path, 1.0), tmp_path, 1.0)
        assert again.period().configuration == kept
        again.close()
    before.close()


def test_a_policy_that_fails_is_left_out(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign.settle()
    monkeypatch.setattr(policy_of(campaign), "experiment", lambda: 1 / 0)
    periods = [campaign.period() for _ in range(4)]
    assert periods[0].events[0].kind is EventKind.POLICY_FAILED
    assert "ZeroDivisionError" in periods[0].events[0].text
    assert all(period.kept for period in periods)


def test_without_a_policy_the_safe_default_serves_and_then_what_the_model_promises(
    tmp_path: Path,
) -> None:
    cut = tmp_path / "cut.bundle"
    cut.write_bytes(REFERENCE_BUNDLE.read_bytes()[:500])
    campaign = Campaign(SimulatedWorld(tmp_path, 1.0), tmp_path, 1.0, cut)
    first, *others = [campaign.period() for _ in range(4)]
    assert (first.phase, first.configuration.total_instances) == (Phase.SAFE, 1)
    assert all(period.kept for period in others)
    assert {period.configuration for period in others} == {others[0].configuration}
    campaign.close()


def test_with_the_goal_energy_the_least_power_that_keeps_up_is_held_and_follows_arrivals(
    campaign: Campaign,
) -> None:
    write_limits(campaign, '{"goal": "energy"}', 1)
    periods = [campaign.period() for _ in range(24)]
    assert any("least energy for an inference" in each.text for each in periods[0].events)
    (least,) = periods[-1].objective.min_rate_ips
    served = {each.configuration: each.score for each in periods if each.kept}
    assert periods[-1].score >= 0.97 * max(served.values()), "inferences per joule"
    campaign.world.arrivals_times(0.5)
    after = [campaign.period() for _ in range(16)]
    assert EventKind.ARRIVALS_CHANGED in kinds(after)
    assert after[-1].objective.min_rate_ips == pytest.approx((least / 2,), rel=0.05)
    assert all(each.kept for each in after[-4:])
