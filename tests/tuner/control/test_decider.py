"""After its search, the decider looks again from time to time at what may be faster."""

from __future__ import annotations

import pytest

from envs.simulator.known_devices import model_for
from envs.spec import Configuration, Objective
from envs.traces.reader import Trace
from tuner.control.decider import Decider
from tuner.policy.bundle import Bundle


@pytest.fixture
def settled(bundle: Bundle, trace: Trace) -> Decider:
    """A decider that has measured everything, and found nothing more worth measuring."""
    model = model_for(trace.space)
    decider = Decider(bundle, lambda rates: model, None, Objective((200.0,)), (float("inf"),))
    for placements in trace.placements:
        configuration = Configuration.of(placements)
        decider.tell(configuration, trace.outcome(configuration))
    assert decider.experiment() is None
    return decider


def test_the_less_is_to_gain_the_longer_it_serves_before_it_looks_again(
    settled: Decider, trace: Trace
) -> None:
    """The horizon of a look is the time that the present configuration has served."""
    fastest, *others = settled.good_configurations()
    by_speed = sorted(others, key=lambda each: float(trace.outcome(each).throughput_ips[0]))
    waited = [periods_until_a_look(settled, trace, each) for each in (by_speed[0], by_speed[-3])]
    assert 0 < waited[0] <= waited[1]
    assert settled.experiment() == fastest, "it is the most promising one"


def periods_until_a_look(settled: Decider, trace: Trace, serving: Configuration) -> int:
    for period in range(200):
        settled.tell(serving, trace.outcome(serving))
        if settled.experiment() is not None:
            return period
    return 200


def test_the_fastest_known_is_left_alone(settled: Decider, trace: Trace) -> None:
    fastest = settled.good_configurations()[0]
    assert periods_until_a_look(settled, trace, fastest) == 200


def test_a_gain_that_does_not_make_up_for_its_change_is_not_measured(
    bundle: Bundle, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_for(trace.space)
    decider = Decider(bundle, lambda rates: model, None, Objective((200.0,)), (float("inf"),))
    start = trace.space.default()
    decider.tell(start, trace.outcome(start))
    proposed = decider.experiment()
    assert proposed is not None
    monkeypatch.setattr("tuner.control.decider.PAYBACK_S", 1e-3)
    assert decider.experiment() != proposed
