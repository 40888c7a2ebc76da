"""Fixtures for tests of tuners."""

from __future__ import annotations

from pathlib import Path

import pytest
from stable_baselines3 import PPO

from tuner.policy.bundle import Bundle, load_bundle


@pytest.fixture(scope="session")
def bundle(policy: tuple[PPO, Path]) -> Bundle:
    return load_bundle(policy[1])
