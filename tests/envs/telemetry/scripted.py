"""A sensor that tells what a test wants, at the seam where real ones stand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from envs.telemetry.protocol import BoardSample

Tell = Callable[[int], BoardSample]


class ScriptedSensor:
    """Calls `tell` with the number of the reading."""

    name = "scripted"

    def __init__(self, tell: Tell, has_power: bool = True) -> None:
        self._tell = tell
        self.has_power = has_power
        self.reads = 0

    def read(self) -> BoardSample:
        self.reads += 1
        return self._tell(self.reads - 1)

    def close(self) -> None:
        pass


def watts(total_w: float, **told: Any) -> BoardSample:
    """A sample of one rail."""
    return BoardSample(
        total_w,
        {"module": total_w},
        time.perf_counter(),
        ("module",),
        steps_w={"module": 0.4},
        **told,
    )
