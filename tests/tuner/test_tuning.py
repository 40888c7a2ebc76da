"""Tuning one problem: what is reported is measured again, and never a lucky window."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from envs.problems.problem import Problem
from envs.spec import Configuration, Failure, FailureKind, Measurement, Objective, Outcome
from tests.worlds import respond, space
from tuner.answer import Answer
from tuner.answer_text import answer_lines, answer_table
from tuner.confirming import FEWEST_PAIRS
from tuner.search.oracle import Oracle
from tuner.search.random_search import RandomSearch
from tuner.tuning import TuningStopped, tune

WORLD = space()


def problem(p99_ms: float) -> Problem:
    return Problem(WORLD, WORLD.catalogue, Objective((p99_ms,)), WORLD.default(), seed=1)


def run(
    p99_ms: float, measurements: int = 8, world: object = None
) -> tuple[Answer, Counter[Configuration]]:
    counts: Counter[Configuration] = Counter()

    def measure(configuration: Configuration) -> Outcome:
        counts[configuration] += 1
        return respond(WORLD, configuration)

    return tune(RandomSearch(problem(p99_ms)), problem(p99_ms), measure, measurements), counts


@pytest.mark.parametrize("measurements", [3, 5, 8])
def test_it_keeps_its_budget_and_confirms_its_answer(measurements: int) -> None:
    answer, counts = run(100.0, measurements)
    assert sum(counts.values()) == len(answer.tried)
    assert answer.searched == measurements
    assert counts[answer.configuration] == 1 + FEWEST_PAIRS, "once to find it, then to confirm it"
    assert answer.violation == 0
    best = max(
        problem(100.0).judge(outcome)[0]
        for _, outcome in answer.tried
        if problem(100.0).judge(outcome)[1] <= 0
    )
    assert problem(100.0).judge(answer.outcome)[0] == pytest.approx(best)


def test_a_limit_that_nothing_meets_gives_the_least_violating() -> None:
    answer, _ = run(1.0)
    assert answer.violation > 0
    least = min(problem(1.0).judge(outcome)[1] for _, outcome in answer.tried)
    assert answer.violation == pytest.approx(least)


def test_a_lucky_window_is_found_out_and_the_next_best_is_confirmed() -> None:
    """The first window of the best configuration flatters it; the second breaks the limit."""
    objective = problem(60.0)
    seen: Counter[Configuration] = Counter()
    lucky = Configuration((((0, 0), (3, 4)),))
    searched = [WORLD.default(), lucky, Configuration((((0, 0), (2, 1)),))]

    class Scripted:
        def ask(self) -> Configuration:
            return searched[min(len(seen), 2)]

        def tell(self, configuration: Configuration, outcome: Outcome) -> None:
            return None

    def measure(configuration: Configuration) -> Outcome:
        seen[configuration] += 1
        honest = respond(WORLD, configuration)
        if configuration == lucky and seen[configuration] == 1:
            return replace(honest, tenants=(replace(honest.tenants[0], p99_ms=50.0),))
        return honest

    answer = tune(Scripted(), objective, measure, 5)
    default = WORLD.default()
    assert [configuration for configuration, _ in answer.tried[answer.searched :]] == [
        *(lucky, default, lucky),
        *(searched[2], default) * FEWEST_PAIRS,
    ]
    assert answer.configuration == searched[2]
    assert answer.violation == 0


def test_failures_are_never_the_answer_while_anything_works() -> None:
    objective = problem(100.0)

    def measure(configuration: Configuration) -> Outcome:
        if configuration == WORLD.default():
            return respond(WORLD, configuration)
        return Failure(FailureKind.OUT_OF_MEMORY, "no", 1.0)

    answer = tune(RandomSearch(objective), objective, measure, 6)
    assert answer.configuration == WORLD.default()
    assert isinstance(answer.outcome, Measurement)


def test_an_oracle_needs_two() -> None:
    from envs.spec import MeasurementBatch

    objective = problem(60.0)
    batch = MeasurementBatch.of(
        [respond(WORLD, Configuration.of(row)) for row in WORLD.catalogue], 1
    )
    answer = tune(Oracle(objective, batch), objective, lambda each: respond(WORLD, each), 2)
    assert answer.configuration == answer.tried[1][0]


@pytest.mark.parametrize("after", [1, 3, 6])
def test_a_stop_leaves_the_best_so_far(after: int) -> None:
    objective, seen = problem(100.0), list[Configuration]()

    def measure(configuration: Configuration) -> Outcome:
        if len(seen) == after:
            raise KeyboardInterrupt
        seen.append(configuration)
        return respond(WORLD, configuration)

    with pytest.raises(KeyboardInterrupt) as stopped:
        tune(RandomSearch(objective), objective, measure, 8)
    assert isinstance(stopped.value, TuningStopped)
    answer = stopped.value.answer
    assert [configuration for configuration, _ in answer.tried] == seen
    assert not answer.complete
    kept = [outcome for _, outcome in answer.tried if objective.judge(outcome)[1] <= 0]
    if kept:
        assert objective.judge(answer.outcome)[0] == max(objective.judge(each)[0] for each in kept)
    assert answer.to_dict()["complete"] is False


def test_a_stop_before_any_measurement_leaves_nothing() -> None:
    objective = problem(100.0)

    def measure(configuration: Configuration) -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        tune(RandomSearch(objective), objective, measure, 8)
    assert not isinstance(stopped.value, TuningStopped)


class Repeating:
    """Asks for the default only, and has enough after a given number of measurements."""

    def __init__(self, enough: int | None) -> None:
        self.enough, self.told = enough, 0

    def ask(self) -> Configuration:
        return WORLD.default()

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        self.told += 1

    ask_worthwhile = ask

    def finished(self) -> str:
        return "that is enough" if self.told == self.enough else ""


def test_a_search_ends_when_its_tuner_has_enough_and_says_why() -> None:
    answer = tune(Repeating(2), problem(100.0), lambda each: respond(WORLD, each), 8, 0)
    assert (answer.searched, answer.repeats) == (2, 1)
    lines = answer_lines(answer)
    assert "  stopped after 2 of 8 measurements: that is enough" in lines
    assert "  1 of the 2 measurements of the search repeated a configuration" in lines
    data = answer.to_dict()
    assert (data["searched"], data["repeats"], data["ended"]) == (2, 1, "that is enough")
    assert [row[-1] for row in answer_table(answer)[1]] == ["default", "repeats 1"]


def test_nothing_is_measured_more_than_three_times_before_the_confirmation() -> None:
    answer = tune(Repeating(None), problem(100.0), lambda each: respond(WORLD, each), 8, 0)
    assert answer.searched == 3
    assert answer.ended == "cpu_fp32 1x1, which is asked for again, was measured 3 times"


class Scripted:
    """Asks for a list of configurations; it has enough before the ones given at first."""

    def __init__(self, *asks: Configuration, enough: int) -> None:
        self.asks, self.enough, self.told = list(asks), enough, list[Configuration]()

    def ask(self) -> Configuration:
        return self.asks.pop(0)

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        self.told.append(configuration)

    ask_worthwhile = ask

    def finished(self) -> str:
        return "" if self.asks and len(self.told) != self.enough else "that is enough"


def test_a_search_goes_on_after_an_answer_failed_its_confirmation() -> None:
    """The best serves once; its tuner learns that it does not again, and asks for another."""
    default = WORLD.default()
    once, other = (Configuration((((0, 0), pair),)) for pair in ((2, 4), (2, 2)))
    seen = Counter[Configuration]()

    def measure(configuration: Configuration) -> Outcome:
        seen[configuration] += 1
        if configuration == once and seen[once] > 1:
            return Failure(FailureKind.INSTANCE_LOST, "no", 1.0)
        return respond(WORLD, configuration)

    tuner = Scripted(default, once, other, enough=2)
    answer = tune(tuner, problem(1000.0), measure, 8)
    assert tuner.told == [default, once, once, other]
    assert [each for each, _ in answer.tried[: answer.searched]] == [default, once, other]
    assert [each.configuration for each in answer.confirmations] == [once, other]
    assert answer.configuration == other
    assert answer.ended == "that is enough"


def test_no_measurement_is_made_beyond_those_given_where_an_answer_fails() -> None:
    default, once = WORLD.default(), Configuration((((0, 0), (2, 4)),))

    def measure(configuration: Configuration) -> Outcome:
        if configuration == once:
            return Failure(FailureKind.INSTANCE_LOST, "no", 1.0)
        return respond(WORLD, configuration)

    tuner = Scripted(default, once, default, enough=9)
    answer = tune(tuner, problem(1000.0), measure, 2)
    assert answer.searched == 2
    assert answer.configuration == default
