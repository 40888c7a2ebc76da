"""Memory of this process: how much it holds, and giving back what it no longer needs."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path


def resident_mib(status: Path = Path("/proc/self/statm")) -> float:
    """Resident memory of this process in MiB, NaN where unknown."""
    try:
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError, ValueError):
        return float("nan")


def _trimmer() -> Callable[[int], int]:
    """Glibc's malloc_trim, or nothing where the C library has none (musl, macOS)."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return lambda pad: 0


_trim = _trimmer()


def give_back() -> None:
    """Return freed memory to the system. The C library keeps that of engines which are gone for each of their threads; on a Jetson the GPU shares it."""
    _trim(0)
