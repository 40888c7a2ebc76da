"""A terminal for tests: a screen of tmux, whose text they read and whose keys they press."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class Terminal:
    """A terminal of 80 x 24 in a tmux server of its own."""

    def __init__(self, socket: Path) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]

    def start(self, command: str, colours: str = "screen-256color") -> None:
        """Run a command of the shell."""
        self._run(
            *("new-session", "-d", "-s", "view", "-x", "80", "-y", "24", "-e", f"TERM={colours}"),
            command,
        )

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._run("send-keys", "-t", "view", *keys)

    def screen(self) -> str:
        """Return the text on the screen."""
        return self._run("capture-pane", "-p", "-t", "view")

    def title(self) -> str:
        """Return the title that what runs has given the terminal."""
        return self._run("display-message", "-p", "-t", "view", "#{pane_title}")

    def until(self, *wanted: str) -> str:
        """Return the screen once it shows all these words."""
        shown = ""
        for _ in range(600):
            shown = self.screen()
            if all(each in shown for each in wanted):
                return shown
            time.sleep(0.1)
        raise AssertionError(f"{wanted} are never on the screen:\n{shown}")

    def close(self) -> None:
        """End the server, and the command with it."""
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout


@contextlib.contextmanager
def opened_terminal(folder: Path) -> Iterator[Terminal]:
    """Open a terminal; skip the test where there is no tmux."""
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux here")
    terminal = Terminal(folder / "socket")
    try:
        yield terminal
    finally:
        terminal.close()
