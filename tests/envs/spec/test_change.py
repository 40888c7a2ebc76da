"""What a change costs: seconds by the table, the requests that wait, and joules."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from envs.spec.change import ChangeTimes, change_cost, change_w, delayed_shares
from envs.spec.change_cost import CHANGE_W, DELAYED_SHARE, OTHER_CHANGE_W, change_s
from envs.spec.device import DeviceSpec
from tests.worlds import space

ONE = np.array([[(1, 1), (0, 0)], [(0, 0), (0, 0)]], dtype=np.int16)
BOTH = np.array([[(1, 1), (0, 0)], [(0, 0), (2, 4)]], dtype=np.int16)


def test_nothing_changes_at_no_cost() -> None:
    assert [float(each) for each in change_cost(space(2), BOTH, BOTH, [10.0, 20.0])] == [0, 0, 0]


def test_all_requests_of_a_newcomer_wait_and_a_share_of_the_others() -> None:
    world = space(2)
    cost = change_cost(world, ONE, BOTH, [10.0, 20.0])
    assert cost.seconds == change_s(world, ONE, BOTH) > 0
    assert cost.requests == pytest.approx(cost.seconds * (10 * DELAYED_SHARE.value + 20))
    assert cost.joules == pytest.approx(cost.seconds * OTHER_CHANGE_W.value)


def test_nobody_waits_for_a_tenant_that_goes_or_in_a_closed_loop() -> None:
    assert delayed_shares(BOTH, ONE).tolist() == [DELAYED_SHARE.value, 0.0]
    assert change_cost(space(2), None, BOTH).requests == 0
    assert change_cost(space(2), None, BOTH, [math.inf, 5.0]).requests > 0


def test_many_changes_at_once_cost_what_each_does() -> None:
    world, every = space(2), np.stack([ONE, BOTH])
    table = change_cost(world, every[:, None], every[None], [10.0, 20.0])
    for row, before in enumerate(every):
        for column, after in enumerate(every):
            alone = change_cost(world, before, after, [10.0, 20.0])
            assert [each[row, column] for each in table] == pytest.approx(list(map(float, alone)))


@pytest.mark.parametrize("part", [*CHANGE_W, "paper"])
def test_watts_follow_the_class_of_the_board(part: str) -> None:
    world = space(2)
    device: DeviceSpec = replace(world.device, name=f"Jetson {part} 16GB")
    expected = CHANGE_W.get(part, OTHER_CHANGE_W).value
    assert change_w(replace(world, device=device)) == expected


def test_changes_that_were_made_tell_how_long_others_take() -> None:
    known = ChangeTimes()
    assert known.factor == 1
    factors = [(known := known.after(2.0, 0.5)).factor for _ in range(20)]
    assert factors == sorted(factors, reverse=True)
    assert 0.25 < factors[-1] < 0.27 < factors[0] < 0.5
    assert known.after(0.0, 1.0) == known.after(1.0, 0.0) == known.after(1.0, math.nan) == known
