"""Sensors of a plain computer: RAPL where the kernel shows it, none elsewhere; chosen by probing."""

from __future__ import annotations

import math
import time
from pathlib import Path

from envs.telemetry.protocol import BoardSample, Sensor

POWERCAP = Path("/sys/class/powercap")


class NoSensor:
    """A computer that does not tell its power: NaN, never 0."""

    name = "none"
    has_power = False

    def read(self) -> BoardSample:
        return BoardSample()


class RaplSensor:
    """Intel and AMD package energy through the Linux powercap tree (energy_uj counters, which wrap around)."""

    name = "rapl"
    has_power = True

    def __init__(self, domains: list[Path]) -> None:
        self._domains = {f"{(path / 'name').read_text().strip()}@{path.name}": path for path in domains}
        self._wraps = {name: int((path / "max_energy_range_uj").read_text()) for name, path in self._domains.items()}
        self._last = self._energies()

    def read(self) -> BoardSample:
        (then_s, before), (now_s, after) = self._last, self._energies()
        self._last = (now_s, after)
        elapsed_s = now_s - then_s
        if elapsed_s <= 0:
            return BoardSample(math.nan)
        rails = {}
        for name, energy in after.items():
            used_uj = energy - before[name]
            if used_uj < 0:
                used_uj += self._wraps[name]
            rails[name] = used_uj / 1e6 / elapsed_s
        packages = [watts for name, watts in rails.items() if name.startswith("package")]
        # psys, where there is one, is the whole platform and holds the packages already.
        return BoardSample(sum(packages or rails.values()), rails)

    def _energies(self) -> tuple[float, dict[str, int]]:
        return time.perf_counter(), {name: int((path / "energy_uj").read_text()) for name, path in self._domains.items()}


def probe_sensor(powercap: Path = POWERCAP) -> Sensor:
    """The best sensor that this computer really lets us read.

    Only whole packages (`intel-rapl:0`, not `intel-rapl:0:1`): a package's counter holds its cores already.
    """
    domains = [path for path in sorted(powercap.glob("intel-rapl:*")) if path.name.count(":") == 1]
    try:
        return RaplSensor(domains) if domains else NoSensor()
    except (OSError, ValueError):  # energy_uj is for root alone on most systems
        return NoSensor()
