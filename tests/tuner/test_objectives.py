"""Least rates follow from arrivals, and what was not asked for is said."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from envs.errors import ObjectiveError
from envs.spec import Configuration, Measurement, Workload, at_mean_arrivals, workload_of
from tests.worlds import network, respond, space
from tuner.objectives import asked, at_arrivals, objective_of, remarks_on


def serving(*rates_ips: float) -> Workload:
    return workload_of([network(f"n{i}") for i in range(len(rates_ips))], list(rates_ips))


@pytest.mark.parametrize("goal", ["energy", "latency"])
def test_arrivals_give_the_least_rate_of_every_goal_but_throughput(goal: str) -> None:
    workload = serving(100.0, math.inf)
    assert objective_of(asked(), workload).min_rate_ips == ()
    given = asked(goal=goal)
    objective = objective_of(given, workload)
    assert objective.min_rate_ips == (95.0, 0.0)
    free, kept_up = remarks_on(given, objective, workload)
    assert "for n1: the smallest configuration may win" in free
    assert "at least 0.95 of the arrivals must be served" in kept_up


def test_a_rate_that_was_given_counts_and_nothing_is_said() -> None:
    given = asked(goal="energy", min_rate_ips=[99.0])
    objective = objective_of(given, serving(100.0))
    assert objective.min_rate_ips == (99.0,)
    assert remarks_on(given, objective, serving(100.0)) == []
    one_each = objective_of(asked(min_rate_ips=[5.0, 7.0]), serving(math.inf, math.inf))
    assert one_each.min_rate_ips == (5.0, 7.0)


def test_more_than_arrives_is_refused_at_first_and_lowered_when_arrivals_fall() -> None:
    with pytest.raises(ObjectiveError, match="120 of n0 is more than the 100 requests/s"):
        objective_of(asked(min_rate_ips=120.0), serving(100.0))
    objective = objective_of(asked(min_rate_ips=80.0), serving(100.0))
    assert at_arrivals(objective, (40.0,)).min_rate_ips == (38.0,)
    assert at_arrivals(objective, (90.0,)).min_rate_ips == (80.0,)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"goal": "speed"}, "goal=speed is unknown: choose from throughput, energy, latency"),
        ({"min_rate_ips": [1.0, 2.0]}, "2 values for 1 tenants"),
        ({"min_rate_ips": -1.0}, "min_rate_ips of tenant 1 is -1.0"),
        ({"min_rate_ips": math.nan}, "min_rate_ips of tenant 1 is nan"),
        ({"min_rate_ips": "many"}, "min_rate_ips='many' is no number"),
    ],
)
def test_a_wrong_value_is_one_sentence(given: dict[str, object], words: str) -> None:
    with pytest.raises(ObjectiveError, match=words):
        objective_of(asked(**given), serving(math.inf))  # type: ignore[arg-type]


def test_a_measured_window_counts_as_if_the_mean_rate_had_come() -> None:
    world = space()
    found = respond(world, Configuration.of(world.catalogue[5]))  # says that it was measured
    for requests, served_ips, expected_ips in [
        (240, 80.0, 100.0),  # fewer came than usual, and all were served
        (360, 120.0, 100.0),  # more came
        (300, 60.0, 60.0),  # three of five were served
        (300, 99.7, 100.0),  # one was open when the window ended
        (0, 0.0, 0.0),  # none came: nothing is known
    ]:
        tenant = replace(found.tenants[0], requests=requests, throughput_ips=served_ips)
        window = replace(found, tenants=(tenant,), window_s=3.0)
        judged = at_mean_arrivals(window, (100.0,))
        assert isinstance(judged, Measurement)
        assert judged.throughput_ips.tolist() == pytest.approx([expected_ips])
        assert at_mean_arrivals(window, (math.inf,)) is window
