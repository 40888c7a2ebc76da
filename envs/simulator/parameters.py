"""The free parameters of the device model: what each means, its physical range, and how uncertain it is.

Letters: C contexts. A parameter set holds one value a context; what is drawn for training, fitted to published measurements, or
believed after some measurements is always this one vector.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.errors import OptionError

FITTED = Path(__file__).parent / "data" / "fitted.json"


@dataclass(frozen=True)
class Parameter:
    """One free parameter.

    Attributes:
        nominal: used where nothing was fitted.
        low, high: the physical range; a value outside is refused.
        spread: standard deviation of its logarithm over devices and software versions, as domain randomisation draws it.
        assumed: no public measurement constrains it, so that it is a named assumption.
    """

    name: str
    nominal: float
    low: float
    high: float
    spread: float
    meaning: str
    assumed: bool = False


_TABLE = (
    Parameter(
        "cuda_efficiency",
        0.62,
        0.05,
        1.0,
        0.15,
        "share of the FP32 peak that large convolutions reach on CUDA cores",
    ),
    Parameter(
        "fp16_efficiency",
        0.55,
        0.05,
        1.0,
        0.15,
        "share of the FP16 peak that large convolutions reach on Tensor Cores",
    ),
    Parameter(
        "int8_efficiency",
        0.55,
        0.05,
        1.0,
        0.15,
        "share of the INT8 peak that large convolutions reach on Tensor Cores",
    ),
    Parameter(
        "depthwise_efficiency",
        0.25,
        0.01,
        1.0,
        0.2,
        "share of the FP32 peak that depthwise convolutions reach, whatever the precision",
    ),
    Parameter(
        "grouped_efficiency",
        0.3,
        0.01,
        2.0,
        0.2,
        "efficiency of grouped convolutions relative to plain ones",
    ),
    Parameter(
        "matmul_efficiency",
        1.0,
        0.05,
        3.0,
        0.15,
        "efficiency of matrix products relative to convolutions",
    ),
    Parameter(
        "recurrent_efficiency",
        0.7,
        0.02,
        3.0,
        0.2,
        "efficiency of recurrent layers relative to convolutions",
    ),
    Parameter(
        "kernel_floor_us",
        6.0,
        0.1,
        100.0,
        0.2,
        "least time of a kernel at the reference GPU clock of 1.3 GHz [us]",
    ),
    Parameter(
        "host_us",
        60.0,
        0.0,
        20_000.0,
        0.3,
        "host time of a batch in which its instance keeps no accelerator busy, at a CPU clock of 2.2 GHz [us]",
    ),
    Parameter(
        "launch_us",
        0.3,
        0.0,
        200.0,
        0.3,
        "host time of each kernel that no accelerator work hides, at a CPU clock of 2.2 GHz [us]",
    ),
    Parameter(
        "copy_gb_s", 12.0, 0.5, 200.0, 0.2, "rate at which inputs and outputs are copied [GB/s]"
    ),
    Parameter(
        "bandwidth_efficiency",
        0.8,
        0.2,
        1.0,
        0.08,
        "share of the nominal DRAM bandwidth that kernels reach",
    ),
    Parameter(
        "cache_share",
        0.5,
        0.0,
        1.0,
        0.2,
        "share of the activations that fit into the L2 cache and are read from there",
    ),
    Parameter(
        "dla_efficiency",
        0.5,
        0.02,
        1.0,
        0.15,
        "share of its peak that a DLA core reaches on large convolutions",
    ),
    Parameter(
        "dla_bandwidth_gb_s", 30.0, 1.0, 200.0, 0.2, "DRAM bandwidth one DLA core can draw [GB/s]"
    ),
    Parameter(
        "dla_layer_us",
        3.0,
        0.0,
        200.0,
        0.3,
        "fixed time of each layer and sample on a DLA at its reference clock of 1.6 GHz [us]",
    ),
    Parameter(
        "dla_task_us",
        100.0,
        0.0,
        5_000.0,
        0.3,
        "fixed time of each run of layers that a DLA is handed [us]",
    ),
    Parameter(
        "reformat_passes",
        3.0,
        0.0,
        40.0,
        0.3,
        "how often the GPU passes over what enters and leaves a DLA in linear formats",
    ),
    Parameter(
        "dla_hold",
        0.2,
        0.0,
        1.0,
        0.3,
        "share of its DLA's time that an engine in linear formats keeps the GPU: kernels around the DLA, and its stream's turn",
    ),
    Parameter(
        "share_gain",
        0.6,
        0.0,
        1.0,
        0.25,
        "how much of what one instance leaves idle on the GPU another one can use",
        assumed=True,
    ),
    Parameter(
        "pipe_overlap",
        0.15,
        0.0,
        1.0,
        0.4,
        "extra GPU capacity where FP32 and Tensor Core kernels run in equal parts",
        assumed=True,
    ),
    Parameter(
        "interference",
        0.015,
        0.0,
        0.3,
        0.5,
        "extra GPU work of all for each further GPU instance (caches, scheduling)",
        assumed=True,
    ),
    Parameter(
        "launch_lock",
        0.25,
        0.0,
        1.0,
        0.4,
        "share of the host time that instances cannot overlap",
        assumed=True,
    ),
    Parameter(
        "contention_threshold",
        0.3,
        0.0,
        1.0,
        0.2,
        "share of the DRAM bandwidth in use above which accelerators slow each other",
    ),
    Parameter(
        "contention_slope",
        0.45,
        0.0,
        3.0,
        0.3,
        "slowdown per share of the bandwidth beyond the threshold",
    ),
    Parameter(
        "contention_plateau",
        0.45,
        0.0,
        1.0,
        0.2,
        "share of the bandwidth beyond the threshold after which it gets no worse",
    ),
    Parameter(
        "gpu_w", 1.73, 0.1, 10.0, 0.12, "GPU power per SM and GHz at full clock under full load [W]"
    ),
    Parameter(
        "floor_activity",
        0.3,
        0.0,
        2.0,
        0.2,
        "GPU power while a kernel's floor passes, relative to full load",
    ),
    Parameter(
        "busy_activity",
        0.5,
        0.0,
        2.0,
        0.15,
        "GPU power while kernels work, whatever they compute, relative to full load",
    ),
    Parameter(
        "cuda_activity", 0.5, 0.05, 2.0, 0.12, "what multiplying in FP32 at its peak adds to that"
    ),
    Parameter(
        "tensor_activity",
        0.8,
        0.05,
        2.0,
        0.12,
        "what multiplying on Tensor Cores at their peak adds to that",
    ),
    Parameter("dla_w", 1.9, 0.05, 20.0, 0.2, "power of a busy DLA core at 1.6 GHz [W]"),
    Parameter(
        "dram_pj_byte", 60.0, 1.0, 1_000.0, 0.15, "energy of moving a byte from or to DRAM [pJ]"
    ),
    Parameter("cpu_core_w", 1.2, 0.05, 20.0, 0.2, "power of a busy CPU core at 2.2 GHz [W]"),
    Parameter("idle_scale", 1.0, 0.2, 3.0, 0.1, "idle power relative to the board's published one"),
    Parameter(
        "tail",
        0.04,
        0.0,
        1.0,
        0.5,
        "how far the 99th percentile of a batch's time lies above its mean",
    ),
    Parameter(
        "quantum_ms",
        0.3,
        0.0,
        200.0,
        0.4,
        "what waiting for a turn adds to the tail where instances outnumber the capacity [ms]",
        assumed=True,
    ),
    Parameter(
        "threads_exponent",
        0.9,
        0.0,
        1.0,
        0.3,
        "speed of one instance on a plain computer grows with its threads to this power, if layers are large",
    ),
    Parameter(
        "cpu_fp32_gmac_s",
        60.0,
        1.0,
        5_000.0,
        0.6,
        "FP32 rate of one core of a plain computer [GMAC/s]",
    ),
    Parameter("cpu_int8_ratio", 2.5, 0.3, 16.0, 0.5, "INT8 over FP32 rate of a plain computer"),
    Parameter(
        "cpu_layer_us", 15.0, 0.0, 2_000.0, 0.5, "fixed time of a layer on a plain computer [us]"
    ),
)

#: Frameworks as values of parameters; what is not named stays as fitted to TensorRT. Eager PyTorch: assumptions, such that one FP32
#: instance of ResNet-50 on AGX Orin gives what was published at batch 64: 375 images/s (Juanx65/ArtTRT) to 415 (arXiv 2503.09546).
#: Python handles one batch at a time (the interpreter's lock), batches come from pageable memory as FP32, kernels are not fused, so that
#: mixed precision makes them less than twice as fast. A DLA engine fed with FP32 in linear formats loads the GPU by 30 % (NVIDIA
#: developer forum, topic 219770).
FRAMEWORKS: dict[str, dict[str, float]] = {
    "tensorrt": {},
    "pytorch": {
        "host_us": 3_000.0,
        "launch_us": 8.0,
        "copy_gb_s": 1.5,
        "kernel_floor_us": 20.0,
        "cuda_efficiency": 0.8,
        "fp16_efficiency": 0.2,
        "launch_lock": 0.9,
        "dla_hold": 0.3,
    },
}

PARAMETERS: dict[str, Parameter] = {each.name: each for each in _TABLE}
NAMES = tuple(PARAMETERS)


@dataclass(frozen=True)
class ParameterSet:
    """Values [C, D] of the parameters in the order of `NAMES`."""

    values: FloatArray

    def __len__(self) -> int:
        return len(self.values)

    def __getattr__(self, name: str) -> FloatArray:
        """[C] of one parameter."""
        try:
            return self.values[:, NAMES.index(name)]
        except ValueError:
            raise AttributeError(name) from None

    def take(self, rows: npt.NDArray[np.integer]) -> ParameterSet:
        return ParameterSet(self.values[rows])

    def with_values(self, **changed: float) -> ParameterSet:
        """A copy with some parameters set, everywhere; OptionError names a parameter that is unknown or outside its range."""
        values = self.values.copy()
        for name, value in changed.items():
            check(name, value)
            values[:, NAMES.index(name)] = value
        return ParameterSet(values)


def check(name: str, value: float) -> None:
    """OptionError unless there is such a parameter and the value lies in its physical range."""
    if name not in PARAMETERS:
        raise OptionError(f"parameters.{name} is unknown: choose from {', '.join(NAMES)}")
    known = PARAMETERS[name]
    if not known.low <= value <= known.high:
        raise OptionError(
            f"parameters.{name}={value} must lie in {known.low:g}..{known.high:g}: {known.meaning}"
        )


@lru_cache(maxsize=8)
def fitted(architecture: str) -> dict[str, float]:
    """What was fitted to published measurements of an architecture (`ampere`, `volta`, `cpu`), by benchmarks.fidelity."""
    found = json.loads(FITTED.read_text()) if FITTED.exists() else {}
    values: dict[str, float] = {**found.get("all", {}), **found.get(architecture, {})}
    return values


#: What differs on a plain computer, whose scheduler deals out turns of some milliseconds: read off the recordings in `envs/traces/data`.
PLAIN = {"quantum_ms": 12.0}


def nominal(architecture: str) -> ParameterSet:
    """One set: fitted where something was, else nominal."""
    found = fitted(architecture) | (PLAIN if architecture == "cpu" else {})
    return ParameterSet(np.array([[each.nominal for each in _TABLE]])).with_values(**found)


def drawn(architecture: str, normals: FloatArray, width: float = 1.0) -> ParameterSet:
    """Sets around the fitted one, from standard normal numbers [C, D]: what is not known of a device and its software.

    Shares that cannot exceed 1 are drawn through their odds, so that they stay shares without piling up at the bound.
    """
    centre = nominal(architecture).values[0]
    spread = np.array([each.spread for each in _TABLE]) * width
    values = centre * np.exp(spread * normals)
    for position, each in enumerate(_TABLE):
        if each.high == 1.0 and 0 < centre[position] < 1:
            # A share close to 1 or 0 is known as badly as one of 0.85 or 0.15 would be.
            known = min(max(float(centre[position]), 0.15), 0.85)
            odds = (
                np.log(centre[position] / (1 - centre[position]))
                + spread[position] / (1 - known) * normals[:, position]
            )
            values[:, position] = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return ParameterSet(
        np.clip(values, [each.low for each in _TABLE], [each.high for each in _TABLE])
    )
