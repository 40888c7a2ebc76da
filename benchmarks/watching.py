"""Measure the cost of the terminal view, or of the page, beside a service at full load.

A real service runs as a process of its own, as many requests as it can serve. The view runs beside
it in a pseudo-terminal of 80 x 24, and does not, in turns: pairs. Beside the ratio of throughputs,
which other programs on the computer disturb, stands the processor time that the view took.

With --page the service has a page, at which viewers look, and do not, in turns. They read what the
page sends, and draw nothing: a browser belongs to another computer.

python -m benchmarks.watching
python -m benchmarks.watching --page --viewers 20
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.figures import figure, parser, report
from benchmarks.setup import network_file
from tuner.console import progress_bar
from tuner.watching.moments import Moment
from tuner.watching.sources import JournalSource

#: The service holds its configuration for so many periods before anything is compared.
SETTLED = 6

#: Seconds until the view has started; the start is not counted.
STARTS_S = 8.0


@contextlib.contextmanager
def service(folder: Path, period_s: float, *more: str) -> Iterator[tuple[Path, int]]:
    """Serve in another process, and yield the journal and the number of the process."""
    journal = folder / "journal"
    command = [
        *(sys.executable, "-m", "tuner.deploy", "--network", str(network_file("mobilenet_v2"))),
        *("--p99-ms", "10000", "--period-s", str(period_s), "--journal", str(journal)),
        *("--folder", str(folder), "--lock", str(folder / "lock"), "--batches", "1", "4", *more),
    ]
    with (folder / "messages").open("w") as messages:
        process = subprocess.Popen(command, stderr=messages)
        try:
            yield journal, process.pid
        finally:
            process.terminate()
            process.wait()


class Readings:
    """The periods of a journal, as they come."""

    def __init__(self, journal: Path) -> None:
        self._source = JournalSource(journal)
        self._seen: list[Moment] = []

    def settle(self) -> None:
        """Wait until the service holds what it found."""
        while {each.phase for each in self._next(1)[-SETTLED:]} != {"holding"}:
            if len(self._seen) > 200:
                raise TimeoutError("the service does not come to rest")

    def mean_ips(self, periods: int) -> float:
        """Return the mean throughput of the next periods."""
        self._next(1)  # the period of now began before
        return float(np.mean([each.throughput_ips for each in self._next(periods)[-periods:]]))

    def _next(self, periods: int) -> list[Moment]:
        wanted = len(self._seen) + periods
        while len(self._seen) < wanted:
            time.sleep(0.05)
            self._seen += self._source.poll().moments
        return self._seen


@contextlib.contextmanager
def view(journal: Path) -> Iterator[int]:
    """Run the view in a pseudo-terminal, and yield the number of its process."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "tuner.watch", "--journal", str(journal)]
    terminal = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=terminal)
    os.close(slave)

    def drain() -> None:
        with contextlib.suppress(OSError):  # the view has ended
            while os.read(master, 1 << 16):
                pass

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        time.sleep(STARTS_S)
        yield process.pid
    finally:
        os.write(master, b"q")
        try:
            process.wait(timeout=20)
        finally:
            process.kill()
            reader.join()
            os.close(master)


@contextlib.contextmanager
def viewers(folder: Path, service_id: int, count: int) -> Iterator[int]:
    """Let viewers look at the page of a service, and yield the number of the page's process."""
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", (folder / "messages").read_text())
    assert found is not None
    page_id = int(Path(f"/proc/{service_id}/task/{service_id}/children").read_text().split()[0])
    ending = threading.Event()
    with contextlib.ExitStack() as stack:
        chosen = stack.enter_context(selectors.DefaultSelector())
        for _ in range(count):
            viewer = stack.enter_context(socket.create_connection(("127.0.0.1", int(found[1]))))
            viewer.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            chosen.register(viewer, selectors.EVENT_READ)

        def read() -> None:
            while not ending.is_set():
                for key, _ in chosen.select(0.5):
                    if not key.fileobj.recv(1 << 20):  # type: ignore[union-attr]
                        raise ConnectionError("the page let a viewer go")

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield page_id
        finally:
            ending.set()
            reader.join()


def processor_s(process: int) -> float:
    """Return the processor time that a process has taken, in s (proc(5), utime and stime)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--pairs", type=int, default=8)
    arguments.add_argument("--periods", type=int, default=8, help="in each half of a pair")
    arguments.add_argument("--period", type=float, default=3.0, help="seconds")
    arguments.add_argument("--page", action="store_true", help="measure the page instead")
    arguments.add_argument("--viewers", type=int, default=1, help="of the page")
    given = arguments.parse_args()
    ratios, shares = [], []
    more = ("--page", "0") if given.page else ()
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), given.period, *more) as (journal, service_id),
        progress_bar("pairs", given.pairs) as advance,
    ):
        readings = Readings(journal)
        readings.settle()
        for turn in range(given.pairs):
            both = {}
            # They take turns in going first, or a drift would favour one of them.
            for watched in (True, False) if turn % 2 else (False, True):
                if not watched:
                    both[watched] = readings.mean_ips(given.periods)
                    continue
                looking = (
                    viewers(Path(folder), service_id, given.viewers)
                    if given.page
                    else view(journal)
                )
                with looking as process:
                    began_s, used_s = time.monotonic(), processor_s(process)
                    both[watched] = readings.mean_ips(given.periods)
                    used_s = processor_s(process) - used_s
                    shares.append(used_s / (time.monotonic() - began_s))
            ratios.append(both[True] / both[False])
            advance()
    cores = len(os.sched_getaffinity(0))
    low, high = np.percentile(ratios, (25, 75))
    few = not given.page or given.viewers <= 1
    what = f"the page, viewers: {given.viewers}" if given.page else "the view"
    share = 100 * float(np.mean(shares))
    return report(
        [
            figure(
                f"throughput beside {what} over that without, median of {len(ratios)} pairs",
                100 * float(np.median(ratios)),
                "%",
                ">= 99" if few else ">= 97",
            ),
            figure(f"throughput beside {what}, lower quartile", 100 * float(low), "%"),
            figure(f"throughput beside {what}, upper quartile", 100 * float(high), "%"),
            figure(f"processor time of {what}, of one core", share, "%"),
            figure(
                f"processor time of {what}, of {cores} cores",
                share / cores,
                "%",
                "<= 1" if few else "<= 3",
            ),
        ],
        given.json,
    )


if __name__ == "__main__":
    sys.exit(main())
