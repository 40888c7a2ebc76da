"""What may be chosen narrows with failures that have something in common, and widens again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from envs.runtimes.serving.readiness import Readiness
from envs.simulator.machine import device_of
from envs.spec import (
    Agreement,
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Place,
    Tenant,
    Workload,
)
from envs.testing.problems import measurement
from tests.envs.runtimes.serving.workshop import RIGHT, Workshop
from tests.worlds import network
from tuner.control.events import Event, EventKind
from tuner.control.failed_before import MOST_RESTARTS, FailedBefore
from tuner.control.offer import Offer
from tuner.policy.thresholds import DEFAULT_THRESHOLDS

WORLD = ConfigurationSpace(
    device_of("agx_orin_64", "MAXN"),
    Workload(tuple(Tenant(f"net{i}", network(f"net{i}")) for i in range(2))),
    3,
    (1, 4),
)
TENSOR, DLA1 = 0, 3
SERVED = Configuration((((1, 1), (0, 0), (0, 0), (1, 4)), ((1, 1), (0, 0), (0, 0), (0, 0))))


def offer(retry_periods: int = 5) -> Offer:
    return Offer(WORLD, replace(DEFAULT_THRESHOLDS, retry_periods=retry_periods), None, {})


def refused(tenant: int, batch: int) -> Failure:
    reason = f"net{tenant} on dla1 at batch {batch}: Failed to submit program to DLA engine"
    return Failure(FailureKind.INSTANCE_LOST, reason, place=Place(tenant, DLA1, batch))


def kinds(events: list[Event]) -> list[EventKind]:
    return [event.kind for event in events]


def test_three_failures_with_an_accelerator_in_common_drop_it_for_who_met_them() -> None:
    made = offer()
    assert made.space(0.0) == WORLD
    assert made.record(SERVED, refused(0, 1)) == []
    assert made.record(SERVED, refused(0, 4)) == []
    (event,) = made.record(SERVED, refused(0, 1))
    assert event.kind is EventKind.ACCELERATOR_DROPPED
    assert "net0 on dla1: no choice after 3 failures" in event.text
    assert "Failed to submit program" in event.text
    narrowed = made.space(0.0)
    assert narrowed is not None
    assert narrowed.unavailable == {(0, DLA1)}, "net1 met no failure there"


def test_a_measurement_in_between_clears_the_accelerators_that_it_used() -> None:
    made = offer()
    for _ in range(2):
        made.record(SERVED, refused(0, 4))
    assert made.record(SERVED, measurement((10.0, 5.0), (10.0, 5.0))) == []
    assert made.record(SERVED, refused(0, 4)) == []
    assert made.space(0.0) == WORLD


def test_what_was_dropped_is_tried_again_after_a_long_while() -> None:
    made = offer(retry_periods=5)
    for _ in range(3):
        made.record(SERVED, refused(0, 4))
    told = [made.period_ended() for _ in range(6)]
    assert [kinds(each) for each in told[:4]] == [[]] * 4
    assert kinds(told[4]) == [EventKind.ACCELERATOR_TRIED_AGAIN]
    assert "net0 on dla1 may serve again" in told[4][0].text
    assert told[5] == []
    assert made.space(0.0) == WORLD


def test_memory_that_ends_limits_the_instances_and_blames_no_accelerator() -> None:
    made = offer()
    ended = Failure(FailureKind.OUT_OF_MEMORY, "no memory", place=Place(0, DLA1, 4), fitted=4)
    assert made.record(SERVED, ended) == []
    (event,) = made.record(SERVED, ended)
    assert event.kind is EventKind.MEMORY_ENDED
    narrowed = made.space(0.0)
    assert narrowed is not None
    assert (narrowed.unavailable, narrowed.max_total_instances) == (frozenset(), 4)
    assert made.record(SERVED, replace(ended, fitted=3)) == []


def test_where_everything_is_dropped_nothing_is_offered() -> None:
    made = offer()
    made.drop({(0, column): "it refuses" for column in range(4)})
    assert made.space(0.0) is None
    made.restore()
    assert made.space(0.0) == WORLD


def test_restarts_are_counted_until_something_serves(tmp_path: Path) -> None:
    for number in range(MOST_RESTARTS):
        before = FailedBefore.of(tmp_path, WORLD)
        assert (before.restarts, before.may_restart) == (number, True)
        before.starting_anew({(1, TENSOR): "sticky"})
    last = FailedBefore.of(tmp_path, WORLD)
    assert (last.may_restart, last.dropped) == (False, {(1, TENSOR): "sticky"})
    last.forget()
    assert FailedBefore.of(tmp_path, WORLD).restarts == 0


@pytest.mark.parametrize("content", ["", "[]", '{"restarts": -1, "dropped": []}', "{"])
def test_a_damaged_file_of_restarts_counts_as_none(content: str, tmp_path: Path) -> None:
    FailedBefore.of(tmp_path, WORLD).path.write_text(content)
    found = FailedBefore.of(tmp_path, WORLD)
    assert (found.restarts, found.dropped) == (0, {})


def test_batch_sizes_that_cannot_be_built_leave_the_one_that_serves() -> None:
    world = replace(WORLD, batches=(1, 4, 8, 16))
    workshop = Workshop(world)
    for batch in (4, 8, 16):
        failure = Failure(FailureKind.BUILD_FAILED, "no memory")
        workshop.refuses[Place(0, TENSOR, batch)] = ConfigurationFailed(failure)
    ready = Readiness(world, workshop, lambda place: RIGHT, 0.99)
    ready.go_on([])
    assert ready._thread is not None
    ready._thread.join(60)
    made = Offer(world, DEFAULT_THRESHOLDS, ready, {})
    assert kinds(made.news()) == [EventKind.ENGINE_REFUSED] * 3
    space = made.space(0.0)
    assert space is not None
    assert space.batches_of(0, TENSOR) == (1,)
    assert not space.unavailable


def test_a_refusal_in_a_period_is_news_and_counts_once() -> None:
    workshop = Workshop(WORLD)
    workshop.refuses[Place(0, DLA1, 1)] = RuntimeError("Failed to submit program to DLA engine")
    ready = Readiness(WORLD, workshop, lambda place: RIGHT, 0.99)
    made, told = Offer(WORLD, DEFAULT_THRESHOLDS, ready, {}), list[list[EventKind]]()
    for _ in range(3):
        with pytest.raises(ConfigurationFailed) as raised:
            ready.make_ready(Place(0, DLA1, 1))
        events = made.record(SERVED, raised.value.failure) + made.news()
        told.append(kinds(events))
    refused, dropped = EventKind.ENGINE_REFUSED, EventKind.ACCELERATOR_DROPPED
    assert told == [[refused], [], [dropped]]
    assert "no choice after 3 failures" in events[0].text


def test_accelerators_may_be_judged_while_the_offer_is_narrowed() -> None:
    agreements: dict[tuple[int, int], Agreement] = {}

    class Judging(Agreement):
        @property
        def measured(self) -> bool:  # the other thread gets its turn between two of them
            agreements[1, len(agreements)] = Agreement(1.0)
            return True

    agreements |= {(0, TENSOR): Judging(1.0), (0, DLA1): Judging(0.5)}
    space = Offer(WORLD, DEFAULT_THRESHOLDS, None, agreements).space(0.9)
    assert space is not None
    assert space.unavailable == {(0, DLA1)}
