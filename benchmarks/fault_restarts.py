"""Kill the real command and start it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.device_service import lines
from benchmarks.fault_worlds import (
    LiveWorld,
)
from envs.errors import RuntimeFault

#: The number of periods after a fault.
AFTER = 6


@dataclass(frozen=True)
class Result:
    """The outcome of a fault.

    Attributes:
        recovered_in: periods until a valid configuration was served and measured again.
        broken: periods that broke a limit.
        silent: requests that were accepted and never answered.
    """

    world: str
    fault: str
    recovered_in: int
    broken: int
    silent: int

    @property
    def good(self) -> bool:
        """Return True if the fault ended as it should."""
        return self.recovered_in <= 2 and self.broken <= 1 and self.silent == 0


def killed(name: str, number: int, folder: Path, period_s: float, p99_ms: float = 200.0) -> Result:
    """Stop the real command and start it again: it must first serve what was good last."""
    network = folder / "small.onnx"
    if not network.exists():
        LiveWorld(folder, period_s).runtime.close()
    command = [
        *(
            sys.executable,
            "-m",
            "tuner.deploy",
            "--network",
            str(network),
            "--p99-ms",
            str(p99_ms),
            "--runtime",
            name,
            "--period-s",
            str(period_s),
        ),
        *(
            "--folder",
            str(folder / "kept"),
            "--lock",
            str(folder / "lock"),
            "--batches",
            "1",
            "4",
            "--max-instances",
            "2",
            "--allow-uncalibrated",
        ),
    ]
    first = subprocess.Popen([*command, "--journal", str(folder / "first.jsonl")])
    deadline = time.monotonic() + 600
    while (
        len(lines(folder / "first.jsonl")) < 4
        and time.monotonic() < deadline
        and first.poll() is None
    ):
        time.sleep(0.05)
    os.kill(first.pid, number)
    code = first.wait(600)
    before = lines(folder / "first.jsonl")
    subprocess.run(
        [*command, "--journal", str(folder / "second.jsonl"), "--periods", "3"],
        check=True,
        timeout=600,
    )
    again = lines(folder / "second.jsonl")
    if number == signal.SIGTERM and code != 0:
        raise RuntimeFault(f"SIGTERM ended it with {code}")
    good = [line["configuration"] for line in before if line["kept"]][-1]
    recovered = next(
        (
            position
            for position, line in enumerate(again, 1)
            if line["kept"] and (position > 1 or line["configuration"] == good)
        ),
        AFTER + 1,
    )
    return Result(
        name,
        f"{signal.Signals(number).name} and a restart",
        recovered,
        sum(not line["kept"] for line in again),
        0,
    )
