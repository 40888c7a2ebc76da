"""Moves of a local search lead to the configurations next to another, and to no others."""

from __future__ import annotations

import numpy as np

from envs.belief.moves import Moves
from envs.spec import Configuration, ConfigurationSpace
from envs.testing.problems import small_space


def near(space: ConfigurationSpace, settings: list[list[tuple[int, int]]]) -> list[str]:
    options = space.encode(np.array([settings], dtype=np.int16))
    found, came = Moves(space).near(options)
    assert (came == 0).all()
    return [space.describe(Configuration.of(row)) for row in space.decode(found)]


def test_a_knob_changes_by_a_step_and_all_instances_move() -> None:
    space = small_space(batches=(1, 2, 4, 8))
    found = near(space, [[(1, 1), (0, 0)]])
    assert len(set(found)) == len(found)
    assert set(found) == {
        "net0: none",
        *("net0: cuda 2x1", "net0: cuda 1x2", "net0: cuda 1x4", "net0: cuda 2x2"),
        *(f"net0: cuda 1x1 + tensor 1x{size}" for size in (1, 2, 4, 8)),
        "net0: tensor 1x1",
    }


def test_two_tenants_change_places() -> None:
    space = small_space(tenants=2)
    found = near(space, [[(1, 1), (0, 0)], [(0, 0), (2, 2)]])
    assert "net0: tensor 2x2; net1: cuda 1x1" in found


def test_moves_lead_to_settings_that_the_space_has_alone() -> None:
    space = small_space(tenants=3, batches=(1, 2, 4)).without_batches({(0, 1, 4)})
    options = space.encode(space.catalogue[:: len(space.catalogue) // 50])
    found, came = Moves(space).near(options)
    assert (space.encode(space.decode(found)) == found).all()
    assert (found != options[came]).any(axis=1).all()
    assert set(came.tolist()) == set(range(len(options)))
