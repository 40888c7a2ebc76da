"""Who may act: a Lease with a pretended API server and a clock that the test moves."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from cluster.kubernetes.act import act
from cluster.kubernetes.client import TIMEOUT_S, ApiError, Unreachable
from cluster.kubernetes.decide import Settings, decide
from cluster.kubernetes.lease import DURATION_S, NAME, Leadership, LeaseLost
from tests.cluster.kubernetes.pretended import Pretended


class Server:
    """Keeps one Lease, and counts its versions as an API server does."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.away = False
        self.asked: list[str] = []
        self._version = 0

    def ask(
        self,
        verb: str,
        resource: str,
        namespace: str = "",
        name: str = "",
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        self.asked.append(f"{verb} {resource}")
        if self.away:
            raise Unreachable("away")
        if resource != "leases":
            return {}
        if verb == "get":
            if self.lease is None:
                raise ApiError(404, "no such lease")
            return copy.deepcopy(self.lease)
        assert body is not None
        found = copy.deepcopy(dict(body))
        if verb == "create" and self.lease is not None:
            raise ApiError(409, "exists")
        if verb == "update":
            assert self.lease is not None
            if found["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
                raise ApiError(409, "another version")
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        self.lease = found
        return found


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def leader(server: Server, clock: Clock, name: str) -> Leadership:
    return Leadership(server, "orin-tuner", name, clock=clock)  # type: ignore[arg-type]


def test_the_first_holds_it_and_the_second_waits(server: Server, clock: Clock) -> None:
    first, second = leader(server, clock, "first"), leader(server, clock, "second")
    assert first.ask()
    assert not second.ask()
    for _ in range(20):
        clock.now += 3
        assert first.ask()
        assert not second.ask()
    assert server.lease is not None
    assert server.lease["metadata"]["name"] == NAME
    assert server.lease["spec"]["leaseTransitions"] == 1


def test_nobody_holds_it_twice_while_its_holder_is_cut_off(server: Server, clock: Clock) -> None:
    first, second = leader(server, clock, "first"), leader(server, clock, "second")
    first.ask()
    second.ask()
    lost_at = taken_at = None
    for _ in range(200):
        clock.now += 0.1
        lost_at = lost_at or (None if first.held else clock.now)
        if second.ask():
            taken_at = clock.now
            break
    assert lost_at is not None
    assert taken_at is not None
    # A request that was begun at the last moment has ended before another may act.
    assert lost_at + TIMEOUT_S < taken_at
    assert taken_at - 1000.0 == pytest.approx(DURATION_S, abs=0.3)
    assert not first.ask()


def test_one_that_comes_late_waits_for_as_long(server: Server, clock: Clock) -> None:
    leader(server, clock, "first").ask()
    clock.now += 100
    second = leader(server, clock, "second")
    assert not second.ask(), "nobody knows when it was renewed last"
    clock.now += DURATION_S + 0.1
    assert second.ask()


def test_a_lease_that_was_given_back_is_free(server: Server, clock: Clock) -> None:
    first, second = leader(server, clock, "first"), leader(server, clock, "second")
    first.ask()
    first.stop()
    assert not first.held
    assert second.ask()


def test_of_two_that_take_it_at_once_one_gets_it(server: Server, clock: Clock) -> None:
    first, second = leader(server, clock, "first"), leader(server, clock, "second")
    first.ask()
    first.stop()
    read = server.ask("get", "leases")
    assert second.ask()
    server.lease, newer = read, server.lease
    third = leader(server, clock, "third")
    seen = third._read()
    server.lease = newer
    with pytest.raises(ApiError, match="another version"):
        third._write(seen, "third")
    assert not third.held


def test_without_the_server_it_is_held_until_it_runs_out(server: Server, clock: Clock) -> None:
    first = leader(server, clock, "first")
    first.ask()
    server.away = True
    with pytest.raises(Unreachable):
        first.ask()
    assert first.held
    clock.now += DURATION_S
    assert not first.held
    with pytest.raises(LeaseLost):
        first.check()


def test_no_request_is_made_without_the_lease(server: Server, clock: Clock) -> None:
    cluster = Pretended()
    cluster.node("node-0")
    cluster.application("door")
    world = cluster.world()
    plan = decide(world, Settings())
    first = leader(server, clock, "first")
    with pytest.raises(LeaseLost):
        act(server, plan, world, first.check)  # type: ignore[arg-type]
    assert server.asked == []
    first.ask()
    server.asked.clear()
    assert act(server, plan, world, first.check) == 3  # type: ignore[arg-type]
    assert server.asked == [
        "create deployments",
        "create services",
        "create events",
        "patch inferenceapplications/status",
    ]


@pytest.mark.parametrize(
    ("status", "phase", "words"),
    [
        (403, "Failed", "the API server takes no deployments default/door-"),
        (422, "Failed", "exceeds its quota"),
        (409, "Failed", "exists and is not the controller's"),
    ],
)
def test_what_is_refused_is_told_and_stops_nobody_else(
    server: Server,
    status: int,
    phase: str,
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Pretended()
    cluster.node("node-0")
    for name in ("door", "gate"):
        cluster.application(name)
    world = cluster.world()
    written: dict[str, Any] = {}

    def ask(verb: str, resource: str, *rest: Any) -> dict[str, Any]:
        if resource == "deployments" and "door" in rest[2]["metadata"]["name"]:
            raise ApiError(status, "exceeds its quota")
        if verb == "patch":
            written[rest[1]] = rest[2]["status"]
        return {}

    server.ask = ask  # type: ignore[assignment]
    with caplog.at_level(logging.CRITICAL):
        act(server, decide(world, Settings()), world, lambda: None)  # type: ignore[arg-type]
    assert written["door"]["phase"] == phase
    assert words in written["door"]["message"]
    assert written["gate"]["phase"] == "Placing"
