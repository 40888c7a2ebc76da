"""Detecting that something else used the computer while a window was open."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

#: A window in which something else took more than this share of our cores is marked. An idle Linux takes about 0.2 %.
DISTURBED_SHARE = 0.02


@dataclass(frozen=True)
class CpuReading:
    """Seconds since boot: busy_s of the cores this process may use (steal included), own_s of this process, and the wall clock."""

    busy_s: float
    own_s: float
    wall_s: float
    cores: int


def read_cpu(stat: Path = Path("/proc/stat")) -> CpuReading | None:
    """The counters now; None where the system has none."""
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
    """Share of our cores' time between two readings that others used: 0..1, NaN where it cannot be known."""
    if before is None or after is None or after.wall_s <= before.wall_s:
        return float("nan")
    foreign_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return max(0.0, foreign_s / ((after.wall_s - before.wall_s) * after.cores))
