"""Helpers for tests that put a controller through changes and faults."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmarks.faults import Campaign
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import Configuration
from tuner.control.decider import Decider
from tuner.control.events import EventKind
from tuner.control.guard import Phase
from tuner.control.period import Period


def held(campaign: Campaign) -> Configuration:
    """Return what serves once the search is over."""
    periods = [campaign.period() for _ in range(16)]
    assert periods[-1].phase is Phase.HOLDING
    return periods[-1].configuration


def policy_of(campaign: Campaign) -> Decider:
    decider = campaign.controller._policy.decider
    assert decider is not None
    return decider


def propose(
    campaign: Campaign, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the policy propose this configuration next."""
    decider = policy_of(campaign)
    monkeypatch.setattr(
        decider,
        "experiment",
        lambda: None if configuration in decider._measured else configuration,
    )


def write_limits(campaign: Campaign, text: str, stamp: int) -> None:
    campaign.limits_path.write_text(text)
    os.utime(campaign.limits_path, ns=(stamp, stamp))


def kinds(periods: Sequence[Period]) -> list[EventKind]:
    """Return the kinds of all events, in their order."""
    return [event.kind for period in periods for event in period.events]


def slower(model: DeviceModel, share: float) -> Contexts:
    """Return the same board at a share of its clock."""
    return replace(model.nominal(), clock=share * model.nominal().clock)
