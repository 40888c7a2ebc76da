"""Confirming an answer in turns with the default, on windows whose noise is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from envs.problems.problem import Problem
from envs.spec import Configuration, Failure, FailureKind, Measurement, Objective, Outcome
from tests.worlds import respond, space
from tuner.answer import Answer
from tuner.answer_text import answer_lines, infeasible
from tuner.confirming import (
    FEWEST_PAIRS,
    PAIRS,
    Confirmation,
    Measure,
    Tried,
    confirm,
    next_to_confirm,
)
from tuner.tuning import TuningStopped, tune

WORLD = space()
DEFAULT = WORLD.default()
FAST, NEXT, SLOW = (Configuration((((0, 0), pair),)) for pair in ((2, 4), (2, 2), (1, 2)))
LOST = Failure(FailureKind.INSTANCE_LOST, "an instance was lost: no memory", 1.0)

#: Throughput [inferences/s] and p99 [ms] of each without noise.
TRUE = {DEFAULT: (100.0, 10.0), FAST: (200.0, 40.0), NEXT: (150.0, 30.0), SLOW: (110.0, 20.0)}


def problem(p99_ms: float) -> Problem:
    return Problem(WORLD, WORLD.catalogue, Objective((p99_ms,)), DEFAULT, seed=1)


def exact(configuration: Configuration) -> Measurement:
    """Return a window without noise that took 3 s."""
    ips, p99_ms = TRUE[configuration]
    found = respond(WORLD, configuration)
    tenant = replace(found.tenants[0], throughput_ips=ips, p99_ms=p99_ms, requests=100.0)
    return replace(found, tenants=(tenant,), apply_s=0.5, measure_s=2.5)


class Noisy:
    """A runtime whose throughput and p99 scatter by a given share, and that counts windows."""

    def __init__(self, ips: float, p99: float = 0.0, drift: float = 0.0, seed: int = 1) -> None:
        self.ips, self.p99, self.drift = ips, p99, drift
        self.rng, self.measured = np.random.default_rng(seed), list[Configuration]()

    def __call__(self, configuration: Configuration) -> Outcome:
        self.measured.append(configuration)
        found, (ips, p99) = exact(configuration), np.exp(self.rng.normal(size=2))
        slower = math.exp(-self.drift * len(self.measured))
        tenant = found.tenants[0]
        return replace(
            found,
            tenants=(
                replace(
                    tenant,
                    throughput_ips=tenant.throughput_ips * ips**self.ips * slower,
                    p99_ms=tenant.p99_ms * p99**self.p99,
                ),
            ),
        )


def scripted(*outcomes: Callable[[Configuration], Outcome]) -> Callable[[Configuration], Outcome]:
    """Return a runtime that answers by the first function, the second, ..., the last for ever."""
    left = list(outcomes)
    return lambda each: (left.pop(0) if len(left) > 1 else left[0])(each)


def broken(configuration: Configuration) -> Outcome:
    found = exact(configuration)
    return replace(found, tenants=(replace(found.tenants[0], p99_ms=1e3),))


def lost(configuration: Configuration) -> Outcome:
    return LOST


def unless_fast(otherwise: Callable[[Configuration], Outcome]) -> Callable[..., Outcome]:
    """Return a runtime without noise, except for FAST."""
    return lambda each: otherwise(each) if each == FAST else exact(each)


def confirm_best(
    problem: Problem, measure: Measure, pairs: int, tried: Tried
) -> list[Confirmation]:
    found: list[Confirmation] = []
    while (choice := next_to_confirm(problem, tried, found)) is not None:
        found.append(confirm(problem, measure, choice, pairs, tried))
    return found


def test_answer_and_default_are_measured_in_turns_until_the_ratio_is_narrow() -> None:
    tried: Tried = []
    found = confirm(problem(50.0), Noisy(0.005), FAST, PAIRS, tried)
    assert [each for each, _ in tried] == [FAST, DEFAULT] * FEWEST_PAIRS
    assert found.ratio is not None
    assert found.ratio.low < 2.0 < found.ratio.high
    assert found.seconds == pytest.approx(3.0 * 2 * FEWEST_PAIRS)


def test_a_ratio_that_stays_wide_ends_at_the_given_number_of_pairs() -> None:
    for pairs in (1, 4, PAIRS):
        found = confirm(problem(50.0), Noisy(0.5), FAST, pairs, [])
        assert len(found.own) == len(found.default) == pairs


def test_a_device_that_slows_down_changes_both_alike() -> None:
    """By 3 % a window: 12 windows later a single first window would make it 1.4 times instead."""
    found = confirm(problem(50.0), Noisy(0.02, drift=0.03), FAST, PAIRS, [])
    assert found.ratio is not None
    assert found.ratio.times == pytest.approx(2.0 * math.exp(0.03), rel=0.03)


def test_the_mean_of_the_windows_is_judged_not_one_of_them() -> None:
    """The limit is 1.5 standard deviations away; its mean window keeps it."""
    found = confirm_best(problem(40.0 * math.exp(0.15)), Noisy(0.0, 0.1), 20, [(FAST, exact(FAST))])
    assert len(found) == 1
    assert problem(46.0).judge(found[0].outcome)[1] == 0


def test_the_default_is_confirmed_alone() -> None:
    runtime = Noisy(0.01)
    found = confirm(problem(50.0), runtime, DEFAULT, PAIRS, [])
    assert runtime.measured == [DEFAULT] * FEWEST_PAIRS
    assert found.ratio is None


def test_an_answer_that_breaks_its_limits_twice_makes_way_for_the_next_best() -> None:
    tried: Tried = [(each, exact(each)) for each in (DEFAULT, FAST, NEXT)]
    found = confirm_best(problem(50.0), unless_fast(broken), PAIRS, tried)
    assert [each.configuration for each in found] == [FAST, NEXT]
    assert [each for each, _ in tried[3:]] == [FAST, DEFAULT, FAST] + [NEXT, DEFAULT] * 3


def test_an_answer_that_fails_makes_way_at_once() -> None:
    tried: Tried = [(each, exact(each)) for each in (DEFAULT, FAST, NEXT)]
    found = confirm_best(problem(50.0), unless_fast(lost), PAIRS, tried)
    assert [each for each, _ in tried[3:]] == [FAST] + [NEXT, DEFAULT] * 3
    assert problem(50.0).judge(found[-1].outcome)[0] == pytest.approx(150.0)


def test_where_all_that_were_confirmed_break_a_limit_no_more_than_three_are() -> None:
    tried: Tried = [(each, exact(each)) for each in (DEFAULT, FAST, NEXT, SLOW)]
    found = confirm_best(problem(50.0), broken, PAIRS, tried)
    assert [each.configuration for each in found] == [FAST, NEXT, SLOW]


def answer_of(measure: Callable[[Configuration], Outcome], pairs: int = PAIRS) -> Answer:
    class Script:
        def __init__(self) -> None:
            self.left = [DEFAULT, FAST, NEXT]

        def ask(self) -> Configuration:
            return self.left.pop(0)

        def tell(self, configuration: Configuration, outcome: Outcome) -> None:
            return None

    return tune(Script(), problem(50.0), measure, 3, pairs)


def test_the_ratio_stands_in_text_and_data_with_its_interval_and_seconds() -> None:
    answer = answer_of(Noisy(0.02))
    data, text = answer.to_dict()["confirmation"], "\n".join(answer_lines(answer))
    low, high = data["interval_95"]
    assert low < data["times_the_default"] < high
    said = (
        f"{data['times_the_default']:.2f} times the default (throughput; 95 % interval {low:.2f} to"
    )
    assert f"{said} {high:.2f}, {data['pairs']} pairs)" in text
    seconds = 3 * 2 * data["pairs"]
    assert data["seconds"] == pytest.approx(seconds)
    assert f"in turns with {data['pairs']} of the default ({seconds} s)" in text


def test_a_default_that_fails_beside_the_answer_leaves_no_ratio() -> None:
    seen: list[Configuration] = []

    def measure(configuration: Configuration) -> Outcome:
        seen.append(configuration)
        return LOST if configuration == DEFAULT and len(seen) > 3 else exact(configuration)

    answer = answer_of(measure)
    assert answer.limits_kept
    assert seen[3:] == [FAST, DEFAULT, FAST, FAST]
    assert f"  the default failed beside it: {LOST.reason}" in answer_lines(answer)
    assert answer.to_dict()["confirmation"]["times_the_default"] is None


def test_an_answer_that_was_dropped_is_named_with_the_one_that_took_its_place() -> None:
    seen: list[Configuration] = []

    def measure(configuration: Configuration) -> Outcome:
        seen.append(configuration)
        bad = configuration == FAST and len(seen) > 3
        return broken(configuration) if bad else exact(configuration)

    answer = answer_of(measure)
    assert (answer.configuration, answer.limits_kept) == (NEXT, True)
    lines = answer_lines(answer)
    assert "  cpu_int8 2x4 broke a limit or failed when it was to be confirmed" in lines
    assert answer.to_dict()["confirmation"]["failed_before"] == ["cpu_int8 2x4"]


def test_where_nothing_could_be_measured_again_no_limit_is_blamed() -> None:
    answer = answer_of(scripted(exact, exact, exact, lost))
    assert not answer.limits_kept
    assert infeasible(answer).startswith("no configuration could be measured again (")


def test_without_pairs_nothing_is_confirmed_and_it_is_said() -> None:
    answer = answer_of(exact, pairs=0)
    assert len(answer.tried) == 3
    assert (answer.configuration, answer.confirmation) == (FAST, None)
    assert "  not confirmed (pairs=0): it was the best in the search" in answer_lines(answer)
    assert answer.to_dict()["confirmation"] is None
    assert "times the default" not in "".join(answer_lines(answer))


def test_ctrl_c_while_confirming_leaves_the_best_so_far() -> None:
    seen: list[Configuration] = []

    def measure(configuration: Configuration) -> Outcome:
        if len(seen) == 5:
            raise KeyboardInterrupt
        seen.append(configuration)
        return exact(configuration)

    with pytest.raises(TuningStopped) as stopped:
        answer_of(measure)
    answer = stopped.value.answer
    assert (answer.configuration, answer.searched, len(answer.tried)) == (FAST, 3, 5)
    assert not answer.complete
