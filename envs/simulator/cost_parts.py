"""Add up the parts that costs of layer groups and of transitions between them are made of."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from envs.arrays import FloatArray
from envs.simulator.gpu_kernels import floor_s
from envs.simulator.machine import Machine
from envs.simulator.parameters import ParameterSet
from envs.simulator.roofline import (
    DLA_SRAM,
    REFERENCE_DLA_GHZ,
    BatchCost,
    dla_byte_s,
)
from envs.spec import Accelerator, Kind


def added(*costs: BatchCost) -> BatchCost:
    """Return the sum of one or more costs."""
    return BatchCost(
        **{
            each.name: np.asarray(sum(getattr(cost, each.name) for cost in costs))
            for each in fields(BatchCost)
        }
    )


def no_cost(batches: FloatArray, parameters: ParameterSet) -> BatchCost:
    """Return a cost [C, Z] of nothing."""
    nothing = np.zeros((len(parameters), len(batches)))
    return BatchCost(**{each.name: nothing for each in fields(BatchCost)})


def bytes_of(accelerator: Accelerator, machine: Machine) -> int:
    """Return the bytes of a number in an engine for this accelerator."""
    if accelerator.kind is Kind.DLA:
        return machine.dla_bytes
    return (
        machine.tensor_bytes if accelerator.kind is Kind.TENSOR_CORES else accelerator.weight_bytes
    )


def linear_bytes(elements: float, batches: FloatArray, parameters: ParameterSet) -> FloatArray:
    """Return the bytes [C, Z] that reformatting from or to FP32 in a linear format moves."""
    return np.asarray(parameters.reformat_passes[:, None] * elements * batches * 4 * 2)


def gpu_pass(
    machine: Machine, moved: FloatArray, parameters: ParameterSet, kernels: int, turns: int
) -> BatchCost:
    """Return the cost of kernels on the GPU that move these bytes [C, Z]."""
    nothing = np.zeros_like(moved)
    work = moved / (machine.dram_byte_s * parameters.bandwidth_efficiency)[:, None]
    floor = nothing + floor_s(machine, parameters, kernels)[:, None]
    spent = parameters.floor_activity[:, None] * floor + parameters.busy_activity[:, None] * work
    return BatchCost(nothing, floor + work, work, nothing, moved, nothing, spent, nothing + turns)


def through_dram(
    machine: Machine, elements: float, batches: FloatArray, parameters: ParameterSet
) -> BatchCost:
    """Return the cost of a DLA core's writing or reading what it kept in its SRAM otherwise."""
    moved = no_cost(batches, parameters).dla_s
    moved = moved + min(elements * machine.dla_bytes, DLA_SRAM) * batches
    return dla_cost(machine, moved / dla_byte_s(machine, parameters)[:, None], moved, parameters)


def dla_task(machine: Machine, parameters: ParameterSet, batches: FloatArray) -> BatchCost:
    """Return the cost of one more task on a DLA core."""
    nothing = no_cost(batches, parameters).dla_s
    return dla_cost(
        machine, nothing + dla_task_s(machine, parameters)[:, None], nothing, parameters
    )


def dla_cost(
    machine: Machine, dla_s: FloatArray, moved: FloatArray, parameters: ParameterSet
) -> BatchCost:
    """Return the cost of a time on a DLA core; in linear formats it holds the GPU meanwhile."""
    held_s = (1.0 - float(machine.dla_native)) * parameters.dla_hold[:, None] * dla_s
    nothing = np.zeros_like(dla_s)
    moved = moved + nothing
    return BatchCost(nothing, held_s, held_s, dla_s, nothing, moved, nothing, nothing)


def dla_task_s(machine: Machine, parameters: ParameterSet) -> FloatArray:
    """Return the time [C] that a DLA core spends on a task beside its layers [s]."""
    return np.asarray(parameters.dla_task_us * dla_scale(machine))


def dla_scale(machine: Machine) -> float:
    """Return the seconds of a microsecond at the reference clock of the DLA."""
    return 1e-6 * REFERENCE_DLA_GHZ / machine.dla_ghz
