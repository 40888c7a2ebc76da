"""Power from the lines of NVIDIA's `tegrastats`, where the files of the INA3221 are hidden (as in some containers).

A line differs between JetPack 5, 6 and 7, and with the rights of the user: a rail is `NAME 1995mW/1995mW[/1995mW]`, of which the first
is now (the others are means since tegrastats was started); a temperature `cpu@43.3C[/43.3C]` in any case; a clock `12%@1300`,
`12%@[1300,1300]`, `@1600` or `off`; memory and DLA clocks appear for root alone.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from envs.errors import SensorError
from envs.telemetry.board import OFFLINE_C, BoardFiles
from envs.telemetry.child import LineChild, LineSensor
from envs.telemetry.protocol import BoardSample
from envs.telemetry.rails import nominal_steps_w, of_rails

NAME = "tegrastats"
BINARY = Path("usr/bin/tegrastats")

RAIL = re.compile(r"(?<!\S)([A-Z]\w*) (-?\d+)mW(?:/-?\d+mW)*(?!\S)")
TEMPERATURE = re.compile(r"(?<!\S)([A-Za-z]\w*)@(-?\d+(?:\.\d+)?)C(?:/-?[\d.]+C)?(?!\S)")
CLOCKS = {
    "gpu": re.compile(r"\bGR3D_FREQ (?:\d+%)?@\[?(\d+)"),
    "cpu0": re.compile(r"\bCPU \[\d+%@(\d+)"),
    "emc": re.compile(r"\bEMC_FREQ (?:\d+%)?@(\d+)"),
    "dla0": re.compile(r"\bNVDLA0(?:_FREQ)? (?:\d+%)?@(\d+)"),
    "dla1": re.compile(r"\bNVDLA1(?:_FREQ)? (?:\d+%)?@(\d+)"),
}


def parse_line(line: str, time_s: float) -> BoardSample:
    """A sample from one line; what the line does not tell is left out."""
    rails_w = {name: int(milliwatts) / 1e3 for name, milliwatts in RAIL.findall(line)}
    temperatures_c = {place.lower(): float(celsius) for place, celsius in TEMPERATURE.findall(line)}
    clocks = {part: pattern.search(line) for part, pattern in CLOCKS.items()}
    return of_rails(
        rails_w,
        nominal_steps_w(rails_w),
        time_s,
        temperatures_c={place: celsius for place, celsius in temperatures_c.items() if celsius > OFFLINE_C},
        clocks_mhz={part: float(found[1]) for part, found in clocks.items() if found},
    )


class TegrastatsSensor(LineSensor):
    """Runs tegrastats beside this process and takes one line a read.

    Args:
        root: of the tree; `/` on a board.
        interval_s: between two lines; below 0.1 s tegrastats does not keep up.

    Raises:
        SensorError: it is not there, does not run, or its lines tell no power.
    """

    name = NAME

    def __init__(self, root: Path = Path("/"), interval_s: float = 0.1) -> None:
        binary = root / BINARY
        if not binary.exists():
            raise SensorError(f"{NAME}: {binary} is missing: it comes with JetPack, and has to be mounted into a container")
        self._board = BoardFiles(root)
        super().__init__(LineChild(NAME, [str(binary), "--interval", str(round(1e3 * interval_s))], silence_s=max(2.0, 5 * interval_s), start_s=5.0))

    def _sample(self, line: str, when_s: float) -> BoardSample:
        sample = parse_line(line, when_s)
        if not sample.rails_w:
            raise SensorError(f"{NAME}: a line tells no power ({line[:120]!r}): choose another sensor")
        return replace(sample, **self._board.throttle())
