"""Heat, clocks and throttling of a board, from sysfs: what every sensor of a Jetson adds to its watts.

Sources: NVIDIA Jetson Linux Developer Guide, "Thermal Management" and "Over-Current Throttling" of the Orin chapter; Linux
Documentation/ABI/testing/sysfs-class-thermal, sysfs-class-devfreq and sysfs-devices-system-cpu. All of this is a bonus: what cannot be read is left out.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from envs.telemetry.sysfs import read_number, read_text

#: Over-current alarms since the start of the board: `event` on Orin, `irq` on Xavier. oc1 under-voltage, oc2 average, oc3 instantaneous.
ALARM = re.compile(r"(oc\d+)_(?:event|irq)_cnt")
#: Cooling devices through which the firmware tells that it holds clocks back for heat; their state is 0 while it does not.
THROTTLE_ALERT = "-throttle-alert"
#: A zone that is switched off.
OFFLINE_C = -200.0


class BoardFiles:
    """The files of one board, found once.

    Args:
        root: of the tree; `/` on a board.
    """

    def __init__(self, root: Path) -> None:
        self._zones = {
            place_name(_text(zone / "type")): zone / "temp"
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

    def told(self) -> dict[str, Any]:
        """The fields of a sample that do not depend on where power comes from."""
        return {
            "temperatures_c": self.temperatures_c(),
            "clocks_mhz": {
                name: hertz * scale / 1e6
                for name, (path, scale) in self._clocks.items()
                if (hertz := read_number(path)) is not None
            },
            **self.throttle(),
        }

    def temperatures_c(self) -> dict[str, float]:
        read = {
            place: milli / 1e3
            for place, path in self._zones.items()
            if (milli := read_number(path)) is not None
        }
        return {place: celsius for place, celsius in read.items() if celsius > OFFLINE_C}

    def throttle(self) -> dict[str, Any]:
        """Counters of alarms and of heat, and the places that are throttled for heat now."""
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


def place_name(zone: str) -> str:
    """One name for what releases spell `CPU-therm`, `cpu-thermal` or `cpu`."""
    return re.sub(r"[-_]therm(al)?$", "", zone.lower())


def _package_counters(root: Path) -> dict[str, Path]:
    """How often a processor package (x86) was too hot; each of its cores shows the same count, and one of them is read."""
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
    """Where clocks stand, with what makes Hz of them."""
    # 17000000.ga10b in JetPack 5, 17000000.gpu from JetPack 6 on.
    found = {}
    for device in _sorted(root / "sys/class/devfreq", "*.*"):
        if device.suffix in (".gpu", ".ga10b", ".gv11b"):
            found["gpu"] = (device / "cur_freq", 1)
    for policy in _sorted(root / "sys/devices/system/cpu/cpufreq", "policy*"):
        found[f"cpu{policy.name.removeprefix('policy')}"] = (policy / "scaling_cur_freq", 1000)
    memory = root / "sys/kernel/debug/bpmp/debug/clk/emc/rate"
    if os.access(memory, os.R_OK):  # for root alone
        found["emc"] = (memory, 1)
    return found


def _sorted(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError:
        return ""
