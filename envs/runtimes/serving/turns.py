"""Turns: one thread at a time makes engines ready, and the others say that they wait."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from envs.runtimes.serving.engine import Progress

#: How often a thread that waits for another one says so [s].
WAIT_S = 2.0


class Turns:
    """Gives turns to the threads that make engines ready.

    Args:
        show: gets the progress of builds.

    Attributes:
        background: the thread that nobody waits for.
        waiting: is called every few seconds in every other thread that builds, or waits for its
            turn. What it raises ends that.
    """

    def __init__(self, show: Callable[[Progress], None]) -> None:
        self._show, self._lock = show, threading.Lock()
        self._busy_until_s = 0.0
        self.background: threading.Thread | None = None
        self.waiting: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a turn, and keep others waiting until the block ends."""
        while not self._lock.acquire(timeout=WAIT_S):
            self._wait()
        try:
            yield
        finally:
            self._lock.release()

    def worked(self) -> None:
        """Note that the thread whose turn it is has built or proven something."""
        self._busy_until_s = time.monotonic()

    def progress(self, progress: Progress) -> None:
        """Show the progress of a build, in the thread that asked for it."""
        self._show(progress)
        self._wait()

    def busy_since(self, start_s: float) -> bool:
        """Return True if a thread worked after `start_s`, on the monotonic clock."""
        return self._lock.locked() or self._busy_until_s > start_s

    @property
    def in_background(self) -> bool:
        """Return True in the thread that nobody waits for."""
        return threading.current_thread() is self.background

    def _wait(self) -> None:
        if not self.in_background:
            self.waiting()
