"""INA3221 power monitors of a Jetson through the kernel's hwmon files, without another process.

The layout is that of JetPack 5, 6 and 7 (NVIDIA Jetson Linux Developer Guide; Linux
Documentation/hwmon/ina3221.rst): /sys/bus/i2c/drivers/ina3221/BUS-ADDRESS/hwmon/hwmonN has
in{1,2,3}_label, in*_input in mV, curr*_input in mA and shunt*_resistor in uOhm. N is not stable, so
that rails are found by their labels.
"""

import logging
import math
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from envs.errors import SensorError
from envs.telemetry.board import BoardFiles
from envs.telemetry.protocol import BoardSample
from envs.telemetry.rails import OF_MONITOR, STEPS_W, module_rails, sample_of_rails, step_w
from envs.telemetry.sysfs import folders, need_number, read_number, read_text, refusal

logger = logging.getLogger(__name__)

NAME = "ina3221"
DRIVER = Path("sys/bus/i2c/drivers/ina3221")


@dataclass(frozen=True)
class Channel:
    """One rail of one monitor, which is named by its bus and address."""

    rail: str
    monitor: str
    volts: Path
    amperes: Path
    watts: Path | None
    shunt_ohm: float

    def read(self) -> tuple[float, float]:
        """Return the power, and the smallest change of it that shows [W]."""
        if self.watts is not None:
            return need_number(NAME, self.watts) / 1e6, STEPS_W.get(self.rail, math.nan)
        volts, amperes = need_number(NAME, self.volts) / 1e3, need_number(NAME, self.amperes) / 1e3
        step = (
            step_w(volts, amperes, self.shunt_ohm)
            if self.shunt_ohm
            else STEPS_W.get(self.rail, math.nan)
        )
        return volts * amperes, step


class Ina3221Sensor:
    """Measures power by rail, as volts times amperes.

    Args:
        root: root of the file tree; `/` on a board.

    Raises:
        SensorError: there is no such monitor, or it may not be read.
    """

    name = NAME

    def __init__(self, root: Path = Path("/")) -> None:
        self._channels = _find_channels(root)
        if not self._channels:
            raise SensorError(
                f"{NAME}: no power monitor below {root / DRIVER}: "
                "this is not a Jetson, or its kernel has no ina3221 driver"
            )
        self._board = BoardFiles(root)
        self.has_power = bool(module_rails(channel.rail for channel in self._channels))
        self.read()

    def read(self) -> BoardSample:
        """Return a sample; raise SensorError if a rail cannot be read."""
        # A read may wait for a conversion, up to 40 ms for all rails together.
        began_s = time.perf_counter()
        readings = {channel.rail: channel.read() for channel in self._channels}
        when_s = (began_s + time.perf_counter()) / 2
        return sample_of_rails(
            {rail: watts for rail, (watts, _) in readings.items()},
            {rail: step for rail, (_, step) in readings.items()},
            when_s,
            **self._board.sample_fields(),
        )

    def close(self) -> None:
        """Do nothing: no file is kept open."""


def _find_channels(root: Path) -> list[Channel]:
    found = [
        channel
        for device in folders(NAME, root / DRIVER)
        for chip in folders(NAME, device / "hwmon", "hwmon")
        for number in (1, 2, 3)
        if (channel := _channel(device.name, chip, number)) is not None
    ]
    counts = Counter(channel.rail for channel in found)
    if doubled := sorted(rail for rail, count in counts.items() if count > 1):
        monitors = sorted({channel.monitor for channel in found if channel.rail in doubled})
        logger.warning(
            "%s: the monitors %s have rails of the same name (%s), so that the power of the module"
            " is not known: each rail is kept by itself, and a power limit cannot be kept",
            NAME,
            ", ".join(monitors),
            ", ".join(doubled),
        )
    return [_told_apart(channel) if counts[channel.rail] > 1 else channel for channel in found]


def _told_apart(channel: Channel) -> Channel:
    """Return a channel whose rail bears the name of its monitor, and of its input file."""
    number = channel.volts.name.removeprefix("in").removesuffix("_input")
    return replace(channel, rail=f"{channel.rail}{OF_MONITOR}{channel.monitor}.{number}")


def _channel(monitor: str, chip: Path, number: int) -> Channel | None:
    """Return one of the three channels; None if it is not connected or switched off.

    A channel that is not connected has no label or `NC`; one that is off answers ENODATA.
    """
    try:
        rail = read_text(chip / f"in{number}_label")
    except PermissionError as error:
        raise SensorError(f"{NAME}: {refusal(chip / f'in{number}_label', error)}") from error
    except OSError:
        return None
    if not rail or rail == "NC" or read_number(chip / f"in{number}_enable") == 0:
        return None
    watts = chip / f"power{number}_input"
    shunt_uohm = read_number(chip / f"shunt{number}_resistor") or 0
    return Channel(
        rail,
        monitor,
        chip / f"in{number}_input",
        chip / f"curr{number}_input",
        watts if watts.exists() else None,
        shunt_uohm / 1e6,
    )
