"""The sensor seam: what a board tells of its power, heat, clocks and throttling."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class BoardSample:
    """What a board told at one moment. Missing is NaN, or not in the dict; never 0.

    Attributes:
        total_w: of the module; NaN where that is unknown. Where energy is counted, the mean since the sensor was last read.
        rails_w: watts by rail.
        time_s: when, on the clock of `time.perf_counter`.
        total_rails: the rails that make the total; empty where it is unknown.
        energy_j: what a counter shows, by rail; empty where the sensor tells watts.
        energy_wrap_j: where that counter starts again from zero; a rail that is not in it never does.
        refresh_s: how old a counter may be when it is read.
        steps_w: the smallest change that shows, by rail.
        temperatures_c: by place.
        clocks_mhz: by part.
        throttle_events: counters of over-current and the like since the board was started.
        throttling: what holds the clocks back at this moment.
    """

    total_w: float = math.nan
    rails_w: dict[str, float] = field(default_factory=dict)
    time_s: float = field(default_factory=time.perf_counter)
    total_rails: tuple[str, ...] = ()
    energy_j: dict[str, float] = field(default_factory=dict)
    energy_wrap_j: dict[str, float] = field(default_factory=dict)
    refresh_s: float = 0.0
    steps_w: dict[str, float] = field(default_factory=dict)
    temperatures_c: dict[str, float] = field(default_factory=dict)
    clocks_mhz: dict[str, float] = field(default_factory=dict)
    throttle_events: dict[str, int] = field(default_factory=dict)
    throttling: tuple[str, ...] = ()


class Sensor(Protocol):
    """Where power is read. `name` goes into every measurement."""

    @property
    def name(self) -> str: ...

    @property
    def has_power(self) -> bool:
        """Whether it tells the total; a power limit is refused where it does not."""

    def read(self) -> BoardSample:
        """What the board tells now; may wait for the next sample. SensorError if nothing can be read."""

    def close(self) -> None:
        """Let go of what is held; idempotent."""
