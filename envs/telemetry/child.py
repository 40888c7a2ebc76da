"""A child process that writes one sample per line."""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from typing import IO

from envs.errors import SensorError

#: A child that ended or fell silent is started again by a later read, this long after its last
#: start.
RESTART_S = 5.0


class _Mailbox:
    """The newest line and its arrival time. Older lines are dropped."""

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
    """Runs a command and returns its lines one by one.

    A read raises SensorError if the child ended or fell silent; a later read starts it again. The
    child ends with `close`, when this object is collected, or with the interpreter. If the
    interpreter is killed, the child ends at its next line.

    Args:
        sensor: name of the sensor, for messages.
        command: program and arguments.
        silence_s: time without a line after which the child counts as dead.
        start_s: the same for the first line.
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
        self._timeout_s = self._start_s
        # The file stays open as long as the child runs.
        self._stderr = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._mail = _Mailbox()
        try:
            # A session of its own: Ctrl-C must not end the child before the last window is read.
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            self._mail.ended = True
            raise SensorError(
                f"{self._sensor}: {self._command[0]} cannot be started "
                f"({error.strerror or error}): install it, or choose another sensor"
            ) from error
        self._process = process
        assert process.stdout is not None
        threading.Thread(
            target=self._mail.fill,
            args=(process.stdout,),
            name=f"{self._sensor} lines",
            daemon=True,
        ).start()
        self._end = weakref.finalize(self, _end, process, self._stderr)

    def next_line(self) -> tuple[str, float]:
        """Wait for a line that was not returned yet; return it and its arrival time.

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
            mail.changed.wait_for(lambda: mail.line is not None or mail.ended, self._timeout_s)
            line, mail.line = mail.line, None
            when_s = mail.when_s
        if line is not None and time.perf_counter() - when_s <= self._timeout_s:
            self._timeout_s = self._silence_s
            return line.strip(), when_s
        if mail.ended:
            raise SensorError(
                f"{self._sensor}: the process that reads it has ended ({self._last_error()}): "
                "start it by hand to see why"
            )
        raise SensorError(
            f"{self._sensor}: no sample came for {self._timeout_s:g} s: "
            "restart the service, or choose another sensor"
        )

    def close(self) -> None:
        """End the child; idempotent."""
        self._closed = True
        self._end()

    def _last_error(self) -> str:
        if self._stderr.closed:
            return "closed"
        try:
            code = f"code {self._process.wait(1.0)}"
        except subprocess.TimeoutExpired:
            code = "it closed its output"
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr.read().split("\n")]
        return next(filter(None, reversed(lines)), code)


def _end(process: subprocess.Popen[str], stderr: IO[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    stderr.close()
