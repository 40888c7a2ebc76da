"""Heat: how warm a module gets under a power over time, and how much of its clocks it then keeps. Pure, on arrays.

One mass that loses heat in proportion to its excess over the surroundings. No public data gives these numbers for a Jetson with its fan;
they are assumptions of the size that developer kits show (minutes to warm up, throttling in the nineties under full load in a warm box).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.arrays import FloatArray
from envs.errors import require_positive


@dataclass(frozen=True)
class Cooling:
    """A module in its box.

    Attributes:
        ambient_c: of the surroundings. c_per_w: excess over them for each watt in the steady state.
        minutes_s: seconds in which an excess falls to 37 %. limit_c: above it clocks are lowered, by `slope` for each degree, to no less than `least`.
    """

    ambient_c: float = 25.0
    c_per_w: float = 1.0
    minutes_s: float = 120.0
    limit_c: float = 95.0
    slope: float = 0.05
    least: float = 0.4

    def __post_init__(self) -> None:
        require_positive("cooling", self, "c_per_w", "minutes_s", "slope", "least")


def temperature_after(
    cooling: Cooling,
    start_c: FloatArray | float,
    power_w: FloatArray | float,
    seconds: FloatArray | float,
) -> FloatArray:
    """Degrees C after `seconds` of a constant power, [...] as the arguments broadcast."""
    steady = cooling.ambient_c + cooling.c_per_w * np.asarray(power_w)
    return np.asarray(
        steady + (np.asarray(start_c) - steady) * np.exp(-np.asarray(seconds) / cooling.minutes_s)
    )


def clock_at(cooling: Cooling, temperature_c: FloatArray | float) -> FloatArray:
    """Share of the power mode's clocks that is left at a temperature, [...]: 1 up to the limit."""
    return np.asarray(
        np.clip(
            1.0 - cooling.slope * (np.asarray(temperature_c) - cooling.limit_c), cooling.least, 1.0
        )
    )
