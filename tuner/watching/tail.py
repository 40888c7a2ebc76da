"""Read the end of a file that grows, however large it is."""

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

#: Bytes that one poll reads at most. A line of a journal has some 2 KiB.
POLL_BYTES = 4 << 20


@dataclass(frozen=True)
class Lines:
    """Hold what a poll found: whole lines without their ends, and how the file stands.

    Attributes:
        lines: the oldest first.
        skipped: True if there was more than a poll reads, so that older lines were left out.
        anew: True if the file is another one than before, or was cut short.
        age_s: seconds since the file changed.
        problem: why it cannot be read; empty if it can.
    """

    lines: tuple[bytes, ...] = ()
    skipped: bool = False
    anew: bool = False
    age_s: float = float("inf")
    problem: str = ""


class Tail:
    """Reads what is new at the end of a file, at most `POLL_BYTES` of it a poll.

    A line without its end waits for the rest of it. The file may come later, be moved away, be
    replaced or be cut. A pipe or a device is not opened: it may have no end.

    Args:
        path: of the file.
        most: bytes that a poll reads at most.
    """

    def __init__(self, path: Path, most: int = POLL_BYTES) -> None:
        self.path = path
        self._most = most
        self._identity: tuple[int, int] | None = None
        self._offset = 0
        self._partial = b""

    def poll(self) -> Lines:
        """Return the lines that are new."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            return Lines(problem=f"{self.path} cannot be read: {error.strerror or error}")
        try:
            return self._poll(descriptor)
        except OSError as error:
            return Lines(problem=f"{self.path} cannot be read: {error.strerror or error}")
        finally:
            os.close(descriptor)

    def _poll(self, descriptor: int) -> Lines:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Lines(problem=f"{self.path} is not a plain file")
        identity, age_s = (status.st_dev, status.st_ino), max(0.0, time.time() - status.st_mtime)
        first = self._identity is None
        anew = not first and (identity != self._identity or status.st_size < self._offset)
        if first or anew:
            self._identity, self._offset, self._partial = identity, 0, b""
        skipped = status.st_size - self._offset > self._most
        if skipped:  # the line in whose middle this begins is lost with what is before it
            self._offset = status.st_size - self._most
            self._partial = b""
        content = os.pread(descriptor, min(self._most, status.st_size - self._offset), self._offset)
        self._offset += len(content)
        *lines, self._partial = (self._partial + content).split(b"\n")
        if skipped:
            lines = lines[1:]
        if len(self._partial) > self._most:  # a line without end
            self._partial = b""
        return Lines(tuple(lines), skipped, anew, age_s)
