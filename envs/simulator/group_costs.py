"""The cost of layer groups on an accelerator, between a start and an end.

The groups of a network, one after the other on one accelerator that runs all of them, cost with
their start and end what `roofline.batch_cost` says of the whole network.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.arrays import FloatArray
from envs.graph.layer_table import LayerTable
from envs.simulator.cost_parts import (
    added,
    bytes_of,
    dla_cost,
    dla_task,
    dla_task_s,
    gpu_pass,
    linear_bytes,
    no_cost,
)
from envs.simulator.gpu_kernels import full_power_s as full_power
from envs.simulator.gpu_kernels import kernels as gpu_kernels
from envs.simulator.machine import Machine
from envs.simulator.parameters import ParameterSet
from envs.simulator.roofline import (
    CALL_S,
    REFERENCE_CPU_GHZ,
    BatchCost,
    batch_cost,
)
from envs.spec import Accelerator, Kind


def group_cost(
    accelerator: Accelerator,
    machine: Machine,
    layers: LayerTable,
    batches: FloatArray,
    parameters: ParameterSet,
) -> BatchCost | None:
    """Return the cost [C, Z] of a group's layers without a start and an end.

    Args:
        accelerator: of `machine`.
        machine: the rates of the device.
        layers: of the group.
        batches: [Z].
        parameters: [C] sets.

    Returns:
        None where a DLA does not run all of the layers.
    """
    if accelerator.kind is Kind.CPU:
        whole = batch_cost(accelerator, machine, layers, batches, parameters)
        return replace(whole, host_s=np.zeros_like(whole.host_s))
    if accelerator.kind is Kind.DLA:
        if not layers.dla.all():
            return None
        whole = batch_cost(accelerator, machine, layers, batches, parameters)
        inner_s = whole.dla_s - dla_task_s(machine, parameters)[:, None]
        return dla_cost(machine, inner_s, whole.dla_bytes, parameters)
    width = bytes_of(accelerator, machine)
    floor, work, moved = gpu_kernels(machine, layers, batches, parameters, width)
    launching = len(layers) * parameters.launch_us[:, None] * _host_scale(machine)
    nothing = np.zeros_like(work)
    return BatchCost(
        host_s=np.maximum(launching - floor - work, 0.0),
        gpu_s=floor + work,
        work_s=work,
        dla_s=nothing,
        gpu_bytes=moved,
        dla_bytes=nothing,
        full_power_s=full_power(machine, layers.macs, batches, parameters, width, floor, work),
        turns=nothing,
    )


def start_cost(
    accelerator: Accelerator,
    machine: Machine,
    elements: float,
    batches: FloatArray,
    parameters: ParameterSet,
) -> BatchCost:
    """Return the cost [C, Z] of a batch's beginning on an accelerator.

    Args:
        accelerator: of `machine`.
        machine: the rates of the device.
        elements: of the network's inputs for one sample.
        batches: [Z].
        parameters: [C] sets.
    """
    copied = copy_cost(accelerator, machine, elements, batches, parameters)
    if accelerator.kind is Kind.CPU:
        return replace(copied, host_s=copied.host_s + CALL_S)
    host_s = copied.host_s + parameters.host_us[:, None] * _host_scale(machine)
    if accelerator.kind is not Kind.DLA:
        return replace(copied, host_s=host_s)
    launched_s = np.maximum(
        parameters.launch_us[:, None] * _host_scale(machine) - copied.gpu_s, 0.0
    )
    return added(
        replace(copied, host_s=host_s + launched_s), dla_task(machine, parameters, batches)
    )


def copy_cost(
    accelerator: Accelerator,
    machine: Machine,
    elements: float,
    batches: FloatArray,
    parameters: ParameterSet,
    kernels: int = 1,
) -> BatchCost:
    """Return the cost [C, Z] of copying a network's outputs, or inputs, where it ends or begins.

    The other arguments are those of `start_cost`. A DLA in linear formats has them reformatted, in
    that many `kernels`.
    """
    nothing = no_cost(batches, parameters)
    if accelerator.kind is Kind.CPU:
        return nothing
    moved = elements * bytes_of(accelerator, machine) * batches
    copied = replace(nothing, host_s=moved / (parameters.copy_gb_s[:, None] * 1e9))
    if accelerator.kind is not Kind.DLA or machine.dla_native:
        return copied
    linear = linear_bytes(elements, batches, parameters)
    return added(copied, gpu_pass(machine, linear, parameters, kernels, kernels))


def _host_scale(machine: Machine) -> float:
    """Return the seconds of a microsecond at the reference clock of the processor."""
    return 1e-6 * REFERENCE_CPU_GHZ / machine.cpu_ghz
