"""Readiness: each engine is built, judged and proven once, in the order of demand."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pytest

from envs.runtimes.serving import turns as turns_module
from envs.runtimes.serving.readiness import Readiness
from envs.spec import (
    Agreement,
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Place,
)
from envs.testing.engines import ScriptedEngine
from tests.worlds import space

RIGHT, LOW = Agreement(1.0, "equal classes", 100), Agreement(0.5, "equal classes", 100)


class Workshop:
    """Builds engines that a test lets fail; it notes every call."""

    def __init__(self, world: ConfigurationSpace) -> None:
        self.built_places: list[Place] = []
        self.proven: list[tuple[int, int]] = []
        self.refuses: dict[Place, Exception] = {}
        self.dead: set[tuple[int, int]] = set()
        self.go_on = threading.Event()
        self.go_on.set()

    def build(self, tenant: int, accelerator: int, batch: int, step: Any = None) -> None:
        assert self.go_on.wait(60)
        place = Place(tenant, accelerator, batch)
        self.built_places.append(place)
        if place in self.refuses:
            raise self.refuses[place]

    def built(self, tenant: int, accelerator: int, batch: int) -> bool:
        return Place(tenant, accelerator, batch) in self.built_places

    def blocks(self, tenant: int, accelerator: int) -> int:
        return 1

    def calibration(self, tenant: int, accelerator: int) -> tuple[str, int]:
        return "", 0

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        raise AssertionError("nothing is unloaded here")

    def load(self, tenant: int, accelerator: int, threads: int) -> ScriptedEngine:
        self.proven.append((tenant, accelerator))
        engine = ScriptedEngine()
        engine.broken = (tenant, accelerator) in self.dead
        return engine

    def close(self) -> None:
        raise AssertionError("the runtime closes it")


WORLD = space(tenants=1, max_instances=2, batches=(1, 2))
FIRST, LARGER, OTHER = Place(0, 0, 1), Place(0, 0, 2), Place(0, 1, 1)


def made(workshop: Workshop, agreement: Agreement = RIGHT, **more: Any) -> Readiness:
    return Readiness(WORLD, workshop, lambda place: agreement, 0.99, **more)


def test_a_place_is_made_ready_once_and_only_that_is_offered() -> None:
    workshop = Workshop(WORLD)
    ready = made(workshop)
    ready.make_ready(FIRST)
    ready.make_ready(FIRST)
    assert workshop.built_places == [FIRST]
    assert ready.ready == {FIRST}
    offered = ready.offered
    assert {tuple(each[0, 0]) for each in offered.catalogue} == {(1, 1), (2, 1)}
    assert not offered.catalogue[:, 0, 1].any()
    assert ready.missing(Configuration((((1, 1), (1, 2)),))) == [Place(0, 1, 2)]
    assert len(ready.known.catalogue) == len(WORLD.catalogue)


def test_nobody_waits_for_what_is_ready_or_was_built_before() -> None:
    workshop = Workshop(WORLD)
    ready = made(workshop, each_batch=False)
    workshop.built_places.append(OTHER)
    assert [ready.built(each) for each in (FIRST, LARGER, OTHER)] == [False, False, True]
    ready.make_ready(FIRST)
    assert ready.built(LARGER), "it serves with the engine of the first"


def test_a_refusal_names_its_place_and_is_not_tried_again() -> None:
    workshop = Workshop(WORLD)
    workshop.refuses[OTHER] = RuntimeError("Failed to submit program to DLA engine")
    ready = made(workshop)
    for _ in range(2):
        with pytest.raises(ConfigurationFailed) as raised:
            ready.make_ready(OTHER)
        failure = raised.value.failure
        assert failure.place == OTHER
        assert "net0 on cpu_int8 at batch 1: " in failure.reason
        assert failure.reason.endswith("Failed to submit program to DLA engine")
    assert workshop.built_places == [OTHER]
    assert ready.known.batches_of(0, 1) == (2,)
    ready.try_again()
    del workshop.refuses[OTHER]
    ready.make_ready(OTHER)
    assert ready.known.batches_of(0, 1) == (1, 2)


def test_what_did_not_fit_beside_others_may_serve_once_they_have_left() -> None:
    workshop = Workshop(WORLD)
    full = Failure(FailureKind.INVALID, "of the 16 that dla0 holds 12 are taken")
    refusals = {
        OTHER: ConfigurationFailed(full),
        Place(0, 1, 2): RuntimeError("Failed to submit program to DLA engine"),
        LARGER: ConfigurationFailed(full),
    }
    workshop.refuses = dict(refusals)
    ready = made(workshop)
    for place in refusals:
        with pytest.raises(ConfigurationFailed):
            ready.make_ready(place)
    version = ready.version
    ready.left([])
    assert ready.version == version
    ready.left([Place(0, 1, 2)])  # both accelerators of this world are one processor
    assert set(ready.refused) == {Place(0, 1, 2)}, "it was refused for another reason"
    assert ready.version > version
    workshop.refuses.clear()
    ready.make_ready(OTHER)
    assert OTHER in ready.ready


def test_an_engine_that_is_built_but_cannot_run_does_not_serve() -> None:
    workshop = Workshop(WORLD)
    ready = made(workshop)
    ready.make_ready(FIRST)  # judged, which is a proof
    workshop.dead.add((0, 0))
    with pytest.raises(ConfigurationFailed, match="cannot run one batch"):
        ready.make_ready(LARGER)
    assert workshop.proven == [(0, 0)]
    assert ready.offered.batches_of(0, 0) == (1,)


def test_wrong_answers_refuse_every_batch_of_the_pair() -> None:
    ready = made(Workshop(WORLD), LOW)
    for place in (FIRST, LARGER):
        with pytest.raises(ConfigurationFailed) as raised:
            ready.make_ready(place)
        assert raised.value.failure.kind is FailureKind.WRONG_ANSWERS
        assert "below min_agreement=0.99" in raised.value.failure.reason


def test_the_background_takes_what_is_wanted_first_and_then_all_others() -> None:
    workshop = Workshop(WORLD)
    workshop.go_on.clear()
    workshop.refuses[LARGER] = ConfigurationFailed(Failure(FailureKind.BUILD_FAILED, "no memory"))
    ready = made(workshop)
    ready.go_on([Place(0, 1, 2)])
    assert not ready.ready
    assert ready.busy_since(float("inf"))
    workshop.go_on.set()
    assert ready._thread is not None
    ready._thread.join(60)
    assert workshop.built_places[0] == Place(0, 1, 2)
    assert set(workshop.built_places) == set(ready.places())
    assert ready.ready == set(ready.places()) - {LARGER}
    (told,) = ready.news()
    assert (told.ready, told.place) == (False, LARGER)
    assert ready.news() == []


def test_where_all_batches_are_one_engine_one_proof_counts_for_all() -> None:
    workshop = Workshop(WORLD)
    ready = made(workshop, each_batch=False)
    ready.make_ready(FIRST)
    assert ready.ready == {FIRST, LARGER}
    workshop.refuses[OTHER] = RuntimeError("no")
    with pytest.raises(ConfigurationFailed):
        ready.make_ready(OTHER)
    assert ready.known.unavailable == {(0, 1)}
    assert np.array_equal(ready.known.catalogue, ready.offered.catalogue)


def test_what_is_ready_does_not_wait_for_a_build_in_the_background() -> None:
    workshop = Workshop(WORLD)
    ready = made(workshop)
    ready.make_ready(FIRST)
    workshop.go_on.clear()
    ready.go_on([OTHER])
    asks = threading.Thread(target=ready.make_ready, args=(FIRST,), daemon=True)
    asks.start()
    asks.join(60)
    waits = asks.is_alive()
    workshop.go_on.set()
    ready.close()
    assert not waits


class Stop(BaseException):
    pass


def stops() -> None:
    raise Stop


def test_a_thread_that_waits_for_another_build_may_be_told_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "WAIT_S", 0.01)
    workshop = Workshop(WORLD)
    ready = made(workshop)
    workshop.go_on.clear()
    ready.go_on([OTHER])
    ready.while_waiting(stops)
    with pytest.raises(Stop):
        ready.make_ready(FIRST)
    workshop.go_on.set()
    assert ready._thread is not None
    ready._thread.join(60)
    assert ready.ready == set(ready.places()), "what waited refuses nothing"


def test_a_thread_that_builds_itself_may_be_told_to_stop_but_not_the_background() -> None:
    class Slow(Workshop):
        def build(self, tenant: int, accelerator: int, batch: int, step: Any = None) -> None:
            step(Going())
            super().build(tenant, accelerator, batch)

    workshop, shown = Slow(WORLD), list[str]()
    ready = made(workshop, show=lambda progress: shown.append(progress.describe()))
    ready.while_waiting(stops)
    with pytest.raises(Stop):
        ready.make_ready(FIRST)
    assert (workshop.built_places, dict(ready.refused), ready.news()) == ([], {}, [])
    ready.go_on([])
    assert ready._thread is not None
    ready._thread.join(60)
    assert ready.ready == set(ready.places())
    assert shown == ["it is built"] * 5


class Going:
    def describe(self) -> str:
        return "it is built"


def test_places_that_are_wanted_just_when_the_background_ends_are_made_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ready = made(Workshop(WORLD))
    looked, go_on = threading.Event(), threading.Event()

    def nothing_borrowed() -> None:
        looked.set()
        assert go_on.wait(60)

    monkeypatch.setattr(ready, "_next_borrowed", nothing_borrowed)
    ready.go_on([])
    assert looked.wait(60)  # the queue was empty
    ready._ready.clear()
    ready.go_on([])
    go_on.set()
    assert ready._thread is not None
    ready._thread.join(60)
    assert set(ready.places()) == ready.ready


def test_the_space_may_be_read_while_places_become_ready() -> None:
    class Pausing(set[Place]):
        """Lets another thread add a place while this one is gone through in Python."""

        def __iter__(self) -> Iterator[Place]:
            for each in super().__iter__():
                lock_is_free = ready._lock.acquire(blocking=False)
                if lock_is_free:
                    self.add(LARGER)
                    ready._lock.release()
                yield each

    ready = made(Workshop(WORLD))
    ready._ready = Pausing([FIRST, OTHER])
    assert ready.offered.unavailable_batches


def test_no_engine_is_built_for_a_pair_whose_answers_were_found_wrong() -> None:
    workshop = Workshop(WORLD)
    ready = made(workshop, LOW)
    for place in (FIRST, LARGER):
        with pytest.raises(ConfigurationFailed, match="below min_agreement"):
            ready.make_ready(place)
    assert workshop.built_places == [FIRST]


def test_for_a_pair_that_is_left_out_nothing_is_built_or_offered() -> None:
    workshop = Workshop(WORLD)
    workshop.refuses[FIRST] = ConfigurationFailed(Failure(FailureKind.BUILD_FAILED, "no memory"))
    ready = made(workshop)
    with pytest.raises(ConfigurationFailed):
        ready.make_ready(FIRST)
    ready.leave_out([FIRST[:2]])
    ready.go_on([])
    assert ready._thread is not None
    ready._thread.join(60)
    ready.try_again()
    ready._thread.join(60)
    assert LARGER not in workshop.built_places
    assert workshop.built_places.count(FIRST) == 1
    assert ready.offered.unavailable == {FIRST[:2]}
