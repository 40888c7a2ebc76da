"""Contexts of the model as tables: what one batch costs, for each tenant, position and batch size.

Letters: C contexts, T tenants, P = 4 positions, N batch sizes, F features.

Every device is laid out in the same four positions: two that share the GPU (or the cores of a plain computer), FP32 first, and two DLA
cores. What a device lacks stays empty, so that boards of all kinds stand side by side in one batch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.graph.layers import LayerTable
from envs.simulator.machine import Machine
from envs.simulator.parameters import ParameterSet
from envs.simulator.roofline import REFERENCE_CPU_GHZ, REFERENCE_DLA_GHZ, service

POSITIONS = {"cuda": 0, "tensor": 1, "dla0": 2, "dla1": 3, "cpu_fp32": 0, "cpu_int8": 1}

#: Per batch: times of host, GPU and DLA; the GPU time that nobody else can use; bytes of GPU and DLA; energy on the rails of GPU and of CPU and DLA.
FEATURES = ("host_s", "gpu_s", "exclusive_s", "dla_s", "gpu_bytes", "dla_bytes", "gpu_j", "cv_j")


#: How long the oldest request waits for a batch to fill: `ServingOptions.max_wait_ms` of the live runtimes.
MAX_WAIT_S = 5e-3

#: Fields of `Contexts` that are one number a context.
SCALARS = (
    *(
        "capacity",
        "threads",
        "dram_byte_s",
        "idle_gpu_w",
        "idle_cv_w",
        "idle_sys_w",
        "max_power_w",
        "pipe_overlap",
        "interference",
        "launch_lock",
    ),
    *(
        "contention_threshold",
        "contention_slope",
        "contention_plateau",
        "byte_j",
        "tail",
        "quantum_s",
        "threads_exponent",
    ),
    *("clock", "other_gpu", "other_byte_s"),
)


@dataclass(frozen=True)
class Contexts:
    """C contexts of T tenants.

    Attributes:
        batches: [N], ascending. table: [F, C, T, P, N] in the order of `FEATURES`; NaN where a device has no such accelerator.
        capacity: [C], 1 for a GPU, the cores of a plain computer. threads: [C], cores that instances share out as threads, else 0.
        dram_byte_s, idle_gpu_w, idle_cv_w, idle_sys_w, max_power_w: [C].
        clock: [C], of GPU and DLA relative to the power mode's, below 1 when hot. other_gpu, other_byte_s: [C], what a co-runner takes.
        rate_ips: [C, T], arrivals, infinite for a closed loop. max_wait_s: [C], how long the oldest request waits for a batch to fill.
        Others: [C] each, the parameters of sharing, contention, latency and power.
    """

    batches: FloatArray
    table: FloatArray
    capacity: FloatArray
    threads: FloatArray
    dram_byte_s: FloatArray
    idle_gpu_w: FloatArray
    idle_cv_w: FloatArray
    idle_sys_w: FloatArray
    max_power_w: FloatArray
    pipe_overlap: FloatArray
    interference: FloatArray
    launch_lock: FloatArray
    contention_threshold: FloatArray
    contention_slope: FloatArray
    contention_plateau: FloatArray
    byte_j: FloatArray
    tail: FloatArray
    quantum_s: FloatArray
    threads_exponent: FloatArray
    clock: FloatArray
    other_gpu: FloatArray
    other_byte_s: FloatArray
    rate_ips: FloatArray
    max_wait_s: FloatArray

    @cached_property
    def columns(self) -> npt.NDArray[np.float32]:
        """The table in single precision, flat [F, C x T x P x (N + 1)], with a last batch size that costs nothing: that of unused slots."""
        padded = np.concatenate([self.table, np.zeros((*self.table.shape[:-1], 1))], axis=-1)
        return np.ascontiguousarray(padded.reshape(len(FEATURES), -1).astype(np.float32))

    @cached_property
    def scalars(self) -> npt.NDArray[np.float32]:
        """[len(SCALARS), C], in single precision."""
        return np.stack([getattr(self, name) for name in SCALARS]).astype(np.float32)

    def __len__(self) -> int:
        return len(self.capacity)

    @property
    def tenants(self) -> int:
        return int(self.table.shape[2])

    def take(self, rows: npt.NDArray[np.integer]) -> Contexts:
        """Some of them, with repetitions if asked."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        picked = {
            name: value if name == "batches" else value[:, rows] if name == "table" else value[rows]
            for name, value in values.items()
        }
        return Contexts(**picked)

    @classmethod
    def stack(cls, parts: list[Contexts]) -> Contexts:
        """Side by side; all with the same batches and number of tenants."""
        joined = {}
        for each in fields(cls):
            values = [getattr(part, each.name) for part in parts]
            joined[each.name] = (
                values[0]
                if each.name == "batches"
                else np.concatenate(values, axis=1 if each.name == "table" else 0)
            )
        return cls(**joined)


