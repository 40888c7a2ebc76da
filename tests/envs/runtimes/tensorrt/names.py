"""Names of TensorRT's classes and enums by version, and objects that have these and no other.

`names.json` was read from the bindings themselves (`tensorrt-*-bindings` 8.6.1, 10.3.0, 10.7.0, 10.13.3, 10.16.1, 11.0.0, 11.4.0; tensorrt-rtx
1.7.1), with `dir` of each class and the members of each enum.
"""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any

import numpy as np

NAMES: dict[str, Any] = json.loads((Path(__file__).parent / "names.json").read_text())
VERSIONS = tuple(NAMES)

#: numpy's types by TensorRT's names.
NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64, "INT8": np.int8}


class World:
    """What all objects of one module share, and what tests look at afterwards."""

    def __init__(self, version: str, dla_cores: int) -> None:
        self.version, self.dla_cores = version, dla_cores
        self.enums = {
            name: enum.IntEnum(name, members) for name, members in NAMES[version]["enums"].items()
        }
        self.configs: list[Any] = []
        self.networks: list[Any] = []
        self.contexts: list[Any] = []
        self.fail_build = ""
        #: Which of the formats that are allowed at the border of a DLA the builder takes.
        self.border = "CHW32"
        self.logger: Any = None

    def has(self, kind: str, name: str) -> bool:
        return name in NAMES[self.version]["classes"].get(kind, ())

    def flag(self, name: str) -> Any:
        return getattr(self.enums["BuilderFlag"], name)


class Named:
    """Refuses public names that the class called `_kind` does not have in this version, as pybind11's classes do."""

    _kind = ""

    def __init__(self, world: World) -> None:
        object.__setattr__(self, "_world", world)

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and not object.__getattribute__(self, "_world").has(
            object.__getattribute__(self, "_kind"), name
        ):
            raise AttributeError(
                f"{object.__getattribute__(self, '_kind')} has no {name} in this version"
            )
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not self._world.has(self._kind, name):
            raise AttributeError(f"{self._kind} has no {name} in this version")
        object.__setattr__(self, name, value)
