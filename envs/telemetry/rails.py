"""The rails of a Jetson: which of them sum to the module's power, and how coarse they are.

Sources: NVIDIA Jetson Linux Developer Guide, "Jetson Orin Nano Series, Jetson Orin NX Series and
Jetson AGX Orin Series", section on INA3221; shunts from Linux
arch/arm64/boot/dts/nvidia/tegra234-p3701.dtsi (2 mOhm) and tegra234-p3767.dtsi (5 mOhm).
"""

import math
from collections.abc import Iterable
from typing import Any

from envs.telemetry.protocol import BoardSample

#: Rails that are the module's input (TX and Nano, Orin NX and Nano, Thor); other rails are parts.
INPUTS = ("VDD_IN", "POM_5V_IN", "VIN")
#: Rails of an AGX Orin, which has no input rail. VIN_SYS_5V0 contains VDDQ_VDD2_1V8AO.
AGX_ORIN = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")

#: One step of the INA3221 (Texas Instruments, data sheet SBOS576): 40 uV over the shunt, 8 mV of
#: the bus.
SHUNT_STEP_V = 40e-6
BUS_STEP_V = 8e-3

#: Steps for sources of power alone: one step of current at the rail's voltage on NVIDIA's own
#: carrier board.
STEPS_W = {
    "VDD_GPU_SOC": 0.4,
    "VDD_CPU_CV": 0.4,
    "VIN_SYS_5V0": 0.1,
    "VDDQ_VDD2_1V8AO": 0.1,
    "VDD_IN": 0.04,
    "VDD_CPU_GPU_CV": 0.04,
    "VDD_SOC": 0.04,
}


#: Between the name of a rail and its monitor, where several monitors have a rail of that name.
OF_MONITOR = "@"


def module_rails(names: Iterable[str]) -> tuple[str, ...]:
    """Return the rails whose sum is the module's power; () if the set of rails is not known.

    A guessed sum could count a rail twice. So there is none where two monitors have a rail of the
    same name: one of them may measure a part of the other.
    """
    rails = set(names)
    if any(OF_MONITOR in rail for rail in rails):
        return ()
    for rail in INPUTS:
        if rail in rails:
            return (rail,)
    return AGX_ORIN if rails.issuperset(AGX_ORIN) else ()


def sample_of_rails(
    rails_w: dict[str, float], steps_w: dict[str, float], time_s: float, **fields: Any
) -> BoardSample:
    """Return a sample from the power of each rail; its total is NaN if the rails are not known."""
    total_rails = module_rails(rails_w)
    return BoardSample(
        total_w=math.fsum(rails_w[rail] for rail in total_rails) if total_rails else math.nan,
        rails_w=rails_w,
        time_s=time_s,
        total_rails=total_rails,
        steps_w=steps_w,
        **fields,
    )


def step_w(volts: float, amperes: float, shunt_ohm: float) -> float:
    """Return the smallest change of power that shows: one step of current and one of voltage."""
    return volts * SHUNT_STEP_V / shunt_ohm + abs(amperes) * BUS_STEP_V
