"""Memory of the whole computer, which on a Jetson the GPU shares, from /proc/meminfo."""

import math
import re
from pathlib import Path

from envs.telemetry.memory_limit import left_mib


def total_mib(root: Path = Path("/")) -> float:
    """Return all memory of the computer; NaN where the kernel does not tell."""
    return _entry("MemTotal", root)


def available_mib(root: Path = Path("/")) -> float:
    """Return the memory that this process could have without swapping; NaN where nobody tells.

    It counts page cache that the kernel would give up, which the GPU's driver does not
    (`cudaMemGetInfo`, CUDA for Tegra application note). Where a limit on this process leaves less,
    as in a container, that is what it could have.
    """
    available, left = _entry("MemAvailable", root), left_mib(root)
    return left if math.isnan(available) and math.isfinite(left) else min(available, left)


def _entry(name: str, root: Path) -> float:
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return math.nan
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else math.nan
