"""Power through the service of jetson-stats, where the files are hidden but its socket is not (as in a container).

The client runs in a process of its own: importing it sets the start method of multiprocessing to `fork` for the whole process (7.2), and
a child forked under CUDA cannot use the GPU. The package is AGPL-3.0 and therefore optional; nothing of it is loaded here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from envs.errors import SensorError
from envs.telemetry.board import BoardFiles
from envs.telemetry.child import LineChild, LineSensor
from envs.telemetry.protocol import BoardSample
from envs.telemetry.rails import nominal_steps_w, of_rails

NAME = "jtop"
SOCKET = Path("run/jtop.sock")
CLIENT = (sys.executable, "-m", "envs.telemetry.jtop_client")


class JtopSensor(LineSensor):
    """One sample of the service a read.

    Args:
        root: of the tree; `/` on a board.
        interval_s: between two samples. The service keeps the interval of whoever connected first.
        client: the program that speaks with the service, `python -m envs.telemetry.jtop_client`.

    Raises:
        SensorError: the service is down, of another version, or may not be spoken with; or jetson-stats is not installed.
    """

    name = NAME

    def __init__(
        self, root: Path = Path("/"), interval_s: float = 0.5, client: Sequence[str] = CLIENT
    ) -> None:
        if not (root / SOCKET).exists():
            raise SensorError(
                f"{NAME}: the service is down ({root / SOCKET} is missing): start it with `sudo systemctl start jtop.service`"
            )
        self._board = BoardFiles(root)
        super().__init__(
            LineChild(
                NAME, [*client, str(interval_s)], silence_s=max(2.5, 5 * interval_s), start_s=15.0
            )
        )

    def _sample(self, line: str, when_s: float) -> BoardSample:
        return sample_of(line, when_s, self._board)


def sample_of(line: str, when_s: float, board: BoardFiles) -> BoardSample:
    """A sample from what the client wrote; SensorError if that was a complaint."""
    try:
        told = json.loads(line)
        if "error" in told:
            raise SensorError(f"{NAME}: {told['error']}")
        rails_w = {
            str(rail): float(milliwatts) / 1e3 for rail, milliwatts in told["rails_mw"].items()
        }
        return of_rails(
            rails_w,
            nominal_steps_w(rails_w),
            when_s,
            temperatures_c={
                str(place): float(celsius) for place, celsius in told["temperatures_c"].items()
            },
            clocks_mhz={str(part): float(mhz) for part, mhz in told["clocks_mhz"].items()},
            **board.throttle(),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SensorError(
            f"{NAME}: its client wrote {line[:120]!r}, which is no sample: choose another sensor"
        ) from None
