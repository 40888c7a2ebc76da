"""Controllers on a simulated board in which things break."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fault_worlds import SimulatedWorld
from benchmarks.faults import Campaign


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    made = Campaign(SimulatedWorld(tmp_path, 1.0), tmp_path, 1.0)
    yield made
    made.close()


@pytest.fixture
def saturated(tmp_path: Path) -> Iterator[Campaign]:
    made = Campaign(SimulatedWorld(tmp_path, 1.0, math.inf), tmp_path, 1.0)
    yield made
    made.close()
