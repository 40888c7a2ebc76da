"""Temperatures, clocks and throttling of a board from sysfs, which every sensor adds to its watts.

Files that cannot be read are left out. Sources: NVIDIA Jetson Linux Developer Guide, "Thermal
Management" and "Over-Current Throttling" of the Orin chapter; Linux
Documentation/ABI/testing/sysfs-class-thermal, sysfs-class-devfreq and sysfs-devices-system-cpu.
"""

import os
import re
from pathlib import Path
from typing import Any

from envs.telemetry.clock_limits import gpu_devfreq
from envs.telemetry.sysfs import read_number, read_text

#: Counters of over-current alarms since the board started: `event` on Orin, `irq` on Xavier; oc1 is
#: under-voltage, oc2 average and oc3 instantaneous current.
ALARM = re.compile(r"(oc\d+)_(?:event|irq)_cnt")
#: Name of the cooling devices whose state is above 0 while the firmware lowers clocks for heat.
THROTTLE_ALERT = "-throttle-alert"
#: A thermal zone that is switched off reads below this.
OFFLINE_C = -200.0


class BoardFiles:
    """The files of one board, which are found once.

    Args:
        root: root of the file tree; `/` on a board.
    """

    def __init__(self, root: Path) -> None:
        self._zones = {
            zone_name(_text(zone / "type")): zone / "temp"
            for zone in _sorted(root / "sys/class/thermal", "thermal_zone*")
        }
        self._alerts = {
            kind.removesuffix(THROTTLE_ALERT): device / "cur_state"
            for device in _sorted(root / "sys/class/thermal", "cooling_device*")
            if (kind := _text(device / "type")).endswith(THROTTLE_ALERT)
        }
        self._alarms = {
            found[1]: path
            for chip in _sorted(root / "sys/class/hwmon", "hwmon*")
            if _text(chip / "name") == "soctherm_oc"
            for path in _sorted(chip, "oc*_cnt")
            if (found := ALARM.fullmatch(path.name))
        } | _package_counters(root)
        self._clocks = _clock_files(root)

    def sample_fields(self) -> dict[str, Any]:
        """Return the fields of a BoardSample that do not depend on the source of power."""
        return {
            "temperatures_c": self.temperatures_c(),
            "clocks_mhz": {
                name: hertz * scale / 1e6
                for name, (path, scale) in self._clocks.items()
                if (hertz := read_number(path)) is not None
            },
            **self.throttle_fields(),
        }

    def temperatures_c(self) -> dict[str, float]:
        """Return the temperatures of the thermal zones that are on, by name."""
        read = {
            name: milli / 1e3
            for name, path in self._zones.items()
            if (milli := read_number(path)) is not None
        }
        return {name: celsius for name, celsius in read.items() if celsius > OFFLINE_C}

    def throttle_fields(self) -> dict[str, Any]:
        """Return counters of throttling, and names of the parts that are throttled for heat now."""
        return {
            "throttle_events": {
                name: count
                for name, path in self._alarms.items()
                if (count := read_number(path)) is not None
            },
            "throttling": tuple(
                f"{name}_thermal" for name, path in self._alerts.items() if read_number(path)
            ),
        }


def zone_name(zone: str) -> str:
    """Return one name for a zone that releases spell `CPU-therm`, `cpu-thermal` or `cpu`."""
    return re.sub(r"[-_]therm(al)?$", "", zone.lower())


def _package_counters(root: Path) -> dict[str, Path]:
    """Return the files that count how often an x86 processor package was too hot.

    Every core of a package shows the same count; the file of one core is read.
    """
    cores = _sorted(root / "sys/devices/system/cpu", "cpu[0-9]*")
    counters = {
        _text(core / "topology/physical_package_id"): core
        / "thermal_throttle/package_throttle_count"
        for core in cores
    }
    return {
        f"package{package}_thermal": path for package, path in counters.items() if path.exists()
    }


def _clock_files(root: Path) -> dict[str, tuple[Path, int]]:
    found = {}
    if (gpu := gpu_devfreq(root)) is not None:
        found["gpu"] = (gpu / "cur_freq", 1)
    for policy in _sorted(root / "sys/devices/system/cpu/cpufreq", "policy*"):
        found[f"cpu{policy.name.removeprefix('policy')}"] = (policy / "scaling_cur_freq", 1000)
    memory = root / "sys/kernel/debug/bpmp/debug/clk/emc/rate"
    if os.access(memory, os.R_OK):  # usually root only
        found["emc"] = (memory, 1)
    return found


def _sorted(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError:
        return ""
