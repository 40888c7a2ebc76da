"""The cost of layer groups on an accelerator, and of going from one accelerator to another.

The groups of a network, one after the other on one accelerator that runs all of them, cost with
their start and end what `roofline.batch_cost` says of the whole network. The cost of a transition
follows from the model's parameters; nothing of it is fitted to measurements of mappings:

- A kernel of the GPU reformats the tensors at a border between GPU and DLA, or converts them
  between FP32 and a smaller type on the GPU. It takes the floor of a kernel, and it reads and
  writes through DRAM: that is the write-back of the producer's cache and the cold start of the
  consumer. A DLA engine in linear formats takes `reformat_passes` in FP32, as at its ends.
- A DLA core keeps tensors of up to `DLA_SRAM` between its layers. It writes those that leave it
  and reads those that enter.
- A part on a DLA is a task of its own, `dla_task_us`.
- Assumption: where a cut parts a pool from its convolution, on whichever side of it a DLA works,
  the pool no longer runs in the pass of the convolution and the DLA spends the fixed time of a
  layer, `dla_layer_us`, once more. AxoNN (DAC 2022) finds that such a cut costs extra, and gives no
  number that is public.
- Assumption: on a processor one operator (`cpu_layer_us`) changes the type, copying at
  `copy_gb_s`, and the next part is a call of its own.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from envs.arrays import FloatArray
from envs.graph.layer_table import LAYER_KINDS, LayerTable
from envs.simulator.gpu_kernels import floor_s
from envs.simulator.gpu_kernels import full_power_s as full_power
from envs.simulator.gpu_kernels import kernels as gpu_kernels
from envs.simulator.machine import PLAIN_CPU_GHZ, Machine
from envs.simulator.parameters import ParameterSet
from envs.simulator.roofline import (
    CALL_S,
    DLA_SRAM,
    REFERENCE_CPU_GHZ,
    REFERENCE_DLA_GHZ,
    BatchCost,
    batch_cost,
    dla_byte_s,
)
from envs.spec import Accelerator, Kind

_POOL = LAYER_KINDS.index("pool")
_CONVOLUTIONS = tuple(LAYER_KINDS.index(each) for each in ("conv", "grouped", "depthwise"))


def added(*costs: BatchCost) -> BatchCost:
    """Return the sum of one or more costs."""
    return BatchCost(
        **{
            each.name: np.asarray(sum(getattr(cost, each.name) for cost in costs))
            for each in fields(BatchCost)
        }
    )


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
        inner_s = whole.dla_s - _task_s(machine, parameters)[:, None]
        return _on_dla(machine, inner_s, whole.dla_bytes, parameters)
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
    return added(replace(copied, host_s=host_s + launched_s), _task(machine, parameters, batches))


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
    linear = _linear(elements, batches, parameters)
    return added(copied, _pass(machine, linear, parameters, kernels, kernels))


def transition_cost(
    source: Accelerator,
    target: Accelerator,
    machine: Machine,
    before: LayerTable,
    after: LayerTable,
    batches: FloatArray,
    parameters: ParameterSet,
) -> BatchCost | None:
    """Return the cost [C, Z] of going from one accelerator to another between two groups.

    Args:
        source: where the group before the cut runs.
        target: where the group behind it runs.
        machine: the rates of the device.
        before: the layers of the group before the cut.
        after: those of the group behind it.
        batches: [Z].
        parameters: [C] sets.

    Returns:
        None where nothing goes from one to the other: between the DLA cores, and between a
        processor or an Edge TPU and anything else.
    """
    if source == target:
        return no_cost(batches, parameters)
    if source.kind is target.kind is Kind.CPU:
        return _on_processor(source, target, machine, after.inputs, batches, parameters)
    on_dla = [each.kind is Kind.DLA for each in (source, target)]
    if all(on_dla) or not all(each.on_gpu or each.kind is Kind.DLA for each in (source, target)):
        return None
    cost = leaving_cost(source, target, machine, after.inputs, batches, parameters)
    if not any(on_dla):
        return cost
    broken_s = np.zeros_like(cost.dla_s)
    if before.kind[-1] in _CONVOLUTIONS and after.kind[0] == _POOL:
        broken_s = broken_s + parameters.dla_layer_us[:, None] * _dla_scale(machine) * batches
    broken = _on_dla(machine, broken_s, 0.0 * broken_s, parameters)
    if not on_dla[1]:
        return added(cost, broken)
    entering = _through_dram(machine, after.inputs, batches, parameters)
    return added(cost, broken, entering, _task(machine, parameters, batches))


def leaving_cost(
    source: Accelerator,
    target: Accelerator,
    machine: Machine,
    elements: float,
    batches: FloatArray,
    parameters: ParameterSet,
) -> BatchCost:
    """Return the part of a transition between GPU and DLA, or on the GPU, up to the tensors.

    They lie in DRAM then, in the format of the target.

    Args:
        source: where the group before the cut runs.
        target: where the group behind it runs.
        machine: the rates of the device.
        elements: that cross the cut for one sample.
        batches: [Z].
        parameters: [C] sets.
    """
    on_dla = Kind.DLA in (source.kind, target.kind)
    moved = elements * batches * (bytes_of(source, machine) + bytes_of(target, machine))
    if on_dla and not machine.dla_native:
        moved = _linear(elements, batches, parameters)
    moved = moved + no_cost(batches, parameters).gpu_s
    cost = _pass(machine, moved, parameters, 1, turns=int(on_dla))
    if source.kind is Kind.DLA:
        cost = added(cost, _through_dram(machine, elements, batches, parameters))
    return cost


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


def _on_processor(
    source: Accelerator,
    target: Accelerator,
    machine: Machine,
    elements: float,
    batches: FloatArray,
    parameters: ParameterSet,
) -> BatchCost:
    moved = elements * batches * (source.weight_bytes + target.weight_bytes)
    slower = PLAIN_CPU_GHZ / machine.cpu_ghz
    fixed_s = parameters.cpu_layer_us[:, None] * slower * 1e-6
    work_s = fixed_s + moved / (parameters.copy_gb_s[:, None] * 1e9)
    nothing = no_cost(batches, parameters)
    return replace(
        nothing, host_s=nothing.host_s + CALL_S, gpu_s=work_s, work_s=work_s, full_power_s=work_s
    )


def _linear(elements: float, batches: FloatArray, parameters: ParameterSet) -> FloatArray:
    """Return the bytes [C, Z] that reformatting from or to FP32 in a linear format moves."""
    return np.asarray(parameters.reformat_passes[:, None] * elements * batches * 4 * 2)


def _pass(
    machine: Machine, moved: FloatArray, parameters: ParameterSet, kernels: int, turns: int
) -> BatchCost:
    """Return the cost of kernels on the GPU that move these bytes [C, Z]."""
    nothing = np.zeros_like(moved)
    work = moved / (machine.dram_byte_s * parameters.bandwidth_efficiency)[:, None]
    floor = nothing + floor_s(machine, parameters, kernels)[:, None]
    spent = parameters.floor_activity[:, None] * floor + parameters.busy_activity[:, None] * work
    return BatchCost(nothing, floor + work, work, nothing, moved, nothing, spent, nothing + turns)


def _through_dram(
    machine: Machine, elements: float, batches: FloatArray, parameters: ParameterSet
) -> BatchCost:
    """Return the cost of a DLA core's writing or reading what it kept in its SRAM otherwise."""
    moved = no_cost(batches, parameters).dla_s
    moved = moved + min(elements * machine.dla_bytes, DLA_SRAM) * batches
    return _on_dla(machine, moved / dla_byte_s(machine, parameters)[:, None], moved, parameters)


