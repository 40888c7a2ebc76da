"""Read the power mode of a Jetson from the files of `nvpmodel`, or else from what it sets."""

import functools
import re
from pathlib import Path

from envs.telemetry.clock_limits import gpu_limit_mhz

UNKNOWN = "unknown"


def read_power_mode(root: Path = Path("/")) -> str:
    """Return the name of the power mode without `MODE_`, such as `MAXN` or `30W`.

    A mode without a name gives its number. Without nvpmodel's status, as in many a container, the
    highest clock that the GPU had at the first call stands for the mode, such as `612 MHz`; without
    that too it is `unknown`. nvpmodel writes `pmode:0002` into var/lib/nvpmodel/status;
    etc/nvpmodel.conf names the modes.
    """
    status = _text(root / "var/lib/nvpmodel/status")
    found = re.search(r"pmode:\s*(\d+)", status)
    if found is None:
        return _first_limit(root)
    number = int(found.group(1))
    for mode, name in re.findall(
        r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", _text(root / "etc/nvpmodel.conf")
    ):
        if int(mode) == number:
            return str(name).removeprefix("MODE_")
    return str(number)


@functools.cache
def _first_limit(root: Path) -> str:
    """Return the highest clock as text, read once: heat lowers it too, and is no other mode."""
    mhz = gpu_limit_mhz(root)
    return f"{mhz:g} MHz" if mhz > 0 else UNKNOWN


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
