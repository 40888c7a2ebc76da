"""Contexts of the model as tables: the cost of one batch by tenant, position and batch size.

`positions` says which position an accelerator has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from types import MappingProxyType

import numpy as np

from envs.arrays import BoolArray, FloatArray, IntArray, Single
from envs.graph.layer_table import LayerTable
from envs.simulator.beside_costs import swap_s
from envs.simulator.cost_table import COSTS as COSTS
from envs.simulator.cost_table import cost_table
from envs.simulator.machine import Machine
from envs.simulator.mapping_costs import Divided
from envs.simulator.parameters import ParameterSet
from envs.simulator.positions import DLA as DLA
from envs.simulator.positions import GPU as GPU
from envs.simulator.positions import POSITIONS as POSITIONS
from envs.simulator.positions import Layout, behind_the_first
from envs.simulator.positions import is_modelled as is_modelled
from envs.simulator.positions import position_of as position_of
from envs.simulator.rail_energy import busy_watts
from envs.simulator.roofline import REFERENCE_CPU_GHZ
from envs.spec import Accelerator

#: The longest that a request waits for its batch to fill, as `max_wait_ms` of the live runtimes.
MAX_WAIT_S = 5e-3


@dataclass(frozen=True)
class Contexts:
    """C contexts of T tenants; see `Contexts.scalars` for the fields without a description.

    Attributes:
        batches: [Z] batch sizes, ascending.
        table: [F, C, T, X, Z] in the order of `COSTS`; NaN where a device lacks the accelerator.
        capacity: [C], 1 for a GPU, the number of cores of a plain computer.
        threads: [C] cores that instances share out among themselves as threads; 0 on a board.
        dram_byte_s, idle_gpu_w, idle_cv_w, idle_sys_w, max_power_w: [C].
        clock: [C], of GPU and DLA relative to the power mode's; below 1 when hot.
        other_gpu: [C], the share of the GPU that a process outside the workload takes.
        other_byte_s: [C], the DRAM traffic of such a process.
        rate_ips: [C, T] arrival rates, infinite for a closed loop.
        max_wait_s: [C], the longest that a request waits for its batch to fill.
        best_effort: [C, T], True for tenants that give way to the others.
        segment_s: [C], host time of each segment but the first of a network that runs in several.
        cores, poll_share: [C], the cores of a board, for which its instances and the host's threads
            compete, and the parameter; only where the cores or Edge TPUs serve.
        swap_s: [C, T], the time after which an Edge TPU that had another network has this one.
        mapped_core: [C, Y] the DLA core of each position behind the first four, see `Layout`; -1
            for none.
        part_share: [C, T, mappings, P, Z] the shares of a mapping's GPU time at the P positions on
            the GPU (or the cores): the first two, and those of second engines. NaN where a tenant
            does not run it.
        pipe_overlap, interference, launch_lock, slice_s, switch_s, contention_threshold,
            contention_slope, contention_plateau, byte_j, busy_soc_w, busy_sys_w, tail, quantum_s,
            threads_exponent: [C], the parameters of the same names (`byte_j` from
            `dram_pj_byte`, `slice_s`, `switch_s` and `quantum_s` from milliseconds).
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
    slice_s: FloatArray
    switch_s: FloatArray
    contention_threshold: FloatArray
    contention_slope: FloatArray
    contention_plateau: FloatArray
    byte_j: FloatArray
    busy_soc_w: FloatArray
    busy_sys_w: FloatArray
    tail: FloatArray
    quantum_s: FloatArray
    threads_exponent: FloatArray
    clock: FloatArray
    other_gpu: FloatArray
    other_byte_s: FloatArray
    rate_ips: FloatArray
    max_wait_s: FloatArray
    best_effort: BoolArray
    segment_s: FloatArray
    cores: FloatArray
    poll_share: FloatArray
    swap_s: FloatArray
    mapped_core: IntArray
    part_share: FloatArray

    @cached_property
    def columns(self) -> Single:
        """Return the table flat, [F, C x T x X x (Z + 1)].

        The last batch size costs nothing: it is that of unused positions.
        """
        padded = np.concatenate([self.table, np.zeros((*self.table.shape[:-1], 1))], axis=-1)
        return np.ascontiguousarray(padded.reshape(len(COSTS), -1).astype(np.float32))

    @cached_property
    def scalars(self) -> dict[str, Single]:
        """Return every field that is one number a context, [C] each, in single precision."""
        names = [each.name for each in fields(self)]
        for name in (
            *("batches", "table", "rate_ips", "max_wait_s", "best_effort"),
            *("cores", "poll_share", "swap_s", "mapped_core", "part_share"),
        ):
            names.remove(name)
        return {name: getattr(self, name).astype(np.float32) for name in names}

    def __len__(self) -> int:
        return len(self.capacity)

    @property
    def tenants(self) -> int:
        """Return T."""
        return int(self.table.shape[2])

    @property
    def positions(self) -> int:
        """Return X."""
        return int(self.table.shape[3])

    @property
    def layout(self) -> Layout:
        """Return which positions are which."""
        return Layout(int(self.mapped_core.shape[1]))

    def take(self, rows: IntArray) -> Contexts:
        """Return the contexts of these rows, which may repeat."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        picked = {
            name: value if name == "batches" else value[:, rows] if name == "table" else value[rows]
            for name, value in values.items()
        }
        return Contexts(**picked)

    @classmethod
    def stack(cls, parts: Sequence[Contexts]) -> Contexts:
        """Join contexts that have the same batches and the same number of tenants."""
        joined = {
            each.name: np.concatenate(
                [getattr(part, each.name) for part in parts], axis=int(each.name == "table")
            )
            for each in fields(cls)
            if each.name != "batches"
        }
        return cls(batches=parts[0].batches, **joined)


def contexts_of(
    machine: Machine,
    accelerators: Sequence[Accelerator],
    networks: Sequence[LayerTable],
    batches: Sequence[int],
    parameters: ParameterSet,
    rates_ips: Sequence[float] | None = None,
    best_effort: Sequence[bool] | None = None,
    divided: Mapping[tuple[int, int], Divided] = MappingProxyType({}),
) -> Contexts:
    """Return a context for each parameter set [C], all of the same machine and networks.

    Args:
        machine: the rates of the device.
        accelerators: [A], where instances may run.
        networks: [T], the layers of each tenant's network.
        batches: [Z], ascending.
        parameters: [C] sets.
        rates_ips: [T] arrival rates, infinite for a closed loop; all closed where not given.
        best_effort: [T], True for tenants that give way to the others; none where not given.
        divided: the networks that mappings divide, by (tenant, accelerator); a tenant does not run
            by a mapping for which it has none.
    """
    count, sizes = len(parameters), np.array(batches, dtype=np.float64)
    plain = machine.plain

    def every(value: float) -> FloatArray:
        return np.full(count, float(value))

    rates = np.full(len(networks), np.inf) if rates_ips is None else np.array(rates_ips, float)
    busy_soc_w, busy_sys_w = busy_watts(machine, parameters)
    idle_w = [watts * parameters.idle_scale for watts in machine.idle_w]
    table, part_share = cost_table(machine, accelerators, networks, sizes, parameters, divided)
    cores = [each.dla_core for each in behind_the_first(accelerators, machine)]
    mapped_core = np.array([-1 if core is None else core for core in cores], dtype=np.int64)
    return Contexts(
        batches=sizes,
        table=table,
        capacity=every(machine.cpu_cores if plain else 1.0),
        threads=every(machine.cpu_cores if plain else 0.0),
        dram_byte_s=machine.dram_byte_s * parameters.bandwidth_efficiency,
        idle_gpu_w=idle_w[0],
        idle_cv_w=idle_w[1],
        idle_sys_w=idle_w[2],
        max_power_w=every(machine.max_power_w),
        pipe_overlap=every(0.0) if plain else parameters.pipe_overlap,
        interference=parameters.interference,
        launch_lock=every(0.0) if plain else parameters.launch_lock,
        slice_s=parameters.slice_ms * 1e-3,
        switch_s=parameters.switch_ms * 1e-3,
        contention_threshold=parameters.contention_threshold,
        contention_slope=parameters.contention_slope,
        contention_plateau=parameters.contention_plateau,
        byte_j=parameters.dram_pj_byte * 1e-12,
        busy_soc_w=busy_soc_w,
        busy_sys_w=busy_sys_w,
        tail=parameters.tail,
        quantum_s=parameters.quantum_ms * 1e-3,
        threads_exponent=parameters.threads_exponent,
        clock=every(1.0),
        other_gpu=every(0.0),
        other_byte_s=every(0.0),
        rate_ips=np.tile(rates, (count, 1)),
        max_wait_s=every(MAX_WAIT_S),
        best_effort=np.tile(best_effort or [False] * len(networks), (count, 1)),
        segment_s=parameters.host_us * 1e-6 * REFERENCE_CPU_GHZ / machine.cpu_ghz,
        cores=every(machine.cpu_cores),
        poll_share=parameters.poll_share,
        swap_s=np.tile([swap_s(layers.name) for layers in networks], (count, 1)),
        mapped_core=np.tile(mapped_core, (count, 1)),
        part_share=part_share,
    )
