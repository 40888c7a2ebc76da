"""What follows when nothing that should serve can, in a process that may not start anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from envs.errors import RuntimeFault
from envs.spec import Configuration, Failure, FailureKind
from envs.testing.problems import measurement
from tests.worlds import space
from tuner.control.events import Event, EventKind
from tuner.control.failed_before import MOST_RESTARTS, FailedBefore
from tuner.control.guard import Guard
from tuner.control.ladder import Ladder
from tuner.control.monitors.failures import FailureMonitor
from tuner.control.offer import Offer
from tuner.control.recovery import Recovery
from tuner.policy.thresholds import DEFAULT_THRESHOLDS

WORLD = space()
SMALL, RESERVE = Configuration((((1, 1), (0, 0)),)), Configuration((((0, 0), (1, 1)),))
SERVES, FAILS = measurement([10.0], [5.0]), Failure(FailureKind.TIMED_OUT, "no answer")
THRESHOLDS = replace(DEFAULT_THRESHOLDS, failed_periods=3, retry_periods=20)


@pytest.fixture
def guard() -> Guard:
    return Guard(WORLD, Ladder([SMALL], RESERVE))


@pytest.fixture
def recovery(guard: Guard, tmp_path: Path) -> Recovery:
    failed_before = FailedBefore.of(tmp_path, WORLD)
    failed_before.restarts = MOST_RESTARTS
    offer, failures = Offer(WORLD, THRESHOLDS, None, {}), FailureMonitor(THRESHOLDS)
    guard.record(SMALL, kept=False, failed=True)
    return Recovery(guard, offer, failures, failed_before, ())


def test_small_configurations_are_tried_again_though_no_accelerator_was_dropped(
    guard: Guard, recovery: Recovery
) -> None:
    events: list[Event] = []
    for _ in range(20):
        assert guard.safe == RESERVE
        events += recovery.period_ended(RESERVE, SERVES)
    assert [event.kind for event in events] == [
        EventKind.LAST_RESORT,
        EventKind.ACCELERATOR_TRIED_AGAIN,
    ]
    assert "what failed may serve again" in events[-1].text
    assert guard.safe == SMALL


def test_one_failure_does_not_end_a_service_that_lives_on_the_last_resort(
    recovery: Recovery,
) -> None:
    for _ in range(10):
        recovery.period_ended(RESERVE, SERVES)
    recovery.period_ended(RESERVE, FAILS)
    recovery.period_ended(SMALL, FAILS)
    recovery.period_ended(RESERVE, SERVES)
    recovery.period_ended(RESERVE, FAILS)
    recovery.period_ended(RESERVE, FAILS)
    with pytest.raises(RuntimeFault, match="new processes did not help"):
        recovery.period_ended(RESERVE, FAILS)
