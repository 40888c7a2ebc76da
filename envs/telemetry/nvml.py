"""Power of a desktop GPU through NVIDIA's management library, which Jetsons do not support."""

import contextlib
import math
import os
import time
from pathlib import Path
from typing import Any

from envs.errors import SensorError
from envs.optional import optional_import
from envs.telemetry.protocol import BoardSample

NAME = "nvml"
#: Readings are renewed every 20 to 100 ms, depending on the board (Yang, Adamek, Armour, "Part-time
#: power measurements", arXiv 2312.02741).
REFRESH_S = 0.1
#: Power is reported in mW. The step says nothing about the accuracy of the shunt.
STEP_W = 1e-3

#: Counters of time with lowered clocks, by the names of the policies in pynvml.
VIOLATIONS = {"power_cap": "NVML_PERF_POLICY_POWER", "thermal": "NVML_PERF_POLICY_THERMAL"}
#: Causes that lower the clocks now and that the user did not choose.
REASONS = {
    "hardware_slowdown": "nvmlClocksThrottleReasonHwSlowdown",
    "hardware_thermal": "nvmlClocksThrottleReasonHwThermalSlowdown",
    "software_thermal": "nvmlClocksThrottleReasonSwThermalSlowdown",
    "power_brake": "nvmlClocksThrottleReasonHwPowerBrakeSlowdown",
}


class NvmlSensor:
    """Measures the first GPU that CUDA uses.

    It counts energy if the driver does (Volta and later), and measures power otherwise.

    Args:
        root: not used.

    Raises:
        DependencyError: nvidia-ml-py is not installed.
        SensorError: there is no driver or no GPU, or it does not measure power.
    """

    name = NAME
    has_power = True

    def __init__(self, root: Path = Path("/")) -> None:
        self._nvml: Any = optional_import("pynvml", "nvml")
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise SensorError(
                f"{NAME}: {error}: this computer has no NVIDIA driver that answers, "
                "install it or choose another sensor"
            ) from error
        try:
            self._handle = self._chosen()
            self._counts = self._ask("nvmlDeviceGetTotalEnergyConsumption") is not None
            if not self._counts:
                self._nvml.nvmlDeviceGetPowerUsage(self._handle)
            self._last = self._energy()
        except self._nvml.NVMLError as error:
            self._nvml.nvmlShutdown()
            raise SensorError(
                f"{NAME}: the GPU does not measure power ({error}): choose another sensor"
            ) from error
        self._open = True

    def read(self) -> BoardSample:
        """Return a sample; raise SensorError if the driver does not answer."""
        try:
            return self._counted() if self._counts else self._watts()
        except self._nvml.NVMLError as error:
            raise SensorError(
                f"{NAME}: the GPU has stopped measuring power ({error}): see nvidia-smi"
            ) from error

    def close(self) -> None:
        """Release the library; idempotent."""
        if self._open:
            self._open = False
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    def _counted(self) -> BoardSample:
        (then_s, before_j), (now_s, after_j) = self._last, self._energy()
        self._last = (now_s, after_j)
        watts = (after_j - before_j) / (now_s - then_s) if now_s > then_s else math.nan
        return BoardSample(
            watts,
            {"gpu": watts},
            now_s,
            ("gpu",),
            energy_j={"gpu": after_j},
            refresh_s=REFRESH_S,
            **self._sample_fields(),
        )

    def _watts(self) -> BoardSample:
        watts = self._nvml.nvmlDeviceGetPowerUsage(self._handle) / 1e3
        return BoardSample(
            watts,
            {"gpu": watts},
            total_rails=("gpu",),
            steps_w={"gpu": STEP_W},
            **self._sample_fields(),
        )

    def _energy(self) -> tuple[float, float]:
        joules = (
            self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3
            if self._counts
            else math.nan
        )
        return time.perf_counter(), joules

    def _sample_fields(self) -> dict[str, Any]:
        nvml = self._nvml
        celsius = self._ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU)
        clocks = {
            "gpu": self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
            "memory": self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
        }
        violations = {
            name: self._ask("nvmlDeviceGetViolationStatus", getattr(nvml, policy))
            for name, policy in VIOLATIONS.items()
        }
        reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons") or 0
        return {
            "temperatures_c": {} if celsius is None else {"gpu": float(celsius)},
            "clocks_mhz": {part: float(mhz) for part, mhz in clocks.items() if mhz is not None},
            "throttle_events": {
                name: int(status.violationTime)
                for name, status in violations.items()
                if status is not None
            },
            "throttling": tuple(
                name for name, bit in REASONS.items() if reasons & getattr(nvml, bit)
            ),
        }

    def _ask(self, function: str, *arguments: Any) -> Any:
        try:
            return getattr(self._nvml, function)(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None

    def _chosen(self) -> Any:
        """Return the first of CUDA_VISIBLE_DEVICES, by position or UUID.

        Positions follow the order of the bus, as with CUDA_DEVICE_ORDER=PCI_BUS_ID.
        """
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
        if first.startswith("GPU-"):
            return self._nvml.nvmlDeviceGetHandleByUUID(first)
        return self._nvml.nvmlDeviceGetHandleByIndex(int(first) if first.isdigit() else 0)
