"""An accident is retried once; other failures are not, and too many in a row are hopeless."""

from __future__ import annotations

import pytest

from envs.spec import Failure, FailureKind
from tests.tuner.control.monitors.windows import SERVING, WINDOW
from tuner.control.events import Event, EventKind
from tuner.control.monitors.failures import FailureMonitor
from tuner.policy.thresholds import DEFAULT_THRESHOLDS

LOST = Failure(FailureKind.INSTANCE_LOST, "it died")


@pytest.mark.parametrize(
    ("kind", "experiment", "retried"),
    [
        (FailureKind.INSTANCE_LOST, False, True),
        (FailureKind.TIMED_OUT, False, True),
        (FailureKind.INSTANCE_LOST, True, False),
        (FailureKind.OUT_OF_MEMORY, False, False),
    ],
)
def test_only_an_accident_of_what_served_before_is_retried(
    kind: FailureKind, experiment: bool, retried: bool
) -> None:
    failures = FailureMonitor(DEFAULT_THRESHOLDS)
    event = failures.update(SERVING, Failure(kind, "why"), experiment)
    assert event == Event(EventKind.MEASUREMENT_FAILED, f"{kind.value}: why")
    assert (failures.retry == SERVING) is retried
    assert failures.failed == SERVING


def test_a_retry_that_fails_is_not_retried() -> None:
    failures = FailureMonitor(DEFAULT_THRESHOLDS)
    failures.update(SERVING, LOST, experiment=False)
    failures.update(SERVING, LOST, experiment=False)
    assert failures.retry is None


def test_failures_in_a_row_are_hopeless_and_a_measurement_ends_the_row() -> None:
    failures = FailureMonitor(DEFAULT_THRESHOLDS)
    for _ in range(DEFAULT_THRESHOLDS.failed_periods - 1):
        failures.update(SERVING, LOST, experiment=False)
    assert not failures.hopeless
    assert failures.update(SERVING, WINDOW, experiment=False) is None
    failures.update(SERVING, LOST, experiment=False)
    assert not failures.hopeless
    assert failures.failed == SERVING
