"""Memory of this process: how much it holds, and giving freed memory back to the system."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path


def resident_mib(status: Path = Path("/proc/self/statm")) -> float:
    """Return the resident memory of this process in MiB; NaN where the system does not say."""
    try:
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError, ValueError):
        return float("nan")


def _trimmer() -> Callable[[int], int]:
    """Return glibc's malloc_trim, or a function that does nothing (musl, macOS)."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return lambda pad: 0


_trim = _trimmer()


def give_back() -> None:
    """Return freed memory to the system.

    The C library keeps the memory of closed engines for each of their threads. On a Jetson the
    GPU shares that memory.
    """
    _trim(0)
