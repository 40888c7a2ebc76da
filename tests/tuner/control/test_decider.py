"""When the policy is asked for something to measure, and when it is left alone."""

from __future__ import annotations

import pytest

from envs.simulator.device_model import model_for
from envs.spec.objective import Objective
from envs.spec.space import Configuration
from envs.traces.reader import Trace
from tuner.control.decider import AGAIN, SETTLED, Decider
from tuner.policy.bundle import Bundle


@pytest.fixture
def settled(bundle: Bundle, trace: Trace) -> Decider:
    """One that has searched, and found nothing more worth measuring; all that can be measured is known by then."""
    model = model_for(trace.space)
    decider = Decider(bundle, lambda rates: model, None, Objective((200.0,)), (float("inf"),))
    for placements in trace.placements:
        configuration = Configuration.of(placements)
        decider.tell(configuration, trace.outcome(configuration))
    for _ in range(SETTLED):
        decider.experiment()
    return decider


def test_once_settled_it_looks_again_only_after_every_ten_periods_of_the_same(
    settled: Decider, trace: Trace
) -> None:
    fastest, *others = settled.resting()
    slow = min(others, key=lambda each: float(trace.outcome(each).throughput_ips[0]))
    asked = []
    for _ in range(3 * AGAIN):
        settled.tell(slow, trace.outcome(slow))
        asked.append(settled.experiment())
    assert [period for period, experiment in enumerate(asked) if experiment is not None] == [
        AGAIN,
        2 * AGAIN,
    ]
    assert asked[AGAIN] == asked[2 * AGAIN] == fastest


def test_what_is_served_by_turns_is_not_looked_at_again(settled: Decider, trace: Trace) -> None:
    first, second, *_ = settled.resting()
    for turn in range(4 * AGAIN):
        serving = (first, second)[turn // (AGAIN // 2) % 2]
        settled.tell(serving, trace.outcome(serving))
        assert settled.experiment() is None


def test_the_fastest_known_is_left_alone(settled: Decider, trace: Trace) -> None:
    fastest = settled.resting()[0]
    for _ in range(3 * AGAIN):
        settled.tell(fastest, trace.outcome(fastest))
        assert settled.experiment() is None
