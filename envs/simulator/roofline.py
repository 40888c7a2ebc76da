"""The cost of one batch of one network on each accelerator when it runs alone: a roofline.

A kernel takes a fixed floor plus the longer of computing and moving its data (Williams et al.
2009, "Roofline"). Published latencies of ResNet-50 on AGX Orin are such a line in the batch size:
0.41 ms + 0.22 ms a sample at batch 1, 8 and 256 (MLPerf Inference v3.0). A DLA core takes one
sample of a batch after the other: YOLOv5s takes 3.8 to 3.9 ms a sample at all batches
(NVIDIA-AI-IOT/cuDLA-samples).
"""

from dataclasses import dataclass

import numpy as np

from envs.arrays import FloatArray
from envs.graph.layer_table import LayerTable
from envs.simulator.gpu_kernels import DEPTHWISE, GROUPED, LRN, floor_s, full_power_s, kernels
from envs.simulator.machine import PLAIN_CPU_GHZ, Machine
from envs.simulator.parameters import ParameterSet
from envs.spec import Accelerator, Kind

#: The clocks at which the parameters give the times of processor and DLA.
REFERENCE_CPU_GHZ, REFERENCE_DLA_GHZ = 2.2, 1.6

#: DRAM bandwidth at which a DLA core draws `dla_bandwidth_gb_s`; it draws less from slower memory.
REFERENCE_DRAM_BYTE_S = 204.8e9

#: Length of a dot product and number of output channels at which a convolution reaches half of its
#: efficiency on a DLA, by bytes of a number: half as many lanes multiply in FP16.
DLA_HALF_REDUCTION, DLA_HALF_CHANNELS = {1: 64.0, 2: 32.0}, {1: 16.0, 2: 8.0}

#: Input channels that a DLA multiplies at once; a grouped convolution uses those of one group.
DLA_LANES = 32.0

#: What a local response normalisation and sample takes on a DLA beside its layer, at the reference
#: clock [us]. The two of AlexNet take 0.20 and 0.22 ms on AGX Xavier at 1.4 GHz (groups of one
#: layer of ismetdagli/HaX-CoNN), 0.055 ms of which is a transition and 0.02 ms a layer. They differ
#: by half in size and hardly in time.
DLA_LRN_US = 130.0 * 1.4 / REFERENCE_DLA_GHZ

#: SRAM of a DLA core, in which the activations of a small layer stay [bytes].
DLA_SRAM = 2**20


#: Time of the host around a batch on the cores of a processor [s].
CALL_S = 20e-6


@dataclass(frozen=True)
class BatchCost:
    """One batch alone on one accelerator, [C, Z] each.

    Attributes:
        host_s: time in which the instance keeps no accelerator busy.
        gpu_s: time of the GPU, or of the cores of a plain computer.
        work_s: the part of gpu_s in which the GPU is full; the rest is the floor of its kernels,
            which leaves it mostly idle.
        dla_s: time of the DLA core.
        gpu_bytes, dla_bytes: bytes that GPU and DLA move from and to DRAM.
        full_power_s: seconds at the GPU's full power that take the same energy.
        turns: how often the engine, one for a DLA, takes a turn on the GPU.
    """

    host_s: FloatArray
    gpu_s: FloatArray
    work_s: FloatArray
    dla_s: FloatArray
    gpu_bytes: FloatArray
    dla_bytes: FloatArray
    full_power_s: FloatArray
    turns: FloatArray


def batch_cost(
    accelerator: Accelerator,
    machine: Machine,
    layers: LayerTable,
    batches: FloatArray,
    parameters: ParameterSet,
) -> BatchCost:
    """Return the costs of `layers` on an accelerator of `machine` for batches [Z]."""
    if accelerator.kind is Kind.CPU:
        return _on_cores(accelerator, machine, layers, batches, parameters)
    if accelerator.kind is Kind.DLA:
        return _on_dla(machine, layers, batches, parameters)
    width = 4 if accelerator.kind is Kind.CUDA_CORES else machine.tensor_bytes
    floor, work, moved = kernels(machine, layers, batches, parameters, width)
    full_power = full_power_s(machine, layers.macs, batches, parameters, width, floor, work)
    nothing = np.zeros_like(work)
    busy = floor + work
    host = _host(machine, layers, batches, parameters, float(len(layers.macs)), width, busy)
    return BatchCost(host, busy, work, nothing, moved, nothing, full_power, nothing)


def _host(
    machine: Machine,
    layers: LayerTable,
    batches: FloatArray,
    parameters: ParameterSet,
    launches: float,
    width: int,
    busy_s: FloatArray,
) -> FloatArray:
    """Return the time of launching, synchronising and copying in which the GPU waits, [C, Z].

    Launches run ahead of the GPU: while it is busy for `busy_s` [C, Z] they cost nothing.
    """
    slower = 1e-6 * REFERENCE_CPU_GHZ / machine.cpu_ghz
    launching = (parameters.launch_us * launches * slower)[:, None]
    copied = (layers.inputs + layers.outputs) * width * batches
    exposed = np.maximum(launching - busy_s, 0.0) + (parameters.host_us * slower)[:, None]
    return np.asarray(exposed + copied / (parameters.copy_gb_s[:, None] * 1e9))


