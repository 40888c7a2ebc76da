"""An answer as text: every failed window has its reason, and a number says what it is over."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from envs.problems.problem import Problem
from envs.spec import (
    Configuration,
    Failure,
    FailureKind,
    Goal,
    Measurement,
    Objective,
    Origin,
    Outcome,
)
from tests.worlds import respond, space
from tuner.answer import Answer
from tuner.answer_text import (
    answer_lines,
    answer_table,
    failures,
    infeasible,
    notes,
    nothing_measured,
)
from tuner.goal_text import brief
from tuner.tuning import labelled, tune

WORLD = space()
ROWS = [Configuration.of(WORLD.catalogue[row]) for row in (3, 5, 17)]
LOST = Failure(FailureKind.INSTANCE_LOST, "an instance of net0 was lost: no memory", 1.0)
UNBUILT = Failure(FailureKind.BUILD_FAILED, "ONNX Runtime cannot load net0.onnx: opset\n99", 1.0)


PROBLEM = Problem(WORLD, WORLD.catalogue, Objective((1e4,)), WORLD.default(), seed=1)


class Scripted:
    """Proposes what it is told to."""

    def __init__(self, proposals: Sequence[Configuration]) -> None:
        self._proposals = list(proposals)

    def ask(self) -> Configuration:
        return self._proposals.pop(0)

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        return None


def answer_of(
    measure: Callable[[Configuration], Outcome], *proposals: Configuration, pairs: int = 1
) -> Answer:
    return tune(Scripted(proposals), PROBLEM, measure, len(proposals), pairs)


def changed(configuration: Configuration, **values: float) -> Measurement:
    found = respond(WORLD, configuration)
    return replace(found, tenants=(replace(found.tenants[0], **values),))


def text(configuration: Configuration) -> str:
    return str(labelled(WORLD, configuration))


def test_each_reason_stands_once_with_its_configurations_and_on_one_line() -> None:
    outcomes = {ROWS[0]: UNBUILT, ROWS[1]: LOST, ROWS[2]: UNBUILT}
    answer = answer_of(
        lambda each: outcomes.get(each) or respond(WORLD, each), WORLD.default(), *ROWS
    )
    built = f"{text(ROWS[0])}, {text(ROWS[2])}"
    assert notes(answer) == [
        f"2 windows of {built} failed (build_failed): ONNX Runtime cannot load net0.onnx: opset 99",
        f"1 window of {text(ROWS[1])} failed (instance_lost): {LOST.reason}",
    ]
    assert nothing_measured(answer) == ""
    _, rows = answer_table(answer)
    assert [row[-2:] for row in rows] == [
        ["kept", "default"],
        ["failed", ""],
        ["failed", ""],
        ["failed", ""],
        ["kept", "confirms"],
    ]


def test_many_configurations_of_one_reason_are_counted() -> None:
    tried = [(each, UNBUILT) for each in ROWS]
    assert failures(tried, most=2)[0].startswith(f"3 windows of {ROWS[0]}, {ROWS[1]} and 1 more ")


def test_where_every_window_failed_the_reason_is_given_and_no_limit_is_blamed() -> None:
    answer = answer_of(lambda each: UNBUILT, WORLD.default(), ROWS[0])
    said = nothing_measured(answer)
    assert said.startswith("nothing could be measured, every window failed: ")
    assert "(build_failed): ONNX Runtime cannot load" in said
    assert answer.to_dict()["limits_kept"] is False


def test_a_confirmation_that_failed_is_no_broken_limit() -> None:
    seen: list[Configuration] = []

    def measure(configuration: Configuration) -> Outcome:
        seen.append(configuration)
        return respond(WORLD, configuration) if len(seen) <= 2 else LOST

    answer = answer_of(measure, WORLD.default(), ROWS[0])
    assert not answer.limits_kept
    assert infeasible(answer).startswith("no configuration could be measured again (")


@pytest.mark.parametrize(
    ("requests", "origin", "marked"),
    [
        (19, Origin.MEASURED, True),
        (20, Origin.MEASURED, False),
        (19, Origin.REPLAYED, True),
        (math.nan, Origin.REPLAYED, False),
        (3, Origin.SIMULATED, False),
    ],
)
def test_a_p99_over_few_requests_is_marked_everywhere(
    requests: float, origin: Origin, marked: bool
) -> None:
    def measure(configuration: Configuration) -> Outcome:
        return replace(changed(configuration, requests=requests), origin=origin)

    answer = answer_of(measure, WORLD.default(), ROWS[0])
    _, rows = answer_table(answer)
    assert [row[3].endswith("*") for row in rows] == [marked] * len(rows)
    assert any(line.startswith("* over fewer than 20 requests") for line in notes(answer)) == marked
    assert ("requests only: take a longer --window-s" in "".join(answer_lines(answer))) == marked
    data = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert data["few_requests"] == [marked]
    assert data["requests"] == [None if math.isnan(requests) else requests]


def test_a_network_without_an_answered_request_has_no_p99() -> None:
    def measure(configuration: Configuration) -> Outcome:
        silent = {"p99_ms": math.nan, "requests": 0.0, "throughput_ips": 0.0}
        return replace(changed(configuration, **silent), origin=Origin.MEASURED)

    said = "".join(answer_lines(answer_of(measure, WORLD.default(), ROWS[0])))
    assert "0.0 inferences/s, no p99 (over 0 requests only" in said


def test_the_default_is_not_compared_with_itself() -> None:
    answer = answer_of(
        lambda each: changed(each, throughput_ips=100.0 if each == WORLD.default() else 50.0),
        WORLD.default(),
        ROWS[0],
    )
    assert "  it is the default configuration" in answer_lines(answer)
    assert "times the default" not in "".join(answer_lines(answer))
    answer = answer_of(
        lambda each: changed(each, throughput_ips=100.0 if each == WORLD.default() else 150.0),
        WORLD.default(),
        ROWS[0],
    )
    said = "  1.50 times the default (throughput; one pair has no interval)"
    assert said in answer_lines(answer)


def scored(goal: Goal, *rates_ips: float) -> Answer:
    """Tune with a default of 100/s, 10 ms and 20 W, and another of 150/s, 30 ms and 25 W."""
    objective = Objective((1e4,), goal=goal, min_rate_ips=rates_ips)
    problem = replace(PROBLEM, objective=objective, shared={})

    def measure(configuration: Configuration) -> Outcome:
        first = configuration == WORLD.default()
        values = {"throughput_ips": 100.0, "p99_ms": 10.0}
        if not first:
            values = {"throughput_ips": 150.0, "p99_ms": 30.0}
        return replace(changed(configuration, **values), power_w=20.0 if first else 25.0)

    return tune(Scripted([WORLD.default(), ROWS[0]]), problem, measure, 2, 1)


def test_an_answer_tells_the_score_of_its_goal() -> None:
    energy = scored(Goal.ENERGY)
    head, rows = answer_table(energy)
    assert [row[head.index("inferences/J")] for row in rows] == [*("5.00", "6.00", "6.00", "5.00")]
    assert "  goal: 6.00 inferences/J, at 25.0 W" in answer_lines(energy)
    assert "  1.20 times the default (inferences per joule; " in "\n".join(answer_lines(energy))
    assert energy.to_dict()["score"] == pytest.approx(6.0)
    assert energy.to_dict()["score_unit"] == "inferences/J"
    assert ": 6.00 inferences/J, 150.0 inferences/s, p99 30.0 ms (" in str(energy)
    latency = scored(Goal.LATENCY)
    assert latency.configuration == WORLD.default(), "10 ms"
    held = scored(Goal.LATENCY, 120.0)
    assert "  3.00 times the default, which breaks a limit itself (p99; less is better; " in (
        "\n".join(answer_lines(held))
    )
    assert "inferences/J" not in answer_table(held)[0]
    assert brief(held.outcome, "latency") == "p99 30.0 ms"
    assert brief(held.outcome, "energy") == "150.0 inferences/s, 25.0 W"
    assert brief(held.outcome, "throughput") == "150.0 inferences/s, p99 30.0 ms"
    assert brief(LOST, "energy") == "failed"


def test_a_least_rate_out_of_reach_is_the_reason_that_is_given() -> None:
    said = infeasible(scored(Goal.ENERGY, 200.0))
    assert "net0 reached at most 150.0 of min_rate_ips=200" in said


def test_agreement_is_shown_where_it_was_measured() -> None:
    def measure(configuration: Configuration) -> Outcome:
        if configuration == WORLD.default():
            return changed(configuration, agreement=math.nan, agreement_samples=math.nan)
        found = {"agreement": 0.9957, "agreement_samples": 448, "throughput_ips": 1e6}
        return changed(configuration, **found)

    answer = answer_of(measure, WORLD.default(), ROWS[0])
    head, rows = answer_table(answer)
    column = head.index("agreement")
    assert [row[column] for row in rows] == ["-", "0.996", "0.996", "-"]
    assert answer_lines(answer)[1].endswith(", agreement 0.996 with FP32 on 448 samples")
    data = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert (data["agreement"], data["agreement_samples"]) == ([0.9957], [448])

    plain = answer_of(
        lambda each: changed(each, agreement=math.nan, agreement_samples=math.nan),
        WORLD.default(),
        ROWS[0],
    )
    head, rows = answer_table(plain)
    assert "agreement" not in " ".join(head)
    assert {len(row) for row in rows} == {len(head)}
    assert plain.to_dict()["agreement"] == [None]


def test_each_network_has_a_row_and_a_window_is_told_once() -> None:
    world = space(tenants=2, max_instances=2, batches=(1, 4), max_total_instances=4)
    default = world.default()
    both = Problem(world, world.catalogue, Objective((1e4, 1e4)), default, seed=1)
    lost = Configuration.of(world.catalogue[3])

    def measure(configuration: Configuration) -> Outcome:
        return LOST if configuration == lost else respond(world, configuration)

    answer = tune(Scripted([default, lost]), both, measure, 2, 1)
    head, rows = answer_table(answer)
    assert head[1] == "network"
    assert [row[0] for row in rows] == ["1", "", "2", "", "3", ""]
    assert [row[1] for row in rows] == ["net0", "net1"] * 3
    assert [row[2] for row in rows[:2]] == world.describe_each(default)
    assert [row[-2] for row in rows] == ["kept", "", "failed", "", "kept", ""]
    assert {len(row) for row in rows} == {len(head)}
