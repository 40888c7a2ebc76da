"""The command: wrong options end in a sentence; in tmux, screens show what happens."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import call
from tests.tuner.watching.journals import period, write
from tuner.control.guard import Phase

PROJECT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((), "give one of --journal, --metrics-port, --recording and --run"),
        (("--journal", "j", "--run", "r"), "give one of --journal, --metrics-port"),
        (("--recording", "r", "--limits", "l"), "--limits are those of a service"),
        (("--metrics-port", "70000"), "--metrics-port 70000 must lie in 1..65535"),
        (("--journal", "j"), "needs a terminal"),
    ],
)
def test_what_cannot_be_watched_is_said(given: tuple[str, ...], sentence: str) -> None:
    result = call("watch", *given)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr


class Terminal:
    """A terminal of 80 x 24 in a tmux server of its own."""

    def __init__(self, socket: Path) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout

    def until(self, *wanted: str) -> str:
        """Return the screen once it shows all these words."""
        shown = ""
        for _ in range(300):
            shown = self.run("capture-pane", "-p", "-t", "view")
            if all(each in shown for each in wanted):
                return shown
            time.sleep(0.1)
        raise AssertionError(f"{wanted} are never on the screen:\n{shown}")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux here")
    made = Terminal(tmp_path / "socket")
    yield made
    subprocess.run([*made._tmux, "kill-server"], capture_output=True, check=False)


def test_the_screens_of_a_service_from_its_first_line_to_its_end(
    tmp_path: Path, terminal: Terminal
) -> None:
    path = tmp_path / "run.jsonl"
    command = [sys.executable, "-m", "tuner.watch", "--journal", str(path)]
    started = f"cd {shlex.quote(str(PROJECT))} && {shlex.join(command)}; echo left with $?; cat"
    terminal.run(
        *("new-session", "-d", "-s", "view", "-x", "80", "-y", "24", "-e", "TERM=screen-256color"),
        started,
    )
    terminal.until("IDLE", "No such file", "Quit")
    write(path, period(1, Phase.SEARCHING))
    terminal.until("SEARCHING", "tries a configuration", "net0", "throughput", "power")
    write(path, period(2))
    terminal.until("HOLDING", "limits kept 2 of 2")
    write(path, period(3, limit_ms=1.0))
    terminal.until("LIMIT BROKEN", "over 1", "limits kept 2 of 3")
    terminal.run("send-keys", "-t", "view", "Left")
    terminal.until("HOLDING", "LOOKING BACK 1")
    terminal.run("send-keys", "-t", "view", "End")
    old_s = time.time() - 60
    os.utime(path, (old_s, old_s))
    terminal.until("GONE", "nothing new for")
    terminal.run("send-keys", "-t", "view", "q")
    terminal.until("left with 0")
