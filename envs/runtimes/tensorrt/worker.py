"""Builds run in a thread of their own, so that one that never ends holds up nobody for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from envs.runtimes.tensorrt.progress import BuildWatch, Step, TookTooLong

Result = TypeVar("Result")

#: How often progress is told [s].
TICK_S = 2.0

#: How long a build that was told to end may take for it [s]: some steps of the builder, such as the
#: compilation of a DLA's loadable, take long.
GRACE_S = 60.0


class _Work(Generic[Result]):
    """Runs something in a daemon thread, and keeps its result or its error."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self.ended = threading.Event()
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="build", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # it is raised again in the thread that waits
            self.error = error
        finally:
            self.ended.set()


class BuildWorker:
    """Runs one build at a time.

    Attributes:
        left: what was being built when it was left to itself; empty if no build was, or if it has
            ended since.
    """

    def __init__(self) -> None:
        self._left: tuple[str, threading.Thread] | None = None

    @property
    def left(self) -> str:
        """Return the build that nobody waits for any more but still runs; empty without one."""
        if self._left is not None and not self._left[1].is_alive():
            self._left = None
        return self._left[0] if self._left is not None else ""

    def run(
        self,
        work: Callable[[], Result],
        watch: BuildWatch,
        step: Step,
        can_cancel: bool,
    ) -> Result:
        """Return what `work` returns in another thread; tell the progress meanwhile.

        Args:
            work: builds; it ends soon after the watch's limit if it can.
            watch: the progress and the limit.
            step: is called in this thread every few seconds.
            can_cancel: whether the builder asks the watch if it has to end.

        Raises:
            TookTooLong: the build went past its limit and is left to itself.
        """
        started = _Work(work)
        limit_s = watch.limit_s + (GRACE_S if can_cancel else 0.0)
        try:
            while not started.ended.wait(min(TICK_S, max(0.01, limit_s - watch.elapsed_s))):
                if watch.elapsed_s >= limit_s:
                    self._left = watch.what, started.thread
                    raise TookTooLong(watch.why_late())
                step(watch.progress())
        except BaseException:  # also if this thread is interrupted
            watch.cancel()
            raise
        if started.error is not None:
            raise started.error
        return started.result  # type: ignore[return-value]  # there is one without an error
