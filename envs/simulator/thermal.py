"""Heat: the temperature of a module under a power over time, and the clocks that are left.

The module is one mass that loses heat in proportion to its excess over the surroundings. No public
data gives these numbers for a Jetson with its fan; they are assumptions of the size that developer
kits show (minutes to warm up, throttling in the nineties under full load in a warm box).
"""

from dataclasses import dataclass

import numpy as np

from envs.arrays import FloatArray
from envs.errors import require_positive


@dataclass(frozen=True)
class Cooling:
    """A module in its box.

    Attributes:
        ambient_c: temperature of the surroundings.
        c_per_w: excess over them for each watt in the steady state.
        time_constant_s: time in which an excess falls to 37 %.
        limit_c: temperature above which clocks are lowered.
        clock_per_c: share of the clocks that each degree above the limit takes.
        min_clock: share of the clocks that is left at any temperature.
    """

    ambient_c: float = 25.0
    c_per_w: float = 1.0
    time_constant_s: float = 120.0
    limit_c: float = 95.0
    clock_per_c: float = 0.05
    min_clock: float = 0.4

    def __post_init__(self) -> None:
        require_positive("cooling", self, "c_per_w", "time_constant_s", "clock_per_c", "min_clock")


def temperature_after(
    cooling: Cooling,
    start_c: FloatArray | float,
    power_w: FloatArray | float,
    seconds: FloatArray | float,
) -> FloatArray:
    """Return the temperature [...] after `seconds` of a constant power."""
    steady = cooling.ambient_c + cooling.c_per_w * np.asarray(power_w)
    return np.asarray(
        steady
        + (np.asarray(start_c) - steady) * np.exp(-np.asarray(seconds) / cooling.time_constant_s)
    )


def clock_at(cooling: Cooling, temperature_c: FloatArray | float) -> FloatArray:
    """Return the share of the power mode's clocks that is left, [...]: 1 up to the limit."""
    clock = 1.0 - cooling.clock_per_c * (np.asarray(temperature_c) - cooling.limit_c)
    return np.asarray(np.clip(clock, cooling.min_clock, 1.0))
