"""The energy of a batch that runs alone, by power rail and of the whole module."""

from __future__ import annotations

import numpy as np

from envs.arrays import FloatArray
from envs.simulator.machine import Machine
from envs.simulator.parameters import ParameterSet
from envs.simulator.roofline import (
    REFERENCE_CPU_GHZ,
    REFERENCE_DLA_GHZ,
    REFERENCE_DRAM_BYTE_S,
    BatchCost,
)


def rail_joules(
    cost: BatchCost, machine: Machine, parameters: ParameterSet
) -> tuple[FloatArray, FloatArray]:
    """Return the energy above idle on the rails of the GPU, and of CPU and DLA [J], [C, Z] each.

    A thread of the host works for `host_s` and, on a board, for a share of the time in which it
    waits.
    """
    dla_scale = (machine.dla_ghz / REFERENCE_DLA_GHZ) ** 1.5
    dla_w, fabric_w = parameters.dla_w * dla_scale, parameters.dla_fabric_w * dla_scale
    gpu_w = parameters.gpu_w * machine.gpu_power_scale
    waiting_s = parameters.poll_share[:, None] * (cost.gpu_s + cost.dla_s)
    busy_s = cost.host_s + waiting_s * (not machine.plain)
    return (
        cost.full_power_s * gpu_w[:, None] + cost.dla_s * fabric_w[:, None],
        cost.dla_s * dla_w[:, None] + busy_s * core_watts(machine, parameters)[:, None],
    )


def module_joules(cost: BatchCost, machine: Machine, parameters: ParameterSet) -> FloatArray:
    """Return the energy [J] of a board's module while a batch runs there alone, [C, Z].

    It is the power of all rails, at rest and above, over the time of the batch: the batch's share
    of a closed loop of one instance. A module's power limit is left out.
    """
    time_s = cost.host_s + cost.gpu_s + cost.dla_s
    rest_w = sum(machine.idle_w) * parameters.idle_scale + sum(busy_watts(machine, parameters))
    moved = (cost.gpu_bytes + cost.dla_bytes) * parameters.dram_pj_byte[:, None] * 1e-12
    return np.asarray(
        sum(rail_joules(cost, machine, parameters)) + moved + time_s * rest_w[:, None]
    )


def core_watts(machine: Machine, parameters: ParameterSet) -> FloatArray:
    """Return the power of a processor's core that works [W], [C]."""
    return np.asarray(parameters.cpu_core_w * (machine.cpu_ghz / REFERENCE_CPU_GHZ) ** 2)


def busy_watts(machine: Machine, parameters: ParameterSet) -> tuple[FloatArray, FloatArray]:
    """Return the steps of power [W] once anything runs, on the GPU's rail and the 5 V rail, [C].

    They come from the memory and its fabric and follow the memory's width and clock.
    """
    memory = 0.0 if machine.plain else machine.dram_byte_s / REFERENCE_DRAM_BYTE_S
    return parameters.busy_soc_w * memory, parameters.busy_sys_w * memory
