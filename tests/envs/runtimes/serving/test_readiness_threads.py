"""Readiness in the background: who builds, who waits, and who may be told to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from envs.runtimes.serving import turns as turns_module
from envs.spec import ConfigurationFailed, Failure, FailureKind, Place
from tests.envs.runtimes.serving.workshop import FIRST, LARGER, OTHER, WORLD, Workshop, made


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
