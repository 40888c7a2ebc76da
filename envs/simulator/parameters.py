"""Sets of the free parameters: fitted, drawn for training, or given.

A parameter set holds one value a context. The values drawn for training, fitted to published
measurements, or believed after some measurements are always this one vector.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from envs.arrays import FloatArray
from envs.errors import OptionError
from envs.simulator.parameter_table import TABLE, Parameter

FITTED = Path(__file__).parent / "data" / "fitted.json"

PARAMETERS: dict[str, Parameter] = {each.name: each for each in TABLE}
NAMES = tuple(PARAMETERS)

#: Software as values of parameters; the others stay as fitted. Engines of MLPerf submissions are
#: the measure of `engine_slowdown`. `trtexec` queues batches ahead, so that its GPU never waits
#: for the host. It lets FP32 engines use TF32, whose rate is read off ResNet-50 on AGX Orin
#: (yyshin-katech/embedded-ai-quantization-guide); the engines of this project do not.
#: Eager PyTorch is read off ResNet-50, MobileNetV3 and YOLOv8n in FP32 on AGX Orin at batches 1 to
#: 64 (dream-lab/pagoda), such that ResNet-50 at batch 64 lies between its 334 images/s, 375
#: (Juanx65/ArtTRT) and 415 (arXiv 2503.09546). Its kernels are not fused, so that they move
#: several times the bytes, which `bandwidth_efficiency` stands for, and launching one takes Python
#: longer than running it at batch 1. One thread at a time holds the interpreter's lock. A DLA
#: engine fed with FP32 in linear formats loads the GPU by 30 % (NVIDIA developer forum, topic
#: 219770).
_QUEUED = {"host_us": 0.0, "launch_us": 0.0, "copy_gb_s": 200.0}
SOFTWARE: dict[str, dict[str, float]] = {
    "tensorrt": {},
    "mlperf": {"engine_slowdown": 1.0},
    "trtexec": _QUEUED,
    "trtexec_tf32": {**_QUEUED, "cuda_efficiency": 2.32},
    "pytorch": {
        "engine_slowdown": 1.0,
        "host_us": 7_000.0,
        "launch_us": 135.0,
        "copy_gb_s": 4.0,
        "kernel_floor_us": 2.0,
        "bandwidth_efficiency": 0.215,
        "depthwise_efficiency": 0.012,
        "cuda_efficiency": 2.5,
        "fp16_efficiency": 0.12,
        "launch_lock": 0.8,
        "dla_hold": 0.3,
    },
}

#: Values on a plain computer, whose scheduler deals out turns of some milliseconds: read off the
#: recordings in `envs/traces/data`.
PLAIN = {"quantum_ms": 12.0}


@dataclass(frozen=True)
class ParameterSet:
    """Values [C, D] of the parameters in the order of `NAMES`."""

    values: FloatArray

    def __len__(self) -> int:
        return len(self.values)

    def __getattr__(self, name: str) -> FloatArray:
        """Return the values [C] of one parameter."""
        try:
            return self.values[:, NAMES.index(name)]
        except ValueError:
            raise AttributeError(name) from None

    def with_values(self, **changed: float) -> ParameterSet:
        """Return a copy with some parameters set in every context.

        Raises:
            OptionError: a parameter is unknown or its value outside its range.
        """
        values = self.values.copy()
        for name, value in changed.items():
            check(name, value)
            values[:, NAMES.index(name)] = value
        return ParameterSet(values)


def check(name: str, value: float) -> None:
    """Raise OptionError unless the parameter exists and the value lies in its physical range."""
    if name not in PARAMETERS:
        raise OptionError(f"parameters.{name} is unknown: choose from {', '.join(NAMES)}")
    known = PARAMETERS[name]
    if not known.low <= value <= known.high:
        raise OptionError(
            f"parameters.{name}={value} must lie in {known.low:g}..{known.high:g}: {known.meaning}"
        )


@lru_cache(maxsize=8)
def fitted(architecture: str) -> dict[str, float]:
    """Return the values that `benchmarks.fidelity` fitted to published measurements.

    Args:
        architecture: `ampere`, `volta` or `cpu`.
    """
    found = json.loads(FITTED.read_text()) if FITTED.exists() else {}
    values: dict[str, float] = {**found.get("all", {}), **found.get(architecture, {})}
    return values


def nominal(architecture: str) -> ParameterSet:
    """Return one set: fitted values where there are any, else the nominal ones."""
    found = fitted(architecture) | (PLAIN if architecture == "cpu" else {})
    return ParameterSet(np.array([[each.nominal for each in TABLE]])).with_values(**found)


def drawn(architecture: str, normals: FloatArray, width: float = 1.0) -> ParameterSet:
    """Return sets around the fitted one, for devices and software that differ from it.

    Shares that cannot exceed 1 are drawn through their odds, so that they stay shares without
    piling up at the bound.

    Args:
        architecture: as in `fitted`.
        normals: [C, D] standard normal numbers.
        width: factor on every spread.
    """
    centre = nominal(architecture).values[0]
    spread = np.array([each.spread for each in TABLE]) * width
    values = centre * np.exp(spread * normals)
    for position, each in enumerate(TABLE):
        if each.high == 1.0 and 0 < centre[position] < 1:
            # A share close to 1 or 0 is as uncertain as one of 0.85 or 0.15.
            inner = min(max(float(centre[position]), 0.15), 0.85)
            odds = (
                np.log(centre[position] / (1 - centre[position]))
                + spread[position] / (1 - inner) * normals[:, position]
            )
            values[:, position] = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return ParameterSet(
        np.clip(values, [each.low for each in TABLE], [each.high for each in TABLE])
    )
