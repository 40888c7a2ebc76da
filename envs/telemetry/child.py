"""A child process that tells one sample a line, for as long as somebody may want it."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import IO

from envs.errors import SensorError
from envs.telemetry.protocol import BoardSample

#: A child that ended or fell silent is started again by a later read, no sooner than so long after its last start.
RESTART_S = 5.0


class _Mailbox:
    """The newest line, and when it came. Older ones are dropped: nobody reads a sensor between two windows."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.line: str | None = None
        self.when_s = 0.0
        self.ended = False

    def fill(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self.changed:
                    self.line, self.when_s = line, time.perf_counter()
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()


class LineChild:
    """Runs a command and gives its lines one by one. Where it ended, or fell silent, who asks is told, and whoever asks later starts it again.

    The child ends with `close`, when this object is collected, or with the interpreter; if that is killed, at its next line.

    Args:
        sensor: who speaks, for messages.
        command: program and arguments.
        silence_s: without a line for so long, it counts as dead; start_s: the same for the first line.
    """

    def __init__(
        self, sensor: str, command: Sequence[str], silence_s: float, start_s: float
    ) -> None:
        self._sensor = sensor
        self._command = list(command)
        self._start_s = start_s
        self._silence_s = silence_s
        self._failed = False
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._started_s = time.perf_counter()
        self._patience_s = self._start_s
        self._complaints = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - open as long as the child is
        self._mail = _Mailbox()
        try:
            # A session of its own: Ctrl-C is for the program that watches, which still wants to read its last window.
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            self._complaints.close()
            self._mail.ended = True
            raise SensorError(
                f"{self._sensor}: {self._command[0]} cannot be started ({error.strerror or error}): install it, or choose another sensor"
            ) from error
        self._process = process
        assert process.stdout is not None
        threading.Thread(
            target=self._mail.fill,
            args=(process.stdout,),
            name=f"{self._sensor} lines",
            daemon=True,
        ).start()
        self._end = weakref.finalize(self, _end, process, self._complaints)

    def next_line(self) -> tuple[str, float]:
        """A line that was not given yet, and when it came; waits for one.

        Raises:
            SensorError: the child ended, or has been silent for too long.
        """
        if self._failed and not self._closed and time.perf_counter() - self._started_s >= RESTART_S:
            self._end()
            self._start()
        self._failed = True
        line = self._line()
        self._failed = False
        return line

    def _line(self) -> tuple[str, float]:
        mail = self._mail
        with mail.changed:
            mail.changed.wait_for(lambda: mail.line is not None or mail.ended, self._patience_s)
            line, mail.line = mail.line, None
            when_s = mail.when_s
        if line is not None and time.perf_counter() - when_s <= self._patience_s:
            self._patience_s = self._silence_s
            return line.strip(), when_s
        if mail.ended:
            raise SensorError(
                f"{self._sensor}: the process that reads it has ended ({self._last_words()}): start it by hand to see why"
            )
        raise SensorError(
            f"{self._sensor}: nothing was told for {self._patience_s:g} s: restart the service, or choose another sensor"
        )

    def close(self) -> None:
        self._closed = True
        self._end()

    def _last_words(self) -> str:
        if self._complaints.closed:
            return "closed"
        try:
            code = f"code {self._process.wait(1.0)}"
        except subprocess.TimeoutExpired:
            code = "it closed its output"
        self._complaints.seek(0)
        said = self._complaints.read().split("\n")
        return next((line.strip() for line in reversed(said) if line.strip()), code)


class LineSensor(ABC):
    """A sensor whose samples are the lines of a child, one a read; one that tells nothing at the start ends at once."""

    def __init__(self, child: LineChild) -> None:
        self._child = child
        try:
            self.has_power = not math.isnan(self.read().total_w)
        except SensorError:
            self.close()
            raise

    def read(self) -> BoardSample:
        return self._sample(*self._child.next_line())

    def close(self) -> None:
        self._child.close()

    @abstractmethod
    def _sample(self, line: str, when_s: float) -> BoardSample:
        """What a line says; SensorError if that is no sample."""


def _end(process: subprocess.Popen[str], complaints: IO[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    complaints.close()
