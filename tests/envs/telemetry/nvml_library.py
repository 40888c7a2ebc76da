"""A stand-in for pynvml with one GPU, with the names of nvidia-ml-py 13."""

from __future__ import annotations

import itertools
import sys
from types import ModuleType, SimpleNamespace

import pytest


class NVMLError(Exception):
    pass


def install(
    monkeypatch: pytest.MonkeyPatch, counts: bool, has_power: bool = True, throttled: int = 0
) -> ModuleType:
    """Make `import pynvml` return the stand-in.

    Args:
        monkeypatch: undoes it after the test.
        counts: the GPU counts energy, as boards from Volta on do.
        has_power: the GPU measures power.
        throttled: the bits of the causes that lower its clocks.
    """
    module = ModuleType("pynvml")
    millijoules = itertools.count(5_000_000, 7)
    violation_ns = itertools.count(0, 1_000_000)

    def energy(handle: object) -> int:
        if not (counts and has_power):
            raise NVMLError("Not Supported")
        return next(millijoules)

    def power(handle: object) -> int:
        if not has_power:
            raise NVMLError("Not Supported")
        return 61_250

    def violation(handle: object, policy: int) -> SimpleNamespace:
        if policy != 0:
            raise NVMLError("Not Supported")
        return SimpleNamespace(violationTime=next(violation_ns))

    vars(module).update(
        NVMLError=NVMLError,
        NVML_TEMPERATURE_GPU=0,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        NVML_PERF_POLICY_POWER=0,
        NVML_PERF_POLICY_THERMAL=1,
        nvmlClocksThrottleReasonHwSlowdown=0x8,
        nvmlClocksThrottleReasonSwThermalSlowdown=0x20,
        nvmlClocksThrottleReasonHwThermalSlowdown=0x40,
        nvmlClocksThrottleReasonHwPowerBrakeSlowdown=0x80,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: f"index {index}",
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=energy,
        nvmlDeviceGetPowerUsage=power,
        nvmlDeviceGetTemperature=lambda handle, sensor: 45,
        nvmlDeviceGetClockInfo=lambda handle, part: 1410 if part == 1 else 1593,
        nvmlDeviceGetViolationStatus=violation,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: throttled,
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module