def _on_dla(
    machine: Machine, layers: LayerTable, batches: FloatArray, parameters: ParameterSet
) -> BatchCost:
    """Return the costs on a DLA core, which leaves some layers to the GPU.

    Those run in FP16, and data is reformatted at every border between GPU and DLA.
    """
    taken, segments = layers.dla, 1 + layers.dla_segments
    native = 1.0 if machine.dla_native else 0.0
    dla_s, dla_bytes = _dla_core(machine, layers, batches, parameters)
    floor, work, gpu_bytes = kernels(machine, layers, batches, parameters, 2, ~taken)
    crossed = layers.dla[1:] != layers.dla[:-1]
    border = layers.inputs + layers.outputs + float(layers.writes[:-1][crossed].sum())
    reformat = (parameters.reformat_passes * (1.0 - native))[:, None] * border * batches * 4 * 2
    turns = 0.0 if machine.dla_native and not layers.dla_segments else 2.0 * segments
    floor = floor + floor_s(machine, parameters, turns)[:, None]
    bandwidth = machine.dram_byte_s * parameters.bandwidth_efficiency
    busy = work + reformat / bandwidth[:, None]
    work = busy + (1.0 - native) * parameters.dla_hold[:, None] * dla_s
    launches = float((~taken).sum()) + segments
    return BatchCost(
        host_s=_host(
            machine, layers, batches, parameters, launches, machine.dla_bytes, floor + work
        ),
        gpu_s=floor + work,
        work_s=work,
        dla_s=dla_s,
        gpu_bytes=gpu_bytes + reformat,
        dla_bytes=dla_bytes + np.zeros_like(work),
        full_power_s=full_power_s(
            machine, layers.macs[~taken], batches, parameters, 2, floor, busy
        ),
        turns=turns + np.zeros_like(work),
    )


def _dla_core(
    machine: Machine, layers: LayerTable, batches: FloatArray, parameters: ParameterSet
) -> tuple[FloatArray, FloatArray]:
    """Return time [C, Z] and bytes [Z] of a DLA core for the layers that it takes."""
    taken, width = layers.dla, machine.dla_bytes
    macs, reduction, channels = layers.macs[taken], layers.reduction[taken], layers.channels[taken]
    shape = reduction / (reduction + DLA_HALF_REDUCTION[width])
    shape = shape * channels / (channels + DLA_HALF_CHANNELS[width])
    split = (layers.kind[taken] == DEPTHWISE) | (layers.kind[taken] == GROUPED)
    shape = shape * np.where(split, np.minimum(1.0, reduction / 9 / DLA_LANES), 1.0)
    rate = machine.dla_mac_s * shape * parameters.dla_efficiency[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        computing = np.where(macs > 0, macs / rate, 0.0)[:, :, None] * batches
    spilled = np.maximum(0.0, (layers.reads + layers.writes)[taken] * width - DLA_SRAM)
    # One sample runs after the other, so that weights are read again for each.
    moved = (layers.weights[taken] * width + spilled)[:, None] * batches
    bandwidth = dla_byte_s(machine, parameters)
    tasks_us = (1 + layers.dla_segments) * parameters.dla_task_us[:, None]
    tasks_us = tasks_us + taken.sum() * parameters.dla_layer_us[:, None] * batches
    tasks_us = tasks_us + (layers.kind[taken] == LRN).sum() * DLA_LRN_US * batches
    work = np.maximum(computing, moved / bandwidth[:, None, None]).sum(axis=1)
    return work + tasks_us * 1e-6 * (REFERENCE_DLA_GHZ / machine.dla_ghz), moved.sum(axis=0)


def dla_byte_s(machine: Machine, parameters: ParameterSet) -> FloatArray:
    """Return the bytes per second [C] that a DLA core moves from and to DRAM."""
    drawn = parameters.dla_bandwidth_gb_s * 1e9 * (machine.dram_byte_s / REFERENCE_DRAM_BYTE_S)
    return np.minimum(drawn, machine.dram_byte_s * parameters.bandwidth_efficiency)


def _on_cores(
    accelerator: Accelerator,
    machine: Machine,
    layers: LayerTable,
    batches: FloatArray,
    parameters: ParameterSet,
) -> BatchCost:
    """Return the costs on one thread of a processor.

    A precision has a rate and a layer a fixed time; depthwise layers run at a quarter of the rate.
    """
    rate = parameters.cpu_fp32_gmac_s * machine.core_rate * 1e9
    if accelerator.weight_bytes == 1:
        rate = rate * parameters.cpu_int8_ratio * machine.core_int8_gain
    macs = np.where(layers.kind == DEPTHWISE, 4.0, 1.0) * layers.macs
    slower = PLAIN_CPU_GHZ / machine.cpu_ghz
    fixed = len(layers.macs) * parameters.cpu_layer_us * slower * 1e-6
    work = macs.sum() / rate[:, None] * batches + fixed[:, None]
    nothing = np.zeros_like(work)
    return BatchCost(nothing + CALL_S, work, work, nothing, nothing, nothing, work, nothing)
