"""Energy counters of Intel and AMD processor packages through the kernel's powercap tree."""

import math
import time
from pathlib import Path

from envs.errors import SensorError
from envs.telemetry.board import BoardFiles
from envs.telemetry.protocol import BoardSample
from envs.telemetry.sysfs import folders, need_number, read_text, refusal

NAME = "rapl"
POWERCAP = Path("sys/class/powercap")
#: Counters are renewed about every millisecond (Intel Software Developer's Manual, volume 3,
#: "Package RAPL domain").
REFRESH_S = 1e-3


class RaplSensor:
    """Counts energy by package; the counters wrap around.

    Only whole packages are read (`intel-rapl:0`, not `intel-rapl:0:1`), which contain their cores.

    Args:
        root: root of the file tree; `/` on a computer.

    Raises:
        SensorError: there are no such counters, or they may not be read.
    """

    name = NAME
    has_power = True

    def __init__(self, root: Path = Path("/")) -> None:
        domains = [
            path
            for path in folders(NAME, root / POWERCAP, "intel-rapl:")
            if path.name.count(":") == 1
        ]
        if not domains:
            raise SensorError(
                f"{NAME}: no energy counters below {root / POWERCAP}: "
                "this processor or virtual machine shows none"
            )
        self._domains = {f"{_label(path)}@{path.name}": path for path in domains}
        self._wraps_j = {
            name: need_number(NAME, path / "max_energy_range_uj") / 1e6
            for name, path in self._domains.items()
        }
        packages = tuple(name for name in self._domains if name.startswith("package"))
        # psys, if there is one, is the whole platform and contains the packages.
        self._total_rails = packages or tuple(self._domains)
        self._board = BoardFiles(root)
        self._last = self._energies()

    def read(self) -> BoardSample:
        """Return a sample; its power is the mean since the last reading."""
        (then_s, before), (now_s, after) = self._last, self._energies()
        self._last = (now_s, after)
        elapsed_s = now_s - then_s
        rails_w = {}
        for name, energy_j in after.items():
            used_j = energy_j - before[name]
            rails_w[name] = (
                (used_j if used_j >= 0 else used_j + self._wraps_j[name]) / elapsed_s
                if elapsed_s > 0
                else math.nan
            )
        return BoardSample(
            total_w=math.fsum(rails_w[name] for name in self._total_rails),
            rails_w=rails_w,
            time_s=now_s,
            total_rails=self._total_rails,
            energy_j=after,
            energy_wrap_j=self._wraps_j,
            refresh_s=REFRESH_S,
            **self._board.sample_fields(),
        )

    def close(self) -> None:
        """Do nothing: no file is kept open."""

    def _energies(self) -> tuple[float, dict[str, float]]:
        return time.perf_counter(), {
            name: need_number(NAME, path / "energy_uj") / 1e6
            for name, path in self._domains.items()
        }


def _label(domain: Path) -> str:
    try:
        return read_text(domain / "name")
    except OSError as error:
        raise SensorError(f"{NAME}: {refusal(domain / 'name', error)}") from error
