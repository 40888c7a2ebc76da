"""End early: SIGTERM does to a command what Ctrl-C does."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType


class StoppedEarly(KeyboardInterrupt):
    """SIGTERM came: what is being built, loaded or measured is given up."""


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise StoppedEarly in the block, where blocks are cleaned up as after Ctrl-C.

    Without it a process ends at once, and leaves the mark of the engine that it was building.
    """
    if threading.current_thread() is not threading.main_thread():  # no other gets signals
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def leave(code: int) -> None:
    """End the process with an exit code, whatever its threads are doing.

    An instance that hung, a build or the user's client may still be inside native code: Python
    would abort (exit code 134) while it takes down what such a thread uses.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)


def _stop(number: int, frame: FrameType | None) -> None:
    raise StoppedEarly
