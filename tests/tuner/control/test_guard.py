"""The guard lets nothing invalid through, and nothing that broke a limit stays."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from envs.spec import Configuration
from tests.worlds import space
from tuner.control.guard import Choice, Guard, Phase
from tuner.control.ladder import Ladder

SPACE = space()
VALID = [Configuration.of(row) for row in SPACE.catalogue[::7]]
INVALID = Configuration((((9, 1), (0, 0)),))
SAFE, GOOD, OTHER, NEW = VALID[:4]


def guard(good: Configuration | None = None, cooldown: int = 2) -> Guard:
    return Guard(SPACE, Ladder([SAFE]), good, cooldown)


def test_nothing_is_known_the_safe_default_serves() -> None:
    choice = guard().choose(None, list, lambda: None)
    assert (choice.configuration, choice.phase) == (SAFE, Phase.SAFE)


def test_a_bad_experiment_is_left_for_the_last_good_and_none_follows_for_a_while() -> None:
    one = guard(GOOD)
    assert one.choose(NEW, lambda: [GOOD], lambda: None).configuration == NEW
    one.record(NEW, kept=False)
    assert one.choose(OTHER, lambda: [GOOD], lambda: None) == Choice(GOOD, Phase.RETURNED)
    served = []
    for _ in range(3):
        choice = one.choose(OTHER, lambda: [GOOD], lambda: None)
        one.record(choice.configuration, kept=True)
        served.append(choice.configuration)
    assert served == [GOOD, GOOD, OTHER]


def test_what_was_good_and_breaks_is_left_for_the_next_best() -> None:
    one = guard(GOOD)
    one.record(GOOD, kept=False)
    assert one.choose(None, lambda: [GOOD, OTHER], lambda: GOOD).configuration == OTHER


def test_while_nothing_keeps_the_limits_the_search_goes_on_then_the_closest_stays() -> None:
    one = guard()
    one.record(SAFE, kept=False)
    assert one.choose(NEW, list, lambda: SAFE).configuration == NEW
    one.record(NEW, kept=False)
    assert one.choose(None, list, lambda: NEW).configuration == NEW


def test_an_invalid_proposal_is_refused_with_the_reason() -> None:
    choice = guard(GOOD).choose(INVALID, list, lambda: None)
    assert choice.configuration == GOOD
    assert "9" in choice.refused


def test_a_last_good_configuration_of_another_device_is_not_taken_over() -> None:
    assert guard(INVALID).good is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*VALID, INVALID, None]),
            st.lists(st.sampled_from([*VALID, INVALID]), max_size=3),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_what_serves_is_valid_and_a_broken_limit_is_left_at_once_for_anything_good(
    periods: list[tuple[Configuration | None, list[Configuration], bool]],
) -> None:
    one, broken = guard(), None
    for experiment, good, kept in periods:
        choice = one.choose(experiment, lambda good=good: good, lambda: None)
        SPACE.check(choice.configuration)
        if broken is not None and any(each not in (broken, INVALID) for each in good):
            assert choice.configuration != broken
        one.record(choice.configuration, kept)
        broken = None if kept else choice.configuration


def test_what_was_good_does_not_return_when_it_is_no_choice_any_more() -> None:
    one, alone = guard(GOOD), Configuration((((1, 1), (0, 0)),))
    one.narrow(replace(SPACE, unavailable=frozenset({(0, 1)})))
    one.record(NEW, kept=False)
    assert one.refusal(GOOD)
    assert one.choose(None, lambda: [alone], lambda: None) == Choice(alone, Phase.RETURNED)
