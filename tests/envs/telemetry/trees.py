"""File trees of boards, written below a temporary folder.

The numbers are those of an AGX Orin at rest: 1995 mW and 2524 mW are 19.952 V x 100 mA and 5.048 V
x 500 mA in steps of 8 mV and 20 mA. Layouts: NVIDIA Jetson Linux Developer Guide 35.6 and 36.3;
Linux drivers/hwmon/ina3221.c; the device trees tegra234-p3701.dtsi (AGX Orin) and
tegra234-p3767.dtsi (Orin NX and Nano).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

Channel = tuple[str, int, int]  # label, mV, mA


def write(path: Path, text: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")
    return path


def monitor(
    root: Path, address: str, hwmon: str, channels: Mapping[int, Channel], shunt_uohm: int
) -> Path:
    """Write one INA3221 with all files of the kernel, also those beside the three channels."""
    chip = root / "sys/bus/i2c/drivers/ina3221" / address / "hwmon" / hwmon
    write(chip / "name", "ina3221")
    for number, (label, millivolts, milliamperes) in channels.items():
        write(chip / f"in{number}_label", label)
        write(chip / f"in{number}_enable", 1)
        write(chip / f"in{number}_input", millivolts)
        write(chip / f"curr{number}_input", milliamperes)
        write(chip / f"shunt{number}_resistor", shunt_uohm)
        write(chip / f"in{number + 3}_input", milliamperes * shunt_uohm // 1000)
    write(chip / "in7_label", "sum of shunt voltages")
    write(chip / "in7_input", 760)
    write(chip / "curr4_input", 360)
    return chip


def heat(root: Path, zones: Mapping[str, int], alerts: Mapping[str, int]) -> None:
    """Write thermal zones in m°C, and the states of cooling devices."""
    for position, (kind, milli) in enumerate(zones.items()):
        write(root / f"sys/class/thermal/thermal_zone{position}/type", kind)
        write(root / f"sys/class/thermal/thermal_zone{position}/temp", milli)
    for position, (kind, state) in enumerate(alerts.items()):
        write(root / f"sys/class/thermal/cooling_device{position}/type", kind)
        write(root / f"sys/class/thermal/cooling_device{position}/cur_state", state)


def alarms(root: Path, hwmon: str, counts: tuple[int, int, int]) -> Path:
    chip = root / "sys/class/hwmon" / hwmon
    write(chip / "name", "soctherm_oc")
    for number, count in enumerate(counts, start=1):
        write(chip / f"oc{number}_event_cnt", count)
        write(chip / f"oc{number}_throt_en", 1)
    return chip


def throttled_packages(root: Path, counts: Mapping[int, int]) -> dict[int, list[Path]]:
    """Write counters of throttling at the two cores of each package, as Linux on x86 has them.

    Source: Documentation/ABI/testing/sysfs-devices-system-cpu.
    """
    found: dict[int, list[Path]] = {}
    for package_number, count in counts.items():
        for core in (2 * package_number, 2 * package_number + 1):
            folder = root / f"sys/devices/system/cpu/cpu{core}"
            write(folder / "topology/physical_package_id", package_number)
            write(folder / "thermal_throttle/core_throttle_count", 0)
            found.setdefault(package_number, []).append(
                write(folder / "thermal_throttle/package_throttle_count", count)
            )
    return found


def agx_orin_jetpack5(root: Path) -> Path:
    module = {
        1: ("VDD_GPU_SOC", 19952, 100),
        2: ("VDD_CPU_CV", 19952, 0),
        3: ("VIN_SYS_5V0", 5048, 500),
    }
    monitor(root, "1-0040", "hwmon3", module, 2000)
    monitor(
        root,
        "1-0041",
        "hwmon4",
        {1: ("NC", 0, 0), 2: ("VDDQ_VDD2_1V8AO", 4960, 220), 3: ("NC", 0, 0)},
        2000,
    )
    heat(
        root,
        {"CPU-therm": 43343, "GPU-therm": 41500, "CV0-therm": -256000, "tj-therm": 43343},
        {"pwm-fan": 1, "gpu-throttle-alert": 0},
    )
    alarms(root, "hwmon1", (0, 0, 4))
    write(root / "sys/class/devfreq/17000000.ga10b/cur_freq", 306_000_000)
    write(root / "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", 729_600)
    return root


def agx_orin_jetpack6(root: Path) -> Path:
    """Write other numbers of hwmon and names of zones; unconnected channels have no files."""
    module = {
        1: ("VDD_GPU_SOC", 19952, 160),
        2: ("VDD_CPU_CV", 19952, 720),
        3: ("VIN_SYS_5V0", 5040, 980),
    }
    monitor(root, "1-0040", "hwmon1", module, 2000)
    monitor(root, "1-0041", "hwmon2", {2: ("VDDQ_VDD2_1V8AO", 4960, 220)}, 2000)
    heat(
        root,
        {"cpu-thermal": 76500, "gpu-thermal": 74000, "tj-thermal": 77281},
        {"cpu-throttle-alert": 0, "gpu-throttle-alert": 1},
    )
    alarms(root, "hwmon5", (0, 15, 37))
    write(root / "sys/class/devfreq/17000000.gpu/cur_freq", 407_000_000)
    write(root / "sys/kernel/debug/bpmp/debug/clk/emc/rate", 2_133_000_000)
    return root


def orin_nx(root: Path) -> Path:
    module = {1: ("VDD_IN", 5024, 992), 2: ("VDD_CPU_GPU_CV", 5016, 160), 3: ("VDD_SOC", 5016, 280)}
    monitor(root, "1-0040", "hwmon1", module, 5000)
    heat(root, {"cpu-thermal": 46500, "tj-thermal": 46500}, {})
    alarms(root, "hwmon3", (0, 0, 0))
    return root


def package(
    root: Path, name: str, label: str, energy_uj: int, wrap_uj: int = 262_143_328_850
) -> Path:
    """Write one energy counter of a processor."""
    folder = root / "sys/class/powercap" / name
    write(folder / "name", label)
    write(folder / "energy_uj", energy_uj)
    write(folder / "max_energy_range_uj", wrap_uj)
    return folder
