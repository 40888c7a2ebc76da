"""The stand-ins of a child process, as an environment variable describes them.

With `tests/standins/path` on PYTHONPATH, `import tensorrt` and `import pycuda.driver` give the
stand-ins. The variable `ORIN_TUNER_STANDINS` has JSON: `version` of TensorRT, `dla_cores`, and
`faults` (fields of `Faults`); without it they are those of an AGX Orin that does what it is asked.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.standins.tensorrt import StandIns, made
from tests.standins.tensorrt.faults import faults_of

VARIABLE = "ORIN_TUNER_STANDINS"
ROOT = Path(__file__).resolve().parents[3]


def environment(
    version: str = "10.3.0", dla_cores: int = 2, faults: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return the variables of a child process that runs on stand-ins.

    For example: `subprocess.run([sys.executable, "-m", "tuner.deploy", ...], env=environment())`.
    """
    given = {"version": version, "dla_cores": dla_cores, "faults": dict(faults or {})}
    paths = [str(ROOT / "tests/standins/path"), str(ROOT)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), VARIABLE: json.dumps(given)}


@functools.cache
def of_environment() -> StandIns:
    """Return the stand-ins of this process."""
    given = json.loads(os.environ.get(VARIABLE, "{}"))
    faults = faults_of(given.pop("faults", {}))
    return made(**given, faults=faults)
