"""A sensor whose readings a test chooses."""

import time
from collections.abc import Callable
from typing import Any

from envs.telemetry.protocol import BoardSample


class ScriptedSensor:
    """Calls `sample` with the number of the reading, from 0; it may raise SensorError.

    Attributes:
        reads: how often the sensor was read.
    """

    name = "scripted"

    def __init__(self, sample: Callable[[int], BoardSample], has_power: bool = True) -> None:
        self._sample = sample
        self.has_power = has_power
        self.reads = 0

    def read(self) -> BoardSample:
        """Return the next sample."""
        self.reads += 1
        return self._sample(self.reads - 1)

    def close(self) -> None:
        """Do nothing."""


def watts(total_w: float, **readings: Any) -> BoardSample:
    """Return a sample of one rail, called `module`, with a resolution of 0.4 W."""
    return BoardSample(
        total_w,
        {"module": total_w},
        time.perf_counter(),
        ("module",),
        steps_w={"module": 0.4},
        **readings,
    )
