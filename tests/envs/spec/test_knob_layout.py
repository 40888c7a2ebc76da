"""Actions and configurations are the same thing in other words; masks forbid nothing valid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.errors import ConfigurationError
from envs.spec import Configuration, ConfigurationSpace, Failure, FailureKind
from envs.spec.knob_layout import KnobLayout
from tests.worlds import network, space


def with_fixed_batch() -> ConfigurationSpace:
    plain = space(tenants=2, max_instances=2)
    first, second = plain.workload.tenants
    tenants = (replace(first, network=network("net0", fixed_batch=2)), second)
    return replace(plain, workload=replace(plain.workload, tenants=tenants))


SPACES = {
    "one tenant": space(),
    "two tenants": space(tenants=2, max_instances=2, batches=(1, 4)),
    "a limit in total": space(tenants=2, max_instances=3, batches=(1, 2), max_total_instances=3),
    "a fixed batch": with_fixed_batch(),
    "little memory": space(max_instances=4, memory_mib=700.0),
    "a pair without engines": replace(space(tenants=2, max_instances=2), unavailable={(0, 1)}),
    "a batch without engines": replace(space(), unavailable_batches=frozenset({(0, 0, 4)})),
}


@pytest.mark.parametrize("name", SPACES)
def test_every_valid_configuration_has_an_action_that_no_mask_forbids(name: str) -> None:
    world = SPACES[name]
    layout = KnobLayout.of([world])
    masks = layout.split(layout.masks(world))
    used = [np.zeros(size, dtype=bool) for size in layout.sizes]
    for row in world.catalogue:
        configuration = Configuration.of(row)
        action = layout.action(world, configuration)
        assert layout.configuration(world, action) == configuration
        for place, number in enumerate(action):
            assert masks[place][number], (configuration, place)
            used[place][number] |= place % 2 == 0 or action[place - 1] > 0  # or no batch is meant
    for place, (mask, seen) in enumerate(zip(masks, used, strict=True)):
        closed = place % 2 and not seen.any()  # a knob that can only be 0 keeps one option
        assert mask.tolist() == ([True] + [False] * (len(seen) - 1) if closed else seen.tolist())


def test_the_order_of_an_action_is_that_of_a_configuration() -> None:
    layout = KnobLayout.of([SPACES["two tenants"]])
    assert layout.sizes.tolist() == [3, 2] * 4
    action = np.array([1, 1, 0, 1, 0, 0, 2, 0])
    expected = Configuration((((1, 4), (0, 0)), ((0, 0), (2, 1))))
    assert layout.configuration(SPACES["two tenants"], action) == expected


def test_an_invalid_combination_is_a_failure_with_the_reason_of_the_judge() -> None:
    world = SPACES["a limit in total"]
    layout = KnobLayout.of([world])
    for action, reason in (
        ([0, 1, 0, 1, 1, 0, 0, 0], "a tenant has no instance"),
        ([2, 0, 0, 0, 2, 0, 0, 0], "more than 3 instances in total"),
    ):
        found = layout.configuration(world, np.array(action))
        assert isinstance(found, Failure)
        assert found.kind is FailureKind.INVALID
        assert reason in found.reason


def test_spaces_side_by_side_share_one_layout() -> None:
    small, large = space(batches=(2, 8)), SPACES["two tenants"]
    layout = KnobLayout.of([small, large])
    assert (layout.tenants, layout.batches) == (2, (1, 2, 4, 8))
    assert layout.max_instances == (3, 3)
    assert layout.masks(small).sum() == (4 + 2) * 2 + 4, "the second tenant's knobs stay at 0"
    action = layout.action(small, small.default())
    assert layout.configuration(small, action) == small.default()
    action[-2] = 1
    found = layout.configuration(small, action)
    assert isinstance(found, Failure)
    assert "beyond the 1 tenants" in found.reason


def test_what_is_no_action_is_refused() -> None:
    layout = KnobLayout.of([SPACES["one tenant"]])
    for action in ([4, 0, 0, 0], [-1, 0, 0, 0], [1, 3, 0, 0], [1, 0]):
        with pytest.raises(ConfigurationError, match="an action"):
            layout.placements(np.array(action))
