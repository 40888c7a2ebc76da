"""Find the sensor that measures the power of this computer, by trying each."""

import logging
from collections.abc import Callable
from pathlib import Path

from envs.errors import OptionError, TunerError
from envs.telemetry.ina3221 import Ina3221Sensor
from envs.telemetry.jtop import JtopSensor
from envs.telemetry.none import NoSensor
from envs.telemetry.nvml import NvmlSensor
from envs.telemetry.protocol import Sensor
from envs.telemetry.rapl import RaplSensor

logger = logging.getLogger(__name__)

#: In the order in which `auto` tries them: first files of the board, then its service, then sensors
#: of a desktop computer.
SENSORS: dict[str, Callable[[Path], Sensor]] = {
    "ina3221": Ina3221Sensor,
    "jtop": JtopSensor,
    "rapl": RaplSensor,
    "nvml": NvmlSensor,
    "none": lambda root: NoSensor(),
}


def probe_sensor(kind: str = "auto", root: Path = Path("/"), on_gpu: bool = False) -> Sensor:
    """Return a sensor that answers.

    Args:
        kind: name of a sensor, or `auto` for the first of SENSORS that measures the total power; if
            none does, the first that works. Reasons against the others are logged at level DEBUG.
        root: root of the tree with /sys, /run and /usr; tests use another one than `/`.
        on_gpu: a GPU serves. `auto` then skips the sensor of the processor alone, and otherwise the
            sensor of a GPU alone.

    Raises:
        OptionError: no sensor has this name.
        SensorError: the named sensor does not work; the message says why and what to do.
        DependencyError: its package is not installed.
    """
    if kind != "auto":
        if kind not in SENSORS:
            raise OptionError(f"sensor={kind}: choose one of auto, {', '.join(SENSORS)}")
        return SENSORS[kind](root)
    without_total: Sensor | None = None
    for name, make in SENSORS.items():
        if name == ("rapl" if on_gpu else "nvml"):
            continue
        try:
            sensor = make(root)
        except TunerError as error:
            logger.debug("skipped %s (%s)", name, error)
            continue
        if sensor.has_power:
            return sensor
        if without_total is None:
            without_total = sensor
        else:
            sensor.close()
    assert without_total is not None, "NoSensor always works"
    return without_total
