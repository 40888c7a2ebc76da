"""The process of a page beside a service, which `tuner.page.beside` starts."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tuner.watching.journal_lines import moment_of
from tuner.watching.moments import Moment, News

#: How much the process gives way to others (nice(2)).
NICENESS = 10

#: How much sooner than the service the page ends where memory does (proc(5), oom_score_adj).
ENDS_FIRST = "800"

#: Bytes of one period at most.
MOST_BYTES = 1 << 18


class PeriodSource:
    """The periods of a service, as they come through a socket.

    Args:
        periods: the socket; each message is the line of a journal.

    Attributes:
        title: names it.
        over: True once the service has ended.
    """

    title = "deploy"

    def __init__(self, periods: socket.socket) -> None:
        self._periods = periods
        self._periods.setblocking(False)
        self._names: Sequence[str] = ()
        self._came_s = time.monotonic()
        self.over = False

    def poll(self) -> News:
        """Return the periods that are new."""
        moments: list[Moment] = []
        with contextlib.suppress(BlockingIOError):
            while line := self._periods.recv(MOST_BYTES):
                self._came_s = time.monotonic()
                found = moment_of(line, self._names)
                if found is not None:
                    moment, self._names = found
                    moments.append(moment)
            self.over = True
        return News(moments, age_s=time.monotonic() - self._came_s)


def main(arguments: Sequence[str]) -> None:
    """Serve the page until the service ends.

    Args:
        arguments: the numbers of the socket that listens, and of the one that brings the periods.
    """
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    # Imported now: that takes a second of a processor, which the service may have first.
    from tuner.page.access import Access
    from tuner.page.server import serve

    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(ENDS_FIRST)
    listener, periods = (socket.socket(fileno=int(each)) for each in arguments)
    settings = json.loads(periods.recv(MOST_BYTES))
    access = Access(settings["address"], settings["token"])
    serve(listener, access, PeriodSource(periods), Path(settings["limits"]))


if __name__ == "__main__":
    main(sys.argv[1:])
