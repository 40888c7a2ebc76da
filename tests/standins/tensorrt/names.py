"""Names of TensorRT's classes and enums by version, and objects that have those names only.

`names.json` was read from the published bindings (`tensorrt-*-bindings` 8.6.1, 10.3.0, 10.7.0,
10.13.3, 10.16.1, 11.0.0, 11.4.0, and tensorrt-rtx 1.7.1), with `dir` of each class and the
members of each enum.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.standins.tensorrt.faults import Faults

NAMES: dict[str, Any] = json.loads((Path(__file__).parent / "names.json").read_text())
VERSIONS = tuple(NAMES)
# The names of this class are those of ILayer and two more (docstring of IConstantLayer in
# tensorrt-cu12-bindings 10.3.0).
for _names in NAMES.values():
    _names["classes"]["IConstantLayer"] = [*_names["classes"]["ILayer"], "shape", "weights"]
    _names["module"].append("IConstantLayer")

#: NumPy's types by TensorRT's names.
NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64, "INT8": np.int8}


class World:
    """State that all objects of one stand-in module share, for tests to change and to look at.

    Attributes:
        configs, networks, contexts: every builder configuration, network and execution context
            that was made.
        builds: how often an engine was built, or was to be built.
        faults: what fails.
        live: returns how many pieces of device memory are not freed.
        fail_build: the error that the builder logs while it gives no plan; empty to build.
        border: the format that the builder chooses for inputs and outputs of a DLA where it may.
        pitch_bytes: rows of DLA_LINEAR begin at multiples of this.
        told_strides: by tensor, strides that contexts tell instead of the true ones.
        logger: the logger that was handed to TensorRT last.
    """

    def __init__(self, version: str, dla_cores: int, faults: Faults) -> None:
        self.version, self.dla_cores = version, dla_cores
        self.faults, self.builds = faults, 0
        self.live: Callable[[], int] = lambda: 0
        self.enums: dict[str, Any] = {
            name: enum.IntEnum(name, members) for name, members in NAMES[version]["enums"].items()
        }
        self.configs: list[Any] = []
        self.networks: list[Any] = []
        self.contexts: list[Any] = []
        self.fail_build = ""
        self.border = "CHW32"
        self.pitch_bytes = 64
        self.told_strides: dict[str, tuple[int, ...]] = {}
        self.logger: Any = None

    def log(self, error: str) -> None:
        """Hand an error to the logger."""
        self.logger.log(self.enums["Severity"].ERROR, error)

    def has(self, kind: str, name: str) -> bool:
        """Return True if the class `kind` has a member called `name` in this version."""
        return name in NAMES[self.version]["classes"].get(kind, ())

    def flag(self, name: str) -> Any:
        """Return the member of BuilderFlag called `name`."""
        return getattr(self.enums["BuilderFlag"], name)


class Named:
    """Refuses names that TensorRT's class `kind` lacks in this version, as pybind11 does."""

    _kind: str

    def __init_subclass__(cls, kind: str) -> None:
        cls._kind = kind

    def __init__(self, world: World, **values: Any) -> None:
        self._put(_world=world, **values)

    def _put(self, **values: Any) -> None:
        """Set attributes without the check of their names."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_"):
            object.__getattribute__(self, "_check")(name)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            self._check(name)
        object.__setattr__(self, name, value)

    def _check(self, name: str) -> None:
        if not self._world.has(self._kind, name):
            raise AttributeError(f"{self._kind} has no {name} in this version")
