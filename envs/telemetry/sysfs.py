"""Read the small files in which a kernel shows its sensors."""

import os
from pathlib import Path

from envs.errors import SensorError


def read_text(path: Path) -> str:
    """Return the line of a file below /sys; raise OSError if it cannot be read.

    `Path.read_text` does not work here: a thermal zone that is powered off answers EAGAIN, which a
    buffered file turns into a TypeError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)


def read_number(path: Path) -> int | None:
    """Return the integer in a file; None if the file cannot be read or has no integer."""
    try:
        return int(read_text(path))
    except (OSError, ValueError):
        return None


def need_number(sensor: str, path: Path) -> int:
    """Return the integer in a file; raise SensorError, naming the file, if there is none."""
    try:
        return int(read_text(path))
    except OSError as error:
        raise SensorError(f"{sensor}: {refusal(path, error)}") from error
    except ValueError:
        raise SensorError(
            f"{sensor}: {path} holds no number: "
            "the kernel's driver is not the one this was written for"
        ) from None


def folders(sensor: str, path: Path, prefix: str = "") -> list[Path]:
    """Return the sorted entries of a folder that start with `prefix`; none if it is missing.

    Raises:
        SensorError: the folder may not be read.
    """
    try:
        return sorted(path / name for name in os.listdir(path) if name.startswith(prefix))
    except PermissionError as error:
        raise SensorError(f"{sensor}: {refusal(path, error)}") from error
    except OSError:
        return []


def refusal(path: Path, error: OSError) -> str:
    """Say why a file cannot be read and what to do."""
    if isinstance(error, PermissionError):
        return (
            f"{path} may not be read by this user: "
            f"run as root, or allow it once with `sudo chmod a+r {path}`"
        )
    return f"{path} cannot be read ({error.strerror or error}): choose another sensor"
