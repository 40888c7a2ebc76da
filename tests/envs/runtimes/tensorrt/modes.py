"""Boards whose power mode a test sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.runtimes.tensorrt import host as host_module
from envs.spec import Network
from tests.envs.runtimes.tensorrt.worlds import World


class Modes:
    """A world whose power mode a test changes."""

    def __init__(
        self, small: tuple[Path, Network], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.mode = "30W"
        monkeypatch.setattr(host_module, "read_power_mode", lambda root: self.mode)
        self.world = World(small, folder / "engines")

    def restart(self, mode: str) -> World:
        self.mode = mode
        self.world.factory.close()
        self.world.factory = self.world.again()
        return self.world
