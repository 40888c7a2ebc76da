"""The page for newcomers: its commands run in their order, in a folder with nothing in it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT, blocks, commands
from tests.terminal import opened_terminal

PAGE = ROOT / "docs" / "in-ten-minutes.md"

#: What the page says to install with; it is run by hand, since it takes minutes.
INSTALLS = (
    "git clone ADDRESS orin-tuner",
    "cd orin-tuner",
    "python3 -m venv .venv && . .venv/bin/activate",
)

#: What is changed in commands, so that they take seconds and disturb no other service.
QUICK = {
    "tuner.tune": "--window-s 0.3 --measurements 3 --pairs 1 --batches 1 2",
    "tuner.deploy": "--period-s 0.5 --batches 1 2 --lock lock --folder kept",
}


def quick(command: str) -> str:
    """Return a command of the page with what makes it quick, and a limit that anything keeps."""
    words = command.split()
    more = QUICK.get(words[2], "") if words[:2] == ["python", "-m"] else ""
    quicker = command.replace("--p99-ms 200", "--p99-ms 60000").replace("--page 8090", "--page 0")
    return f"{quicker} {more}".strip()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return variables in which `python` is this one, as after activating its environment."""
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": paths, "XDG_CACHE_HOME": str(tmp_path / "cache")}


@contextlib.contextmanager
def served(
    command: str, home: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Serve in a process of its own, from its first period on."""
    with (home / "messages").open("w") as messages:
        service = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=home, env=environment, stderr=messages
        )
    try:
        journal = home / "run.jsonl"
        for _ in range(600):
            if service.poll() is not None or (journal.exists() and journal.stat().st_size):
                break
            time.sleep(0.1)
        assert service.poll() is None, (home / "messages").read_text()
        yield service
    finally:
        service.kill()
        service.wait()


def test_it_installs_as_the_readme_does() -> None:
    shown = list(commands(PAGE))
    readme = list(commands(ROOT / "README.md"))
    assert shown[:3] == list(INSTALLS)
    assert INSTALLS[2] in readme
    [install] = [each for each in readme if "pip install" in each]
    assert shown[3] == install.replace(".[tune]", ".[tune,watch,page]")


def test_its_commands_run_in_their_order(tmp_path: Path, environment: dict[str, str]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    [block] = blocks(PAGE, "python")
    (home / "first.py").write_text(
        block.replace("p99_ms=200", "p99_ms=60_000, measurements=2, window_s=0.3")
    )
    *before, deploy, watch = list(commands(PAGE))[4:]
    printed = []
    for command in before:
        done = subprocess.run(
            ["bash", "-c", quick(command)],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, (command, done.stderr)
        printed.append(done.stdout)
    assert "answer: squeezenet1_1: cpu_fp32" in printed[1]
    assert "simulated on Jetson AGX Orin" in printed[2]
    assert printed[3].startswith("cpu_fp32 ")
    assert printed[3].endswith(" measured\n")
    assert (home / "answer.json").exists()
    with served(quick(deploy), home, environment) as service, opened_terminal(tmp_path) as terminal:
        path = environment["PATH"]
        terminal.start(
            f"cd {home}; export PATH={path} PYTHONPATH={ROOT}; {watch}; echo left with $?; cat"
        )
        terminal.until("squeezenet1_1", "cpu_fp32", "throughput", "limits kept")
        [address] = re.findall(r"http://127\.0\.0\.1:\d+/", (home / "messages").read_text())
        with urllib.request.urlopen(address, timeout=30) as page:
            assert "squeezenet1_1" in page.read().decode()
        terminal.press("q")
        terminal.until("left with 0")
        service.send_signal(signal.SIGINT)
        assert service.wait(timeout=600) == 0