def _task(machine: Machine, parameters: ParameterSet, batches: FloatArray) -> BatchCost:
    nothing = no_cost(batches, parameters).dla_s
    return _on_dla(machine, nothing + _task_s(machine, parameters)[:, None], nothing, parameters)


def _on_dla(
    machine: Machine, dla_s: FloatArray, moved: FloatArray, parameters: ParameterSet
) -> BatchCost:
    """Return the cost of a time on a DLA core; in linear formats it holds the GPU meanwhile."""
    held_s = (1.0 - float(machine.dla_native)) * parameters.dla_hold[:, None] * dla_s
    nothing = np.zeros_like(dla_s)
    moved = moved + nothing
    return BatchCost(nothing, held_s, held_s, dla_s, nothing, moved, nothing, nothing)


def _task_s(machine: Machine, parameters: ParameterSet) -> FloatArray:
    return np.asarray(parameters.dla_task_us * _dla_scale(machine))


def _dla_scale(machine: Machine) -> float:
    """Return the seconds of a microsecond at the reference clock of the DLA."""
    return 1e-6 * REFERENCE_DLA_GHZ / machine.dla_ghz


def _host_scale(machine: Machine) -> float:
    """Return the seconds of a microsecond at the reference clock of the processor."""
    return 1e-6 * REFERENCE_CPU_GHZ / machine.cpu_ghz
