"""Start the page beside a service, in a process of its own, and hand it what each period gave.

The page has a process and not a thread: Python runs one thread at a time, so that a thread that
draws, or that refuses a flood of requests, would hold up the service.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envs.errors import StorageError
from tuner.page.options import OpenPage

_log = logging.getLogger(__name__)

#: Seconds that the page has to end.
ENDS_S = 3.0


class PageBeside:
    """The page of a service; whatever becomes of it, the service goes on.

    Args:
        opened: listens already.
        limits: the file that the service reads its limits from.
    """

    def __init__(self, opened: OpenPage, limits: Path) -> None:
        self._periods, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        settings = {"address": opened.address, "token": opened.token, "limits": str(limits)}
        self._periods.send(json.dumps(settings).encode())
        self._periods.setblocking(False)
        with theirs, opened.listener as listener:
            numbers = (listener.fileno(), theirs.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tuner.page.process", *map(str, numbers)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=numbers,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the service, which ends the page
            )
        self._is_gone = False

    def show(self, period: dict[str, Any]) -> None:
        """Hand over a period; where the page is too slow to take it, it misses it."""
        try:
            self._periods.send(json.dumps(period).encode())
        except BlockingIOError:
            return
        except OSError as error:
            if not self._is_gone:
                _log.warning("the page has ended (%s): serving goes on without it", error)
            self._is_gone = True

    def close(self) -> None:
        """End the page."""
        self._periods.close()
        try:
            self._process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def limits_file(given: Path | None) -> Iterator[Path]:
    """Yield the file of limits that a service and its page share; without one, a temporary one.

    Raises:
        StorageError: there is no place for a temporary one.
    """
    if given is not None:
        yield given
        return
    try:
        folder = tempfile.TemporaryDirectory(prefix="orin-tuner-page-")
    except OSError as error:
        raise StorageError(
            f"there is no place for the limits that the page changes ({error.strerror or error}):"
            " give --limits FILE"
        ) from error
    with folder as name:
        yield Path(name) / "limits.json"


def _environment() -> dict[str, str]:
    """Return the environment in which the same copy of this project is imported."""
    own = str(Path(__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": own + (os.pathsep + before if before else "")}
