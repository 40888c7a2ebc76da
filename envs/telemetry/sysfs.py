"""Reading the small files in which a kernel shows its sensors."""

from __future__ import annotations

import os
from pathlib import Path

from envs.errors import SensorError


def read_text(path: Path) -> str:
    """The one line of a file below /sys; OSError if it cannot be read.

    Not `Path.read_text`: a thermal zone that is powered off answers EAGAIN, which a buffered file turns into a TypeError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)


def read_number(path: Path) -> int | None:
    """An integer, or None where the file cannot be read or holds none."""
    try:
        return int(read_text(path))
    except (OSError, ValueError):
        return None


def need_number(sensor: str, path: Path) -> int:
    """An integer that a sensor cannot do without; SensorError, naming the file, if it is not to be had."""
    try:
        return int(read_text(path))
    except OSError as error:
        raise SensorError(f"{sensor}: {refusal(path, error)}") from error
    except ValueError:
        raise SensorError(
            f"{sensor}: {path} holds no number: the kernel's driver is not the one this was written for"
        ) from None


def folders(sensor: str, path: Path, prefix: str = "") -> list[Path]:
    """Sorted entries of a folder whose names start so; none where it is missing. SensorError where it may not be read."""
    try:
        return sorted(path / name for name in os.listdir(path) if name.startswith(prefix))
    except PermissionError as error:
        raise SensorError(f"{sensor}: {refusal(path, error)}") from error
    except OSError:
        return []


def refusal(path: Path, error: OSError) -> str:
    """Why a file cannot be read, and what to do."""
    if isinstance(error, PermissionError):
        return f"{path} may not be read by this user: run as root, or allow it once with `sudo chmod a+r {path}`"
    return f"{path} cannot be read ({error.strerror or error}): choose another sensor"
