"""One controller a device: two of them would undo each other's changes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path

from envs.errors import StorageError


class DeviceLock:
    """A lock that is held while a controller runs, as a context manager.

    The system releases it when the process ends, however it ends.

    Raises:
        StorageError: the file cannot be opened, or another controller holds the lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def __enter__(self) -> DeviceLock:
        try:
            file = self._open()
        except OSError as error:
            raise StorageError(
                f"the lock {self._path} cannot be opened ({error.strerror}): "
                "give another place with --lock"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise StorageError(
                f"another controller (process {holder}) runs on this device: "
                f"stop it first, or wait for it ({self._path})"
            ) from None
        # Another user's file cannot be written; whose lock it is only helps people.
        with contextlib.suppress(OSError):
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file
        return self

    def _open(self) -> int:
        """Open the file, and create it if need be.

        In a folder that everybody may write to, the system lets nobody open another user's file
        with the flag that creates it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.suppress(FileExistsError):
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o644)
        try:
            return os.open(self._path, os.O_RDWR | flags)
        except PermissionError:
            return os.open(self._path, os.O_RDONLY | flags)

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def usual_lock() -> Path:
    """Return the file that all controllers of a device lock, for all users."""
    shared = Path("/run/lock")
    usable = shared.is_dir() and os.access(shared, os.W_OK)
    return (shared if usable else Path(tempfile.gettempdir())) / "orin-tuner.lock"
