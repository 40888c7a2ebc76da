"""TensorRT's log, kept for the sentence that says why something failed, and its progress."""

import threading
from collections import deque
from typing import Any

from envs.runtimes.tensorrt.progress import BuildWatch


class LogLines:
    """The last lines that TensorRT logged, oldest first, apart for each thread that asks for them.

    The builder also logs from threads of its own, which never ask: those lines belong to the
    thread that began the last build. So a build in one thread and a load in another one do not
    take each other's errors for their own.
    """

    def __init__(self, limit: int = 400) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self._local = threading.local()
        self._others: deque[tuple[str, str]] = deque(maxlen=limit)
        self._builder: int | None = None

    def add(self, severity: str, text: str) -> None:
        """Append a line."""
        own: deque[tuple[str, str]] | None = getattr(self._local, "lines", None)
        with self._lock:
            (self._others if own is None else own).append((severity, text))

    def clear(self, builds: bool = False) -> None:
        """Forget the lines of this thread.

        Args:
            builds: gives it the lines of the builder's threads from now on.
        """
        with self._lock:
            self._local.lines = deque(maxlen=self._limit)
            if builds:
                self._builder = threading.get_ident()
            if self._builder in (None, threading.get_ident()):
                self._others.clear()

    def errors(self, last: int = 3) -> str:
        """Return the last errors of this thread on one line; an empty string if there are none."""
        with self._lock:
            own = list(getattr(self._local, "lines", ()))
            if self._builder in (None, threading.get_ident()):
                own = [*self._others, *own]
            found = [
                " ".join(text.split())
                for severity, text in own
                if severity in ("ERROR", "INTERNAL_ERROR")
            ]
        return "; ".join(dict.fromkeys(found[-last:]))


def logger_for(trt: Any, lines: LogLines) -> Any:
    """Return an ILogger that writes to `lines`.

    TensorRT keeps the first logger of a process for good, so that there should be one only. Its
    bindings hand every line to Python, verbose ones too: only `trt.Logger` filters before, and it
    prints its lines instead of giving them away (pyCore.cpp, PyLogger and DefaultLogger). So those
    that are not kept are dropped by one look-up.
    """
    severities = {
        getattr(trt.ILogger.Severity, name): name
        for name in ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO")
    }

    class Logger(trt.ILogger):  # type: ignore[misc]  # the base is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 demands this call instead of super()

        def log(self, severity: Any, text: str) -> None:
            name = severities.get(severity)
            if name is not None:
                lines.add(name, text)

    return Logger()


def monitor_for(trt: Any, watch: BuildWatch) -> Any:
    """Return an IProgressMonitor that tells `watch`, and ends the build when it says so."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase: str, parent: str, steps: int) -> None:
            watch.started(phase, steps)

        def step_complete(self, phase: str, position: int) -> bool:
            return watch.stepped(phase, position)  # False ends the build

        def phase_finish(self, phase: str) -> None:
            watch.finished(phase)

    return Monitor()
