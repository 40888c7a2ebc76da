"""The cost of going from one accelerator to another between two layer groups.

It follows from the model's parameters; nothing of it is fitted to measurements of mappings:

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

from dataclasses import replace

import numpy as np

from envs.arrays import FloatArray
from envs.graph.layer_table import LAYER_KINDS, LayerTable
from envs.simulator.cost_parts import (
    added,
    bytes_of,
    dla_cost,
    dla_scale,
    dla_task,
    gpu_pass,
    linear_bytes,
    no_cost,
    through_dram,
)
from envs.simulator.machine import PLAIN_CPU_GHZ, Machine
from envs.simulator.parameters import ParameterSet
from envs.simulator.roofline import CALL_S, BatchCost
from envs.spec import Accelerator, Kind

_POOL = LAYER_KINDS.index("pool")
_CONVOLUTIONS = tuple(LAYER_KINDS.index(each) for each in ("conv", "grouped", "depthwise"))


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
        broken_s = broken_s + parameters.dla_layer_us[:, None] * dla_scale(machine) * batches
    broken = dla_cost(machine, broken_s, 0.0 * broken_s, parameters)
    if not on_dla[1]:
        return added(cost, broken)
    entering = through_dram(machine, after.inputs, batches, parameters)
    return added(cost, broken, entering, dla_task(machine, parameters, batches))


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
        moved = linear_bytes(elements, batches, parameters)
    moved = moved + no_cost(batches, parameters).gpu_s
    cost = gpu_pass(machine, moved, parameters, 1, turns=int(on_dla))
    if source.kind is Kind.DLA:
        cost = added(cost, through_dram(machine, elements, batches, parameters))
    return cost


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
