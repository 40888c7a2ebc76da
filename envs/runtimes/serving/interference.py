"""Detects that another program used the computer while a window was open."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

#: A window is marked if others took more than this share of the cores; an idle Linux takes 0.2 %.
DISTURBED_SHARE = 0.02


@dataclass(frozen=True)
class CpuReading:
    """Counters at one moment.

    Attributes:
        busy_s: of all cores that this process may use together, since boot, steal included.
        own_s: of this process.
        wall_s: of the wall clock.
        cores: how many cores this process may use.
    """

    busy_s: float
    own_s: float
    wall_s: float
    cores: int


def read_cpu(stat: Path = Path("/proc/stat")) -> CpuReading | None:
    """Return the counters of this moment; None where the system has none."""
    try:
        lines = stat.read_text().splitlines()
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
    return CpuReading(busy, time.process_time(), time.perf_counter(), len(cores))


def foreign_share(before: CpuReading | None, after: CpuReading | None) -> float:
    """Return the share (0..1) of the cores' time that others used between two readings.

    NaN where it cannot be known.
    """
    if before is None or after is None or after.wall_s <= before.wall_s:
        return float("nan")
    foreign_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return max(0.0, foreign_s / ((after.wall_s - before.wall_s) * after.cores))
