"""Fixtures for tests of what is believed."""

from __future__ import annotations

import pytest

from envs.simulator.device_model import DeviceModel
from tests.envs.belief.boards import model_of


@pytest.fixture(scope="session")
def model() -> DeviceModel:
    return model_of()
