"""The four things that can be watched; each is polled for what is new and changes nothing."""

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tuner.watching.journal_lines import moment_of
from tuner.watching.moments import LearningRow, Moment, News
from tuner.watching.recording_lines import Recording, recording_of, row_moment
from tuner.watching.scrape import Samples, scraped
from tuner.watching.scrape import moment_of as moment_of_samples
from tuner.watching.tail import Lines, Tail
from tuner.watching.training_rows import is_head, learning_row
from tuner.watching.values import text

#: Bytes of the first line of a recording that are read.
HEAD_BYTES = 1 << 20


class Source(Protocol):
    """Something to watch.

    Attributes:
        title: names it, for the first line of the view.
    """

    title: str

    def poll(self) -> News:
        """Return what is new since the poll before."""


class JournalSource:
    """The journal of a running or finished service."""

    def __init__(self, path: Path) -> None:
        self.title = text(str(path))
        self._tail = Tail(path)
        self._names: Sequence[str] = ()

    def poll(self) -> News:
        """Return the periods that are new."""
        lines = self._tail.poll()
        moments: list[Moment] = []
        unread = 0
        for line in filter(None, lines.lines):
            found = moment_of(line, self._names)
            if found is None:
                unread += 1
                continue
            moment, self._names = found
            moments.append(moment)
        return replace(_news(lines, unread), moments=moments)


class RecordingSource:
    """A recording that is being written, by the path of its trace."""

    def __init__(self, trace: Path) -> None:
        self.title = text(str(trace))
        self._trace, self._journal = trace, trace.with_name(trace.name + ".journal")
        self._tail = Tail(self._journal)
        self._recording: Recording | None = None
        self._row = 0

    def poll(self) -> News:
        """Return the rows that are new; the journal's end is that of the recording."""
        lines = self._tail.poll()
        if lines.problem and self._trace.exists() and not self._journal.exists():
            return News(ended=True)
        if lines.problem:
            return _news(lines, 0)
        if lines.anew or self._recording is None:
            self._row = 0
            self._recording = recording_of(_first_line(self._journal))
        if self._recording is None:
            return replace(
                _news(lines, 0), problem=f"{text(str(self._journal))} is no journal of a recording"
            )
        moments, unread = [], 0
        for line in filter(None, lines.lines):
            self._row += 1
            moment = row_moment(line, self._recording, self._row)
            if moment is not None:
                moments.append(moment)
                continue
            self._row -= 1
            unread += not line.startswith(b'{"format"')
        return replace(_news(lines, unread), moments=moments, total=self._recording.total)


class MetricsSource:
    """The metrics of a running service, scraped from its loopback port."""

    def __init__(self, port: int) -> None:
        self.title = f"metrics on 127.0.0.1:{port}"
        self._port = port
        self._before: Samples = {}
        self._changed_s = -float("inf")

    def poll(self) -> News:
        """Return the last period, if it is another one than at the poll before."""
        samples, problem = scraped(self._port)
        now_s = time.monotonic()
        if problem:
            return News(problem=problem, age_s=now_s - self._changed_s)
        before = self._before
        if _count(samples) < _count(before):  # another process serves
            before = {}
        moment = moment_of_samples(samples, before, time.strftime("%H:%M:%S"), now_s)
        self._before = samples
        if moment is None:
            return News(age_s=now_s - self._changed_s)
        self._changed_s = now_s
        return News(moments=[moment], age_s=0.0)


class TrainingSource:
    """The learning curve of a training, running or finished."""

    def __init__(self, path: Path) -> None:
        self.title = text(str(path))
        self._tail = Tail(path)

    def poll(self) -> News:
        """Return the rows that are new."""
        lines = self._tail.poll()
        rows: list[LearningRow] = []
        unread = 0
        for line in filter(None, lines.lines):
            row = learning_row(line)
            if row is not None:
                rows.append(row)
            elif not is_head(line):
                unread += 1
        return replace(_news(lines, unread), rows=rows)


def _news(lines: Lines, unread: int) -> News:
    return News(
        unread=unread,
        skipped=lines.skipped,
        age_s=lines.age_s,
        problem=text(lines.problem),
        anew=lines.anew,
    )


def _count(samples: Samples) -> float:
    return sum(samples.get("periods_total", {}).values())


def _first_line(path: Path) -> bytes:
    """Return the first line of a plain file; empty if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        line, end, _ = os.pread(descriptor, HEAD_BYTES, 0).partition(b"\n")
        return line if end else b""
    finally:
        os.close(descriptor)
