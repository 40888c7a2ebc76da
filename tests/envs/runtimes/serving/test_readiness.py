"""Readiness: each engine is built, judged and proven once, in the order of demand."""

from __future__ import annotations

import numpy as np
import pytest

from envs.spec import Configuration, ConfigurationFailed, Failure, FailureKind, Place
from tests.envs.runtimes.serving.workshop import FIRST, LARGER, LOW, OTHER, WORLD, Workshop, made


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
