"""The command: wrong options end in a sentence; in tmux, screens show what happens."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import call
from tests.terminal import Terminal, opened_terminal
from tests.tuner.watching.journals import named, period, write
from tuner.control.guard import Phase
from tuner.control.period import Period
from tuner.watching.tail import POLL_BYTES

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


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with opened_terminal(tmp_path) as terminal:
        yield terminal


def watching(journal: Path) -> str:
    """Return the shell's command that watches a journal, says how it ended, and waits."""
    command = [sys.executable, "-m", "tuner.watch", "--journal", str(journal)]
    return f"cd {shlex.quote(str(PROJECT))} && {shlex.join(command)}; echo left with $?; cat"


def test_the_screens_of_a_service_from_its_first_line_to_its_end(
    tmp_path: Path, terminal: Terminal
) -> None:
    path = tmp_path / "run.jsonl"

    def write_now(moment: Period) -> None:
        """Write a moment of an hour hence: it stays new however long a busy computer takes."""
        write(path, moment)
        hence_s = time.time() + 3600
        os.utime(path, (hence_s, hence_s))

    terminal.start(watching(path))
    terminal.until("IDLE", "No such file", "Quit")
    write_now(period(1, Phase.SEARCHING))
    terminal.until("SEARCHING", "tries a configuration", "net0", "throughput", "power")
    write_now(period(2))
    terminal.until("HOLDING", "limits kept 2 of 2")
    write_now(period(3, limit_ms=1.0))
    terminal.until("LIMIT BROKEN", "over 1", "limits kept 2 of 3")
    terminal.press("Left")
    terminal.until("HOLDING", "LOOKING BACK 1")
    terminal.press("End")
    old_s = time.time() - 60
    os.utime(path, (old_s, old_s))
    terminal.until("GONE", "nothing new for")
    terminal.press("q")
    terminal.until("left with 0")


def test_a_terminal_without_utf_8_is_told_what_to_set(tmp_path: Path, terminal: Terminal) -> None:
    path = write(tmp_path / "run.jsonl", period(1))
    terminal.start(f"export PYTHONIOENCODING=latin-1; {watching(path)}")
    terminal.until("set LC_ALL=C.UTF-8", "left with 2")


def test_a_hostile_journal_of_1_gb_is_shown_as_text_and_can_be_left(
    tmp_path: Path, terminal: Terminal
) -> None:
    world = named("[@click=app.quit]x[/]\x1b]2;taken over\x07\x1b[2J\n", "[/red]")
    whole = write(tmp_path / "one", period(1, world=world), world=world).read_bytes()
    path = tmp_path / "run.jsonl"
    with path.open("wb") as file:
        file.seek(1 << 30)  # a hole: it takes no room on the disk
        for _ in range(2 * POLL_BYTES // len(whole)):
            file.write(whole + whole[: len(whole) // 2] + b"\n\x1b[2J\x07\xff{\n")
        file.write(whole)
    terminal.start(watching(path))
    shown = terminal.until("[@click=app", "[/red]", "lines could not be read; older periods")
    assert "taken over" not in terminal.title()
    assert "\x1b" not in shown
    terminal.press("t", "Home", "End", "q")
    terminal.until("left with 0")
