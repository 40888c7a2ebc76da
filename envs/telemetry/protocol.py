"""The interface of sensors: power, temperatures, clocks and throttling of a board."""

import math
import time
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class BoardSample:
    """One reading of a board. A missing number is NaN or not in the dict; never 0.

    Attributes:
        total_w: power of the module; NaN if unknown. With energy counters it is the mean since the
            last reading.
        rails_w: power by rail.
        time_s: time of the reading on the clock of `time.perf_counter`.
        total_rails: the rails whose sum is the total; empty if the total is unknown.
        energy_j: energy counters by rail; empty if the sensor measures power.
        energy_wrap_j: value at which a counter starts again from zero, by rail; a rail that is
            missing never wraps.
        refresh_s: highest age of a counter when it is read.
        steps_w: smallest change of power that shows, by rail.
        temperatures_c: temperatures by zone.
        clocks_mhz: clocks by part.
        throttle_events: counters of throttling, such as over-current alarms, since the start of the
            board.
        throttling: causes that lower the clocks at this moment.
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
    """A source of power readings."""

    @property
    def name(self) -> str:
        """Return the name of the sensor, which every measurement carries."""

    @property
    def has_power(self) -> bool:
        """Return True if it measures the total power; otherwise a power limit is refused."""

    def read(self) -> BoardSample:
        """Return the present reading; may wait for the next sample.

        Raises:
            SensorError: nothing can be read.
        """

    def close(self) -> None:
        """Release all resources; idempotent."""
