"""The journal: one JSON line a period, onto a file or standard output."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from envs.errors import StorageError

_log = logging.getLogger(__name__)


class Journal:
    """Write lines; a full disk or a closed pipe loses lines, and the service continues.

    The file is opened for each line, so that it may be moved away at any time.

    Args:
        path: of the file; None for standard output.

    Attributes:
        lost: lines that could not be written.

    Raises:
        StorageError: the file cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.lost = 0
        self._cut = False  # part of the last line may have been written
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                _append(path).close()
            except OSError as error:
                raise StorageError(
                    f"the journal {path} cannot be opened ({error.strerror or error}): "
                    "give another --journal"
                ) from error

    def write(self, data: dict[str, Any]) -> None:
        """Write one line."""
        line = ("\n" if self._cut else "") + json.dumps(data) + "\n"
        try:
            if self._path is None:
                sys.stdout.write(line)
                sys.stdout.flush()
            else:
                with _append(self._path) as file:
                    file.write(line)
            self._cut = False
        except (OSError, ValueError) as error:
            if not self.lost:
                _log.warning(
                    "the journal cannot be written (%s): serving goes on without it", error
                )
            self.lost += 1
            self._cut = True


def _append(path: Path) -> TextIO:
    """Open the file to write at its end.

    No link is followed: where others may write too, it would lead the lines into a file of their
    choice.
    """
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    return open(path, "a", opener=lambda name, more: os.open(name, more | flags, 0o644))
