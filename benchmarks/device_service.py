"""The real service as a process on stand-ins, started again as systemd would do it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.standins.tensorrt.child import environment

#: Restarts at most: the unit in examples/ allows ten starts.
MOST_RESTARTS = 9
#: Exit codes after which systemd leaves the service down, as in the unit in examples/.
STAYS_DOWN = frozenset({0, 2})
#: A process that runs longer than this is hung [s].
LONGEST_S = 300.0


@dataclass(frozen=True)
class Process:
    """One process of the service.

    Attributes:
        code: its exit code; negative for a signal, None if it hung and was killed.
        ready: True if it told systemd READY=1.
        before: lines of its journal when the fault began.
        lines: of its journal.
        errors: what it wrote to standard error.
    """

    code: int | None
    ready: bool
    before: int
    lines: list[dict[str, Any]]
    errors: str

    @property
    def sentence(self) -> str:
        """Return the last line of standard error."""
        return (self.errors.strip().splitlines() or [""])[-1]


@dataclass
class Place:
    """A folder in which a service runs, with what is broken there.

    Attributes:
        folder: has the network, the caches and the journals of this service.
        root: the folder where the service looks for files of the board.
    """

    folder: Path
    root: Path

    @property
    def network(self) -> Path:
        """Return the ONNX file."""
        return self.folder / "small.onnx"

    @property
    def trigger(self) -> Path:
        """Return the file without which nothing fails."""
        return self.folder / "now"

    @property
    def log(self) -> Path:
        """Return the file with a line for each build, and for each time that a fault struck."""
        return self.folder / "log.jsonl"


def run_service(
    place: Place,
    options: tuple[str, ...],
    standins: dict[str, Any] | None = None,
    after: int = 0,
    act: Callable[[Place], object] = lambda place: None,
    heals: bool = False,
) -> list[Process]:
    """Start `python -m tuner.deploy`, and start it again until it stays down.

    Args:
        place: where.
        options: of the command.
        standins: keyword arguments of `environment`, with the faults.
        after: the fault begins when the journal has so many lines; 0 for the start.
        act: is called when the fault begins.
        heals: True if the fault is gone in the second process.
    """
    given = standins or {}
    faults = {"log": str(place.log), "after": str(place.trigger), **given.get("faults", {})}
    variables = environment(**{**given, "faults": faults, "root": place.root})
    variables["PYTHONPATH"] = os.pathsep.join([str(place.folder), variables["PYTHONPATH"]])
    variables["XDG_CACHE_HOME"] = str(place.folder / "cache")
    command = [sys.executable, "-m", "tuner.deploy", "--runtime", "tensorrt"]
    command += ["--network", str(place.network), "--folder", str(place.folder / "kept")]
    command += ["--lock", str(place.folder / "lock"), *options]
    if after == 0:
        place.trigger.touch()
        act(place)
    processes: list[Process] = []
    while len(processes) <= MOST_RESTARTS:
        journal = place.folder / f"journal{len(processes)}.jsonl"
        processes.append(_one(place, command, variables, journal, after, act))
        if processes[-1].code in (*STAYS_DOWN, None):
            break
        if heals:
            place.trigger.unlink(missing_ok=True)
            after = sys.maxsize
    return processes


def _one(
    place: Place,
    command: list[str],
    variables: dict[str, str],
    journal: Path,
    after: int,
    act: Callable[[Place], object],
) -> Process:
    """Run one process until it ends."""
    errors, address = journal.with_suffix(".err"), place.folder / "notify"
    address.unlink(missing_ok=True)
    before, told = 0, b""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
        errors.open("w", encoding="utf-8") as file,
    ):
        notified.bind(str(address))
        notified.setblocking(False)
        process = subprocess.Popen(
            [*command, "--journal", str(journal)],
            cwd=place.folder,
            env=variables | {"NOTIFY_SOCKET": str(address)},
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
        deadline_s = time.monotonic() + LONGEST_S
        while process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.02)
            told += _received(notified)
            count = len(lines(journal))
            if not place.trigger.exists() and count >= after:
                before = count
                place.trigger.touch()
                act(place)
        hung = process.poll() is None
        if hung:
            process.kill()
        code = process.wait()
        told += _received(notified)
    text = errors.read_text(encoding="utf-8", errors="replace")
    return Process(None if hung else code, b"READY=1" in told, before, lines(journal), text)


def _received(notified: socket.socket) -> bytes:
    told = b""
    while True:
        try:
            told += notified.recv(256)
        except BlockingIOError:
            return told


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a file of JSON lines; one that a kill cut short is left out."""
    if not path.exists():
        return []
    whole = [each for each in path.read_text().splitlines(keepends=True) if each.endswith("\n")]
    return [json.loads(each) for each in whole if each.strip()]


def serves(line: dict[str, Any]) -> bool:
    """Return True if a period of the journal served every network."""
    tenants = line.get("tenants") or {}
    return bool(tenants) and all((each["throughput_ips"] or 0) > 0 for each in tenants.values())