def contexts_of(
    machine: Machine,
    accelerators: tuple[str, ...],
    networks: list[LayerTable],
    batches: tuple[int, ...],
    parameters: ParameterSet,
    rates_ips: tuple[float, ...] | None = None,
    max_wait_s: float = MAX_WAIT_S,
) -> Contexts:
    """One context for each parameter set [C], all of the same machine and networks [T].

    Args:
        rates_ips: [T] arrivals, infinite for a closed loop; all closed where not given.
    """
    count = len(parameters)
    sizes = np.array(batches, dtype=np.float64)
    table = np.full((len(FEATURES), count, len(networks), 4, len(sizes)), np.nan)
    byte_j = parameters.dram_pj_byte * 1e-12
    core_w = parameters.cpu_core_w * (machine.cpu_ghz / REFERENCE_CPU_GHZ) ** 2
    dla_w = parameters.dla_w * (machine.dla_ghz / REFERENCE_DLA_GHZ) ** 1.5
    gpu_w = parameters.gpu_w * machine.gpu_power_scale
    for tenant, layers in enumerate(networks):
        for name in accelerators:
            cost = service(name, machine, layers, sizes, parameters)
            exclusive = cost.gpu_s - parameters.share_gain[:, None] * (cost.gpu_s - cost.work_s)
            gpu_j = cost.effort_s * gpu_w[:, None]
            cv_j = cost.dla_s * dla_w[:, None] + cost.host_s * core_w[:, None]
            columns = (
                cost.host_s,
                cost.gpu_s,
                exclusive,
                cost.dla_s,
                cost.gpu_bytes,
                cost.dla_bytes,
                gpu_j,
                cv_j,
            )
            for feature, column in enumerate(columns):
                table[feature, :, tenant, POSITIONS[name]] = column
    plain = machine.architecture == "cpu"
    idle = [watts * parameters.idle_scale for watts in machine.idle_w]

    def every(value: float) -> FloatArray:
        return np.full(count, float(value))

    return Contexts(
        batches=sizes,
        table=table,
        capacity=every(machine.cpu_cores if plain else 1.0),
        threads=every(machine.cpu_cores if plain else 0.0),
        dram_byte_s=machine.dram_byte_s * parameters.bandwidth_efficiency,
        idle_gpu_w=idle[0],
        idle_cv_w=idle[1],
        idle_sys_w=idle[2],
        max_power_w=every(machine.max_power_w),
        pipe_overlap=every(0.0) if plain else parameters.pipe_overlap,
        interference=parameters.interference,
        launch_lock=every(0.0) if plain else parameters.launch_lock,
        contention_threshold=parameters.contention_threshold,
        contention_slope=parameters.contention_slope,
        contention_plateau=parameters.contention_plateau,
        byte_j=byte_j,
        tail=parameters.tail,
        quantum_s=parameters.quantum_ms * 1e-3,
        threads_exponent=parameters.threads_exponent,
        clock=every(1.0),
        other_gpu=every(0.0),
        other_byte_s=every(0.0),
        rate_ips=np.tile(
            np.full(len(networks), np.inf)
            if rates_ips is None
            else np.array(rates_ips, dtype=float),
            (count, 1),
        ),
        max_wait_s=every(max_wait_s),
    )
