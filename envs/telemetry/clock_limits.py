"""The highest clocks that the present power mode allows, from sysfs: a container sees them too.

`nvpmodel` writes them: nvpmodel.conf of NVIDIA's boards names these files (`GPU MAX_FREQ`,
`CPU_A78_0 MAX_FREQ`) and switches cores on and off.
"""

import math
import os
from pathlib import Path

from envs.telemetry.sysfs import read_number, read_text

#: How the names of a Jetson's GPU end below /sys/class/devfreq: `17000000.ga10b` in JetPack 5,
#: `17000000.gpu` from JetPack 6 on, `17000000.gv11b` on a Xavier.
GPUS = (".gpu", ".ga10b", ".gv11b")


def gpu_devfreq(root: Path) -> Path | None:
    """Return the folder of a Jetson's GPU clock; None if there is none."""
    folders = sorted((root / "sys/class/devfreq").glob("*.*"))
    return next((each for each in folders if each.suffix in GPUS), None)


def gpu_limit_mhz(root: Path = Path("/")) -> float:
    """Return the highest clock of a Jetson's GPU now; NaN where it is not visible."""
    folder = gpu_devfreq(root)
    hertz = read_number(folder / "max_freq") if folder else None
    return hertz / 1e6 if hertz else math.nan


def cpu_limit_mhz(root: Path = Path("/")) -> float:
    """Return the highest clock of the first processor core now; NaN where it is not visible."""
    kilohertz = read_number(root / "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq")
    return kilohertz / 1e3 if kilohertz else math.nan


def cores_on(root: Path = Path("/")) -> int:
    """Return how many cores of the processor are switched on, whoever may use them."""
    try:
        ranges = read_text(root / "sys/devices/system/cpu/online").split(",")
        ends = [[int(end) for end in each.split("-")] for each in ranges]
        return sum(last[-1] - last[0] + 1 for last in ends)
    except (OSError, ValueError):
        return os.cpu_count() or 1
