"""Power through the service of jetson-stats, whose socket may be visible when sysfs is not.

That is the case in some containers. The client runs in a process of its own: importing it sets the
start method of multiprocessing to `fork` for the whole process (7.2), and a child forked under CUDA
cannot use the GPU. The package is AGPL-3.0 and therefore optional; this process loads nothing of
it.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from envs.errors import SensorError
from envs.telemetry.board import BoardFiles
from envs.telemetry.child import LineChild
from envs.telemetry.protocol import BoardSample
from envs.telemetry.rails import STEPS_W, sample_of_rails

NAME = "jtop"
SOCKET = Path("run/jtop.sock")
CLIENT = (sys.executable, "-m", "envs.telemetry.jtop_client")


class JtopSensor:
    """Reads one sample of the service per read.

    Args:
        root: root of the file tree; `/` on a board.
        interval_s: time between two samples. The service keeps the interval of its first client.
        client: program that speaks with the service, `python -m envs.telemetry.jtop_client`.

    Raises:
        SensorError: the service is down, has another version, or may not be used; or jetson-stats
            is not installed.
    """

    name = NAME

    def __init__(
        self, root: Path = Path("/"), interval_s: float = 0.5, client: Sequence[str] = CLIENT
    ) -> None:
        if not (root / SOCKET).exists():
            raise SensorError(
                f"{NAME}: the service is down ({root / SOCKET} is missing): "
                "start it with `sudo systemctl start jtop.service`"
            )
        self._board = BoardFiles(root)
        self._child = LineChild(
            NAME, [*client, str(interval_s)], silence_s=max(2.5, 5 * interval_s), start_s=15.0
        )
        try:
            self.has_power = not math.isnan(self.read().total_w)
        except SensorError:
            self.close()
            raise

    def read(self) -> BoardSample:
        """Wait for the next sample and return it; raise SensorError if none comes."""
        return sample_of(*self._child.next_line(), self._board)

    def close(self) -> None:
        """End the client; idempotent."""
        self._child.close()


def sample_of(line: str, when_s: float, board: BoardFiles) -> BoardSample:
    """Return the sample in a line of the client; raise SensorError if it is not a sample."""
    try:
        data = json.loads(line)
        if "error" in data:
            raise SensorError(f"{NAME}: {data['error']}")
        rails_w = {
            str(rail): float(milliwatts) / 1e3 for rail, milliwatts in data["rails_mw"].items()
        }
        return sample_of_rails(
            rails_w,
            {rail: STEPS_W.get(rail, math.nan) for rail in rails_w},
            when_s,
            temperatures_c={
                str(zone): float(celsius) for zone, celsius in data["temperatures_c"].items()
            },
            clocks_mhz={str(part): float(mhz) for part, mhz in data["clocks_mhz"].items()},
            **board.throttle_fields(),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SensorError(
            f"{NAME}: its client wrote {line[:120]!r}, which is not a sample: choose another sensor"
        ) from None
