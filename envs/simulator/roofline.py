"""What one batch of one network costs on each accelerator when it runs alone: a roofline over the layers.

Letters: C parameter sets, L layers, N batch sizes.

A kernel takes a fixed floor plus the longer of computing and moving its data (Williams et al. 2009, "Roofline"). Published latencies of
ResNet-50 on AGX Orin are such a line in the batch size: 0.41 ms + 0.22 ms a sample at batch 1, 8 and 256 (MLPerf Inference v3.0).
A DLA core takes one sample of a batch after the other: YOLOv5s takes 3.8 to 3.9 ms a sample at all batches (NVIDIA-AI-IOT/cuDLA-samples).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.graph.layers import KINDS, LayerTable
from envs.simulator.machine import Machine
from envs.simulator.parameters import ParameterSet

#: The GPU and CPU clocks that the parameters' times are given at.
REFERENCE_GPU_GHZ, REFERENCE_CPU_GHZ, REFERENCE_DLA_GHZ = 1.3, 2.2, 1.6

#: DRAM bandwidth at which a DLA core draws `dla_bandwidth_gb_s`: what it draws follows the clock of the memory.
REFERENCE_DRAM_BYTE_S = 204.8e9

#: Length of a dot product and output channels at which a convolution reaches half of its efficiency: what a Tensor Core instruction
#: and a tile take at once, and little on CUDA cores; rows (pixels, tokens) of a product for which a tile computes as long as for none.
HALF_REDUCTION = {4: 4.0, 2: 32.0, 1: 64.0}
HALF_CHANNELS = {4: 2.0, 2: 24.0, 1: 32.0}
HALF_ROWS = {4: 32.0, 2: 128.0, 1: 128.0}
DLA_HALF_REDUCTION, DLA_HALF_CHANNELS = 64.0, 16.0

#: Input channels that a DLA multiplies at once; a group of a convolution uses only its own of them.
DLA_LANES = 32.0

#: SRAM of a DLA core, in which the activations of a small layer stay [bytes].
DLA_SRAM = 2**20

#: Register file of an SM, in which recurrent kernels keep weights between steps [bytes].
REGISTERS = 2**18

DEPTHWISE, RECURRENT, GROUPED, MATMUL = (
    KINDS.index(each) for each in ("depthwise", "recurrent", "grouped", "matmul")
)


@dataclass(frozen=True)
class Service:
    """One batch alone on one accelerator, [C, N] each.

    Attributes:
        host_s: no accelerator works for the instance meanwhile. gpu_s: the GPU (or the cores of a plain computer) does.
        work_s: the part of gpu_s in which it is full; the rest is the floor of its kernels, which leaves it mostly idle.
        dla_s: the DLA core works. gpu_bytes, dla_bytes: moved from and to DRAM by either.
        effort_s: seconds at the GPU's full power that take as much energy.
    """

    host_s: FloatArray
    gpu_s: FloatArray
    work_s: FloatArray
    dla_s: FloatArray
    gpu_bytes: FloatArray
    dla_bytes: FloatArray
    effort_s: FloatArray


def service(
    accelerator: str,
    machine: Machine,
    layers: LayerTable,
    batches: FloatArray,
    parameters: ParameterSet,
) -> Service:
    """Costs of `layers` on an accelerator of `machine` for batches [N]."""
    if accelerator.startswith("cpu_"):
        return _on_cores(accelerator, machine, layers, batches, parameters)
    if accelerator.startswith("dla"):
        return _on_dla(machine, layers, batches, parameters)
    width = 4 if accelerator == "cuda" else machine.tensor_bytes
    floor, work, moved = _kernels(machine, layers, batches, parameters, width)
    effort = _effort(machine, layers.macs, batches, parameters, width, floor, work)
    nothing = np.zeros_like(work)
    host = _host(machine, layers, batches, parameters, float(len(layers.macs)), width)
    return Service(host, floor + work, work, nothing, moved, nothing, effort)


def _host(
    machine: Machine,
    layers: LayerTable,
    batches: FloatArray,
    parameters: ParameterSet,
    kernels: float,
    width: int,
) -> FloatArray:
    """Launching, synchronising and copying: [C, N]."""
    slower = REFERENCE_CPU_GHZ / machine.cpu_ghz
    fixed = (parameters.host_us + parameters.launch_us * kernels) * 1e-6 * slower
    copied = (layers.inputs + layers.outputs) * width * batches
    return np.asarray(fixed[:, None] + copied / (parameters.copy_gb_s[:, None] * 1e9))


def _kernels(
    machine: Machine,
    layers: LayerTable,
    batches: FloatArray,
    parameters: ParameterSet,
    width: int,
    chosen: npt.NDArray[np.bool_] | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Floor [s], work [s] and bytes of the GPU for some layers (all, where none are chosen): [C, N] each."""
    pick: slice | npt.NDArray[np.bool_] = slice(None) if chosen is None else chosen
    macs, reads, writes, weights = (
        getattr(layers, name)[pick] for name in ("macs", "reads", "writes", "weights")
    )
    reduction, channels, kind = layers.reduction[pick], layers.channels[pick], layers.kind[pick]
    efficiency = {
        4: parameters.cuda_efficiency,
        2: parameters.fp16_efficiency,
        1: parameters.int8_efficiency,
    }[width]
    shape = (
        reduction
        / (reduction + HALF_REDUCTION[width])
        * channels
        / (channels + HALF_CHANNELS[width])
    )
    rate = machine.mac_s(width) * shape * efficiency[:, None]
    for code, factor in (
        (GROUPED, parameters.grouped_efficiency),
        (MATMUL, parameters.matmul_efficiency),
        (RECURRENT, parameters.recurrent_efficiency),
    ):
        if (kind == code).any():
            rate = rate * np.where(kind == code, factor[:, None], 1.0)
    rate = np.where(
        kind == DEPTHWISE, machine.mac_s(4) * parameters.depthwise_efficiency[:, None], rate
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        computing = np.where(macs > 0, macs / rate, 0.0)[:, :, None] * batches  # [C, L, N]
        rows = np.where(channels > 0, writes / channels, 1.0)[:, None] * batches
    computing = computing * (
        1.0
        + HALF_ROWS[width]
        / np.maximum(rows, 1.0)
        * (macs > 0)[:, None]
        * (kind != DEPTHWISE)[:, None]
    )
    steps = np.where(
        kind == RECURRENT, np.maximum(1.0, np.round(macs / np.maximum(weights, 1.0))), 1.0
    )
    seen = (reads + writes)[:, None] * batches * width
    cached = (
        np.minimum(1.0, machine.l2_bytes / np.maximum(seen, 1.0))
        * parameters.cache_share[:, None, None]
    )
    kept = (
        np.minimum(
            1.0, (machine.l2_bytes + REGISTERS * machine.sm) / np.maximum(weights * width, 1.0)
        )
        * parameters.cache_share[:, None]
    )
    again = (
        weights * width * np.where(steps > 1, 1 + (steps - 1) * (1 - kept), 1.0)
    )  # [C, L]: each step of a recurrent layer reads its weights
    moved = again[:, :, None] + seen * (1 - cached)
    bandwidth = machine.dram_byte_s * parameters.bandwidth_efficiency[:, None]
    moving = moved / bandwidth[:, :, None]
    work = np.maximum(computing, moving).sum(axis=1)
    floor = steps.sum() * parameters.kernel_floor_us * 1e-6 * (REFERENCE_GPU_GHZ / machine.gpu_ghz)
    return np.broadcast_to(floor[:, None], work.shape), work, moved.sum(axis=1)


def _effort(
    machine: Machine,
    macs: FloatArray,
    batches: FloatArray,
    parameters: ParameterSet,
    width: int,
    floor: FloatArray,
    work: FloatArray,
) -> FloatArray:
    """Kernels take power for being there and for what they multiply: the slower the same work is done, the less power it takes."""
    multiplying = macs.sum() / machine.mac_s(width) * batches
    extra = parameters.cuda_activity if width == 4 else parameters.tensor_activity
    spent = (
        parameters.floor_activity[:, None] * floor
        + parameters.busy_activity[:, None] * work
        + extra[:, None] * multiplying
    )
    return np.asarray(spent)


def _on_dla(
    machine: Machine, layers: LayerTable, batches: FloatArray, parameters: ParameterSet
) -> Service:
    """A DLA core runs what it takes; the rest falls back to the GPU in FP16, with a reformat at every border."""
    taken = layers.dla
    width = machine.dla_bytes
    macs, reduction, channels = layers.macs[taken], layers.reduction[taken], layers.channels[taken]
    shape = reduction / (reduction + DLA_HALF_REDUCTION) * channels / (channels + DLA_HALF_CHANNELS)
    split = (layers.kind[taken] == DEPTHWISE) | (layers.kind[taken] == GROUPED)
    shape = shape * np.where(split, np.minimum(1.0, reduction / 9 / DLA_LANES), 1.0)
    rate = machine.dla_mac_s * shape * parameters.dla_efficiency[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        computing = np.where(macs > 0, macs / rate, 0.0)[:, :, None] * batches
    spilled = np.maximum(0.0, (layers.reads + layers.writes)[taken] * width - DLA_SRAM)
    moved = (layers.weights[taken] * width + spilled)[
        :, None
    ] * batches  # one sample after the other: weights are read again
    drawn = parameters.dla_bandwidth_gb_s * 1e9 * (machine.dram_byte_s / REFERENCE_DRAM_BYTE_S)
    moving = (
        moved
        / np.minimum(drawn, machine.dram_byte_s * parameters.bandwidth_efficiency)[:, None, None]
    )
    segments = 1 + layers.dla_segments
    crossed = layers.dla[1:] != layers.dla[:-1]
    tasks = (
        segments * parameters.dla_task_us[:, None]
        + taken.sum() * parameters.dla_layer_us[:, None] * batches
    )
    dla_s = np.maximum(computing, moving).sum(axis=1) + tasks * 1e-6 * (
        REFERENCE_DLA_GHZ / machine.dla_ghz
    )
    floor, work, gpu_bytes = _kernels(machine, layers, batches, parameters, 2, ~taken)
    border = layers.inputs + layers.outputs + float(layers.writes[:-1][crossed].sum())
    passes = parameters.reformat_passes * (0.0 if machine.dla_native else 1.0)
    reformat = passes[:, None] * border * batches * 4 * 2
    crossing = 0.0 if machine.dla_native and not layers.dla_segments else 2.0 * segments
    bandwidth = machine.dram_byte_s * parameters.bandwidth_efficiency
    floor = (
        floor
        + (crossing * parameters.kernel_floor_us * 1e-6 * (REFERENCE_GPU_GHZ / machine.gpu_ghz))[
            :, None
        ]
    )
    busy = work + reformat / bandwidth[:, None]
    work = busy + (0.0 if machine.dla_native else 1.0) * parameters.dla_hold[:, None] * dla_s
    kernels = float((~taken).sum()) + segments
    host = _host(machine, layers, batches, parameters, kernels, width)
    effort = _effort(machine, layers.macs[~taken], batches, parameters, 2, floor, busy)
    return Service(
        host,
        floor + work,
        work,
        dla_s,
        gpu_bytes + reformat,
        moved.sum(axis=0) + np.zeros_like(work),
        effort,
    )


def _on_cores(
    accelerator: str,
    machine: Machine,
    layers: LayerTable,
    batches: FloatArray,
    parameters: ParameterSet,
) -> Service:
    """One thread of a plain computer: a rate for each precision, a fixed time a layer, and depthwise layers at a quarter of the rate."""
    rate = parameters.cpu_fp32_gmac_s * 1e9
    if accelerator == "cpu_int8":
        rate = rate * parameters.cpu_int8_ratio
    effort = np.where(layers.kind == DEPTHWISE, 4.0, 1.0) * layers.macs
    fixed = len(layers.macs) * parameters.cpu_layer_us * 1e-6
    work = effort.sum() / rate[:, None] * batches + fixed[:, None]
    nothing = np.zeros_like(work)
    return Service(nothing + 20e-6, work, work, nothing, nothing, nothing, work)
