"""One controller a device: two of them would undo each other's work."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path
from types import TracebackType

from envs.errors import StorageError


class DeviceLock:
    """Held while a controller runs; the system gives it back when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def __enter__(self) -> DeviceLock:
        try:
            file = self._open()
        except OSError as error:
            raise StorageError(
                f"the lock {self._path} cannot be opened ({error.strerror}): give another place with --lock"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise StorageError(
                f"another controller (process {holder}) runs on this device: stop it first, or wait for it ({self._path})"
            ) from None
        with contextlib.suppress(
            OSError
        ):  # another user's file: whose lock it is helps people only
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file
        return self

    def _open(self) -> int:
        """The file, made if need be. In a folder that all may write to, the system lets nobody open another user's file as if to make it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.suppress(FileExistsError):
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o644)
        try:
            return os.open(self._path, os.O_RDWR | flags)
        except PermissionError:
            return os.open(self._path, os.O_RDONLY | flags)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def usual_lock() -> Path:
    """Where all controllers of a device look, whoever started them."""
    shared = Path("/run/lock")
    return (
        shared if shared.is_dir() and os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    ) / "orin-tuner.lock"
