"""Kernels of a network on the GPU: time, bytes and power of each batch size."""

import numpy as np

from envs.arrays import BoolArray, FloatArray, IntArray
from envs.graph.layer_table import LAYER_KINDS, LayerTable
from envs.simulator.machine import Machine
from envs.simulator.parameters import ParameterSet

#: The GPU clock at which the parameters give the floor of a kernel.
REFERENCE_GPU_GHZ = 1.3

#: Length of a dot product and number of output channels at which a convolution reaches half of its
#: efficiency, by bytes of a number: they follow the instructions and tiles of Tensor Cores, and
#: are small on CUDA cores. HALF_ROWS is the number of rows (pixels, tokens) of a product at which
#: computing takes twice as long as its multiplications. A product of a few rows has no tiles to
#: fill: libraries run it on CUDA cores, row by row (matrix times vector), where that is faster. It
#: is bound by reading its weights then: fc6 and fc7 of AlexNet take 0.70 and 0.32 ms on AGX Xavier
#: in FP16 (ismetdagli/HaX-CoNN), 107 of its 137 GB/s.
HALF_REDUCTION = {4: 4.0, 2: 32.0, 1: 64.0}
HALF_CHANNELS = {4: 2.0, 2: 24.0, 1: 32.0}
HALF_ROWS = {4: 32.0, 2: 64.0, 1: 128.0}

#: Output channels of a group from which its convolution runs as a plain one of that size. Grouped
#: convolutions that were measured have 4 to 32 (ResNeXt-50); AlexNet's two groups have 128 to 192.
WIDE_GROUP = 64.0

#: Kernels of a local response normalisation on the GPU. It works on a linear format, an assumption,
#: so that one kernel before it and one behind it reformat: the two of AlexNet take 0.06 and 0.08 ms
#: on AGX Xavier in FP16 (ismetdagli/HaX-CoNN), three times as long as a pass over their tensors.
LRN_KERNELS = 3.0

#: Register file of an SM, in which recurrent kernels keep weights between steps [bytes].
REGISTERS = 2**18

DEPTHWISE, RECURRENT, GROUPED, MATMUL, LRN = (
    LAYER_KINDS.index(each) for each in ("depthwise", "recurrent", "grouped", "matmul", "lrn")
)


def kernels(
    machine: Machine,
    layers: LayerTable,
    batches: FloatArray,
    parameters: ParameterSet,
    width: int,
    chosen: BoolArray | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return floor [s], work [s] and bytes of the GPU, [C, Z] each.

    The first arguments are those of `batch_cost`; `width` is the number of bytes of a number, and
    `chosen` [L] selects layers (all of them where it is not given).
    """
    pick: slice | BoolArray = slice(None) if chosen is None else chosen
    macs, reads, writes, weights = (
        getattr(layers, name)[pick] for name in ("macs", "reads", "writes", "weights")
    )
    channels, kind = layers.channels[pick], layers.kind[pick]
    rate = _gpu_rate(machine, layers.reduction[pick], channels, kind, parameters, width)
    with np.errstate(divide="ignore", invalid="ignore"):
        computing = np.where(macs > 0, macs / rate, 0.0)[:, :, None] * batches  # [C, L, Z]
        rows = np.where(channels > 0, writes / channels, 1.0)[:, None] * batches
    short = HALF_ROWS[width] / np.maximum(rows, 1.0)
    computing = computing * (1.0 + short * (macs > 0)[:, None] * (kind != DEPTHWISE)[:, None])
    if (vectors := kind == MATMUL).any():
        on_cuda_cores = macs[vectors, None] * batches / machine.mac_s(4)
        computing[:, vectors] = np.minimum(computing[:, vectors], on_cuda_cores)
    unrolled = np.maximum(1.0, np.round(macs / np.maximum(weights, 1.0)))
    passes = np.where(kind == LRN, LRN_KERNELS, 1.0)
    steps = np.where(kind == RECURRENT, unrolled, passes)
    activations = (reads + writes)[:, None] * batches * width
    cached = np.minimum(1.0, machine.l2_bytes / np.maximum(activations, 1.0))
    cached = cached * parameters.cache_share[:, None, None]
    on_chip = machine.l2_bytes + REGISTERS * machine.sm
    kept = np.minimum(1.0, on_chip / np.maximum(weights * width, 1.0))
    kept = kept * parameters.cache_share[:, None]
    # Each step of a recurrent layer reads its weights, [C, L].
    read = weights * width * np.where(steps > 1, 1 + (steps - 1) * (1 - kept), 1.0)
    moved = read[:, :, None] + activations * passes[:, None] * (1 - cached)
    bandwidth = machine.dram_byte_s * parameters.bandwidth_efficiency[:, None]
    work = np.maximum(computing, moved / bandwidth[:, :, None]).sum(axis=1)
    floor = floor_s(machine, parameters, steps.sum())
    return np.broadcast_to(floor[:, None], work.shape), work, moved.sum(axis=1)


def _gpu_rate(
    machine: Machine,
    reduction: FloatArray,
    channels: FloatArray,
    kind: IntArray,
    parameters: ParameterSet,
    width: int,
) -> FloatArray:
    """Return multiply-accumulates per second of layers [L], [C, L]."""
    efficiency = {
        4: parameters.cuda_efficiency,
        2: parameters.fp16_efficiency,
        1: parameters.int8_efficiency,
    }[width]
    shape = reduction / (reduction + HALF_REDUCTION[width])
    shape = shape * channels / (channels + HALF_CHANNELS[width])
    rate = machine.mac_s(width) * shape * efficiency[:, None]
    for of_kind, factor in (
        ((kind == GROUPED) & (channels < WIDE_GROUP), parameters.grouped_efficiency),
        (kind == MATMUL, parameters.matmul_efficiency),
        (kind == RECURRENT, parameters.recurrent_efficiency),
    ):
        if of_kind.any():
            rate = rate * np.where(of_kind, factor[:, None], 1.0)
    depthwise = machine.mac_s(4) * parameters.depthwise_efficiency[:, None]
    rate = np.where(kind == DEPTHWISE, depthwise, rate)
    return np.asarray(rate / parameters.engine_slowdown[:, None])


def floor_s(machine: Machine, parameters: ParameterSet, kernels: float) -> FloatArray:
    """Return the least time of a number of kernels, [C]."""
    slower = parameters.engine_slowdown * REFERENCE_GPU_GHZ / machine.gpu_ghz
    return kernels * parameters.kernel_floor_us * 1e-6 * slower


def full_power_s(
    machine: Machine,
    macs: FloatArray,
    batches: FloatArray,
    parameters: ParameterSet,
    width: int,
    floor: FloatArray,
    work: FloatArray,
) -> FloatArray:
    """Return the seconds at the GPU's full power that take the energy of some kernels, [C, Z].

    Kernels draw power for running and for multiplying: the slower the same work is done, the less
    power it takes.
    """
    multiplying = macs.sum() / machine.mac_s(width) * batches
    activity = parameters.cuda_activity if width == 4 else parameters.tensor_activity
    spent = (
        parameters.floor_activity[:, None] * floor
        + parameters.busy_activity[:, None] * work
        + activity[:, None] * multiplying
    )
    return np.asarray(spent)
