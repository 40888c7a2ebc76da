"""Fixtures for tests of environments."""

from __future__ import annotations

import pytest

from envs.problems.world import World


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """Return the world of the fixture that a parameter names."""
    found: World = request.getfixturevalue(request.param)
    return found
