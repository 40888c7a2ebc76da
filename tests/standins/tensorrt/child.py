"""The stand-ins of a child process, as an environment variable describes them.

With `tests/standins/path` on PYTHONPATH, `import tensorrt` and `import pycuda.driver` give the
stand-ins. The variable `ORIN_TUNER_STANDINS` has JSON: `version` of TensorRT, `dla_cores`, `faults`
(fields of `Faults`), and `root`, the folder where the files of the board are looked for; without it
they are those of an AGX Orin that does what it is asked, and the files are this computer's.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.runtimes.tensorrt.device import jetson_device
from envs.telemetry.power_mode import read_power_mode
from envs.telemetry.sensors import probe_sensor
from tests.standins.tensorrt import StandIns, made
from tests.standins.tensorrt.faults import faults_of

VARIABLE = "ORIN_TUNER_STANDINS"
ROOT = Path(__file__).resolve().parents[3]


def environment(
    version: str = "10.3.0",
    dla_cores: int = 2,
    faults: Mapping[str, Any] | None = None,
    root: Path | None = None,
) -> dict[str, str]:
    """Return the variables of a child process that runs on stand-ins.

    For example: `subprocess.run([sys.executable, "-m", "tuner.deploy", ...], env=environment())`.
    """
    given: dict[str, Any] = {
        "version": version,
        "dla_cores": dla_cores,
        "faults": dict(faults or {}),
    }
    if root is not None:
        given["root"] = str(root)
    paths = [str(ROOT / "tests/standins/path"), str(ROOT)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), VARIABLE: json.dumps(given)}


@functools.cache
def of_environment() -> StandIns:
    """Return the stand-ins of this process."""
    given = json.loads(os.environ.get(VARIABLE, "{}"))
    faults = faults_of(given.pop("faults", {}))
    if root := given.pop("root", ""):
        _look_below(Path(root))
    return made(**given, faults=faults)


def _look_below(root: Path) -> None:
    """Let what reads files of the board read those below a folder, where no other is named."""
    for reader in (jetson_device, read_power_mode, probe_sensor):
        defaults = reader.__defaults__ or ()
        reader.__defaults__ = tuple(root if each == Path("/") else each for each in defaults)
