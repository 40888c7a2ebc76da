"""Best effort is shed first where a configuration that was good breaks a limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.spec import Configuration, ConfigurationSpace
from tests.worlds import board_in_segments
from tuner.control.guard import Choice, Guard, Phase
from tuner.control.ladder import Ladder
from tuner.control.shedding import without_best_effort


def space() -> ConfigurationSpace:
    return board_in_segments(4, (1, 2, 8))


def configuration(**slots: tuple[int, int]) -> Configuration:
    """As critical_tensor=(1, 2): instances and batch by tenant and accelerator."""
    placements = np.zeros((2, 6, 2), dtype=np.int16)
    for name, pair in slots.items():
        tenant, _, column = name.partition("_")
        row = ("critical", "other").index(tenant)
        placements[row, space().device.accelerator_names.index(column)] = pair
    return Configuration.of(placements)


BUSY = configuration(critical_tensor=(2, 2), other_tensor_in_4=(3, 8))
LEAST = configuration(critical_tensor=(2, 2), other_tensor_in_16=(1, 1))
SAFE = configuration(critical_tensor=(1, 1), other_tensor=(1, 1))


def test_best_effort_keeps_one_instance_in_the_most_segments_and_the_critical_all_it_has() -> None:
    assert without_best_effort(space(), BUSY) == LEAST
    assert without_best_effort(space(), LEAST) is None, "it has the least already"


def test_best_effort_stays_where_no_critical_tenant_is() -> None:
    both = configuration(critical_tensor=(2, 2), other_tensor_in_4=(3, 8), other_dla0=(2, 8))
    away = configuration(critical_tensor=(2, 2), other_dla0_in_16=(1, 1))
    assert without_best_effort(space(), both) == away


def test_best_effort_that_need_not_be_served_has_nothing() -> None:
    optional = replace(space(), optional=frozenset({1}))
    assert without_best_effort(optional, BUSY) == configuration(critical_tensor=(2, 2))


def test_a_good_configuration_that_breaks_a_limit_sheds_best_effort_before_anything_else() -> None:
    guard = Guard(space(), Ladder([SAFE]), BUSY)
    guard.record(BUSY, kept=False)
    other = configuration(critical_dla0=(1, 1), other_tensor=(1, 1))
    assert guard.choose(other, lambda: [other], lambda: other) == Choice(LEAST, Phase.SHED)
    guard.record(LEAST, kept=True)
    assert guard.choose(None, lambda: [LEAST], lambda: LEAST).configuration == LEAST


def test_an_experiment_that_breaks_a_limit_is_left_for_what_was_good() -> None:
    guard = Guard(space(), Ladder([SAFE]), LEAST)
    guard.record(BUSY, kept=False)
    assert guard.choose(None, lambda: [LEAST], lambda: LEAST) == Choice(LEAST, Phase.RETURNED)
