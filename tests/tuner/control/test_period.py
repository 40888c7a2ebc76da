"""A period as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from envs.spec import Configuration, Failure, FailureKind, Objective, Outcome
from tests.worlds import respond, space
from tuner.control.events import Event, EventKind
from tuner.control.guard import Phase
from tuner.control.period import Period

SPACE = space()
GOOD = Configuration.of(SPACE.catalogue[5])


def period(outcome: Outcome | None = None, kept: bool = True) -> Period:
    found = respond(SPACE, GOOD) if outcome is None else outcome
    return Period(
        3,
        9.5,
        Phase.HOLDING,
        GOOD,
        found,
        Objective((50.0,)),
        kept,
        40.0,
        0.0,
        80.0,
        (Event(EventKind.LIMITS_CHANGED, "limits changed"),),
    )


def test_a_line_says_what_was_served_and_what_it_gave_and_nothing_that_is_no_json() -> None:
    outcome = respond(SPACE, GOOD)
    tenant = replace(outcome.tenants[0], agreement=math.nan, agreement_samples=math.nan)
    outcome = replace(outcome, tenants=(tenant,), available_mib=9000.0)
    data = json.loads(json.dumps(period(outcome).as_dict(SPACE), allow_nan=False))
    assert data["configuration"] == SPACE.describe(GOOD)
    assert data["tenants"]["net0"]["p99_ms"] == respond(SPACE, GOOD).tenants[0].p99_ms
    assert data["power_w"] is None, "no sensor, no number"
    assert data["tenants"]["net0"]["agreement"] is None, "it was not compared with FP32"
    assert data["memory_mib"] == respond(SPACE, GOOD).memory_mib
    assert (data["gpu_free_mib"], data["available_mib"]) == (None, 9000.0)
    limits = {"p99_ms": [50.0], "power_w": None, "min_agreement": 0.0, "min_rate_ips": None}
    assert data["limits"] == limits
    assert (data["goal"], data["score_unit"]) == ("throughput", "inferences/s")
    assert (data["period"], data["phase"], data["origin"], data["events"]) == (
        3,
        "holding",
        "measured",
        [{"kind": "limits_changed", "text": "limits changed"}],
    )


def test_a_failure_is_a_line_too() -> None:
    data = period(Failure(FailureKind.OUT_OF_MEMORY, "too large"), kept=False).as_dict(SPACE)
    assert (data["failure"], data["reason"], data["kept"]) == ("out_of_memory", "too large", False)


def test_a_line_says_how_far_answers_are_those_of_fp32() -> None:
    found = respond(SPACE, GOOD)
    compared = replace(found.tenants[0], agreement=0.996, agreement_samples=448)
    data = period(replace(found, tenants=(compared,))).as_dict(SPACE)
    assert data["tenants"]["net0"]["agreement"] == 0.996
    assert data["tenants"]["net0"]["agreement_samples"] == 448
