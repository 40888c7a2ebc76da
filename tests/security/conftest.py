"""Fixtures for tests of attacks: a folder with a secret beside it, and the old signal handlers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Restore the signal handlers that `tuner.deploy` replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the model; a secret of the right size lies outside."""
    (tmp_path / "secret").write_bytes(b"\x01" * 64)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"
