"""A thread that converts for one instance, so that the thread of the driver need not."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Converter:
    """A thread that does one thing after the other; it begins with the first one."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._ended = ended
        self._thread: threading.Thread | None = None

    def put(self, job: Callable[[], None]) -> None:
        """Do this after what was put before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="converter", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def close(self) -> None:
        """End the thread after what was put before."""
        self._jobs.put(None)

    def _work(self) -> None:
        closed = False
        try:
            while (job := self._jobs.get()) is not None:
                job()
            closed = True
        finally:
            if not closed:
                self._ended()
