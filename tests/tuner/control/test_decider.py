"""After its search, the decider looks again from time to time at what may be faster."""

from __future__ import annotations

import pytest

from envs.simulator.device_model import model_for
from envs.spec import Configuration, Objective
from envs.traces.reader import Trace
from tuner.control.decider import Decider
from tuner.policy.bundle import Bundle
from tuner.policy.online_tuner import OnlineTuner
from tuner.policy.thresholds import DEFAULT_THRESHOLDS

PERIODS = DEFAULT_THRESHOLDS.recheck_periods


@pytest.fixture
def settled(bundle: Bundle, trace: Trace) -> Decider:
    """A decider that has measured everything, and found nothing more worth measuring."""
    model = model_for(trace.space)
    decider = Decider(bundle, lambda rates: model, None, Objective((200.0,)), (float("inf"),))
    for placements in trace.placements:
        configuration = Configuration.of(placements)
        decider.tell(configuration, trace.outcome(configuration))
    for _ in range(DEFAULT_THRESHOLDS.searches_until_settled):
        decider.experiment()
    return decider


def test_once_settled_it_looks_again_only_after_every_ten_periods_of_the_same(
    settled: Decider, trace: Trace
) -> None:
    fastest, *others = settled.good_configurations()
    slow = min(others, key=lambda each: float(trace.outcome(each).throughput_ips[0]))
    asked = []
    for _ in range(3 * PERIODS):
        settled.tell(slow, trace.outcome(slow))
        asked.append(settled.experiment())
    assert [period for period, experiment in enumerate(asked) if experiment is not None] == [
        PERIODS,
        2 * PERIODS,
    ]
    assert asked[PERIODS] == asked[2 * PERIODS] == fastest


def test_what_is_served_by_turns_is_not_looked_at_again(settled: Decider, trace: Trace) -> None:
    first, second, *_ = settled.good_configurations()
    for turn in range(4 * PERIODS):
        serving = (first, second)[turn // (PERIODS // 2) % 2]
        settled.tell(serving, trace.outcome(serving))
        assert settled.experiment() is None


def test_the_fastest_known_is_left_alone(settled: Decider, trace: Trace) -> None:
    fastest = settled.good_configurations()[0]
    for _ in range(3 * PERIODS):
        settled.tell(fastest, trace.outcome(fastest))
        assert settled.experiment() is None


def test_a_gain_that_does_not_make_up_for_its_change_is_not_measured(
    bundle: Bundle, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_for(trace.space)
    decider = Decider(bundle, lambda rates: model, None, Objective((200.0,)), (float("inf"),))
    start = trace.space.default()
    decider.tell(start, trace.outcome(start))
    monkeypatch.setattr(OnlineTuner, "unmeasured_safe", lambda tuner: None, raising=False)
    proposed = decider.experiment()
    assert proposed is not None
    monkeypatch.setattr("tuner.control.decider.PAYBACK_S", 1e-3)
    assert decider.experiment() != proposed
