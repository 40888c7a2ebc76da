"""What the rails of a Jetson mean: which of them make the module's power, and how coarse they are.

Sources: NVIDIA Jetson Linux Developer Guide, "Jetson Orin Nano Series, Jetson Orin NX Series and Jetson AGX Orin Series", section
on INA3221; shunts from Linux arch/arm64/boot/dts/nvidia/tegra234-p3701.dtsi (2 mOhm) and tegra234-p3767.dtsi (5 mOhm).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from envs.telemetry.protocol import BoardSample

#: Rails that are the module's input: TX and Nano, Orin NX and Nano, Thor. The others are parts of them.
INPUTS = ("VDD_IN", "POM_5V_IN", "VIN")
#: An AGX Orin has no input rail. VDDQ_VDD2_1V8AO is fed from VIN_SYS_5V0, and would be counted twice.
AGX_ORIN = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")

#: One step of the INA3221 (Texas Instruments, data sheet SBOS576): 40 uV over the shunt, 8 mV of the bus.
SHUNT_STEP_V = 40e-6
BUS_STEP_V = 8e-3

#: Where a source tells watts only: one step of current at the voltage at which the rail is sensed on NVIDIA's own carrier board.
STEPS_W = {
    "VDD_GPU_SOC": 0.4,
    "VDD_CPU_CV": 0.4,
    "VIN_SYS_5V0": 0.1,
    "VDDQ_VDD2_1V8AO": 0.1,
    "VDD_IN": 0.04,
    "VDD_CPU_GPU_CV": 0.04,
    "VDD_SOC": 0.04,
}


def module_rails(names: Iterable[str]) -> tuple[str, ...]:
    """The rails whose sum is the module's power; empty where the set is not known, for a guessed sum may count a rail twice."""
    known = set(names)
    for rail in INPUTS:
        if rail in known:
            return (rail,)
    return AGX_ORIN if known.issuperset(AGX_ORIN) else ()


def total_w(rails_w: Mapping[str, float]) -> float:
    """Watts of the module; NaN where the rails do not say."""
    return (
        math.fsum(rails_w[rail] for rail in module_rails(rails_w))
        if module_rails(rails_w)
        else math.nan
    )


def of_rails(
    rails_w: dict[str, float], steps_w: dict[str, float], time_s: float, **more: Any
) -> BoardSample:
    """A sample from watts by rail, its total as far as the rails say, with whatever else the board told."""
    return BoardSample(
        total_w=total_w(rails_w),
        rails_w=rails_w,
        time_s=time_s,
        total_rails=module_rails(rails_w),
        steps_w=steps_w,
        **more,
    )


def step_w(volts: float, amperes: float, shunt_ohm: float) -> float:
    """The smallest change of watts that shows: one step of current and one of voltage."""
    return volts * SHUNT_STEP_V / shunt_ohm + abs(amperes) * BUS_STEP_V


def nominal_steps_w(names: Iterable[str]) -> dict[str, float]:
    """The step of each rail where voltage and current are not told; NaN for a rail that is not known."""
    return {name: STEPS_W.get(name, math.nan) for name in names}
