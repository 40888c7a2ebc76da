"""Detects that another program used the computer while a window was open."""

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

#: A window is marked if others took more than this share of the cores; an idle Linux takes 0.2 %.
DISTURBED_SHARE = 0.02

#: Kernel threads that work for the GPU and the DLAs, by parts of their names in Jetson Linux
#: (drivers nvgpu, nvhost, host1x, nvmap, nvdla; their interrupts are called after the chip: gk20a,
#: ga10b, gv11b) and in the driver of a desktop (`nv_queue`, `nvidia-modeset`, `UVM`). Their work is
#: this service's own. A container sees them only with the process table of its host.
DRIVER = re.compile(r"nvgpu|nvhost|host1x|nvmap|nvdla|gk20a|ga10b|gv11b|nv_queue|nvidia|UVM")

#: Flag of a kernel thread in /proc/PID/stat (Linux, include/linux/sched.h, PF_KTHREAD).
KERNEL_THREAD = 0x0020_0000


@dataclass(frozen=True)
class CpuReading:
    """Counters at one moment.

    Attributes:
        busy_s: of all cores that this process may use together, since boot, steal included.
        own_s: of this process.
        wall_s: of the wall clock.
        cores: how many cores this process may use.
        driver_s: of the kernel threads of the GPU's driver.
    """

    busy_s: float
    own_s: float
    wall_s: float
    cores: int
    driver_s: float = 0.0


def read_cpu(proc: Path = Path("/proc")) -> CpuReading | None:
    """Return the counters of this moment; None where the system has none."""
    try:
        lines = (proc / "stat").read_text().splitlines()
        cores = os.sched_getaffinity(0)
    except (OSError, AttributeError):
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    busy = 0.0
    for line in lines:
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = (
                int(field) for field in fields[:8]
            )
            busy += (user + nice + system + irq + softirq + steal) / ticks
    driver_s = _driver_ticks(proc) / ticks
    return CpuReading(busy, time.process_time(), time.perf_counter(), len(cores), driver_s)


def _driver_ticks(proc: Path) -> int:
    """Return the clock ticks of the kernel threads of the GPU's driver, since they began."""
    ticks = 0
    with contextlib.suppress(OSError):
        for name in os.listdir(proc):
            if not name.isdigit():
                continue
            try:  # it may end at any moment
                text = (proc / name / "stat").read_text(errors="replace")
                title, fields = text.partition("(")[2].rsplit(")", 1)
                values = fields.split()
                if int(values[6]) & KERNEL_THREAD and DRIVER.search(title):
                    ticks += int(values[11]) + int(values[12])
            except (OSError, ValueError, IndexError):
                continue
    return ticks


def foreign_share(before: CpuReading | None, after: CpuReading | None) -> float:
    """Return the share (0..1) of the cores' time that others used between two readings.

    NaN where it cannot be known.
    """
    if before is None or after is None or after.wall_s <= before.wall_s:
        return float("nan")
    foreign_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    foreign_s -= max(0.0, after.driver_s - before.driver_s)
    return max(0.0, foreign_s / ((after.wall_s - before.wall_s) * after.cores))
