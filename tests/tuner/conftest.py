"""Fixtures for tests of tuners."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from stable_baselines3 import PPO

from tuner.policy.bundle import Bundle, load_bundle


@pytest.fixture(scope="session")
def bundle(policy: tuple[PPO, Path]) -> Bundle:
    return load_bundle(policy[1])


@pytest.fixture
def session_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep quantised copies for the whole session."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep quantised copies and engines for one test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> None:
    """Catch warnings, whatever level another test has left."""
    caplog.set_level(logging.WARNING)
