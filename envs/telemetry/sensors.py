"""Which sensor tells the power of this computer: found by trying, not by the name of a board."""

from __future__ import annotations

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

#: In the order in which `auto` tries them: without a process between first, then what only a board has, then what a desktop has.
SENSORS: dict[str, Callable[[Path], Sensor]] = {
    "ina3221": Ina3221Sensor,
    "jtop": JtopSensor,
    "rapl": RaplSensor,
    "nvml": NvmlSensor,
    "none": lambda root: NoSensor(),
}


def probe_sensor(kind: str = "auto", root: Path = Path("/"), on_gpu: bool = False) -> Sensor:
    """A sensor that answers.

    Args:
        on_gpu: whether a GPU serves: `auto` then passes over what measures the processor alone, and otherwise over what measures a GPU alone.
        kind: its name, or `auto` for the first of SENSORS that tells the total, or else works at all, as `none` always does. Why others do not is logged.
        root: of the tree that holds /sys, /run and /usr; another one than `/` in tests.

    Raises:
        OptionError: no sensor is called so.
        SensorError, DependencyError: the sensor that was asked for by name does not work; the message says why and what to do.
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
            logger.info("passed over %s (%s)", name, error)
            continue
        if sensor.has_power:
            return sensor
        if without_total is None:
            without_total = sensor
        else:
            sensor.close()
    assert without_total is not None, "NoSensor always works"
    return without_total
