"""Memory of the whole computer, which on a Jetson the GPU shares, from /proc/meminfo."""

import math
import re
from pathlib import Path


def total_mib(root: Path = Path("/")) -> float:
    """Return all memory of the computer; NaN where the kernel does not tell."""
    return _entry("MemTotal", root)


def available_mib(root: Path = Path("/")) -> float:
    """Return the memory that could be had without swapping; NaN where the kernel does not tell.

    It counts page cache that the kernel would give up, which the GPU's driver does not
    (`cudaMemGetInfo`, CUDA for Tegra application note).
    """
    return _entry("MemAvailable", root)


def _entry(name: str, root: Path) -> float:
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return math.nan
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else math.nan
