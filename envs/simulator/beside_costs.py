"""The cost of one batch on the cores beside a GPU, and on an Edge TPU, when it runs alone.

Neither uses the GPU. Their times, bytes and energy are in the places of `COSTS` that a DLA has.
"""

import numpy as np

from envs.arrays import FloatArray
from envs.catalog.edge_tpus import busy_w, edge_tpu_profile, is_profiled
from envs.graph.layer_table import LayerTable
from envs.simulator.machine import Machine
from envs.simulator.parameters import ParameterSet
from envs.simulator.roofline import CALL_S, batch_cost
from envs.spec import Accelerator, Kind

#: Caches of the cores, in which the activations of a small layer stay [bytes]. An AGX Orin has 2
#: MiB for each four cores and 4 MiB for all (NVIDIA, AGX Orin technical brief).
CORE_CACHE = 4 * 2**20


def beside_costs(
    accelerator: Accelerator,
    machine: Machine,
    layers: LayerTable,
    batches: FloatArray,
    parameters: ParameterSet,
    core_w: FloatArray,
) -> FloatArray:
    """Return the costs [F, C, Z] of a batch, in the order of `tables.COSTS`.

    On the cores they are those of a single thread. An Edge TPU takes one sample after the other,
    and its network is loaded.

    Args:
        accelerator: the cores beside a GPU, or an Edge TPU.
        machine: the rates of the device.
        layers: of the network.
        batches: [Z].
        parameters: [C] sets.
        core_w: [C, 1], power of a core that works.
    """
    shape = (len(parameters), len(batches))
    nothing = np.zeros(shape)
    if accelerator.kind is Kind.EDGE_TPU:
        known = is_profiled(layers.name)
        service_s = edge_tpu_profile(layers.name).service_s if known else np.nan
        own_s = np.broadcast_to(service_s * batches, shape)
        there, moved, energy_j = 0 * own_s, nothing, own_s * busy_w()
    else:
        own_s = batch_cost(accelerator, machine, layers, batches, parameters).work_s
        moved = np.broadcast_to(core_bytes(accelerator, layers, batches), shape)
        there, energy_j = nothing, own_s * core_w
    host_s = nothing + CALL_S
    return np.stack([host_s, there, nothing, own_s, nothing, moved, nothing, energy_j, nothing])


def swap_s(network: str) -> float:
    """Return what a network takes more on an Edge TPU after another one; 0 if nobody knows."""
    return edge_tpu_profile(network).swap_s if is_profiled(network) else 0.0


def core_bytes(accelerator: Accelerator, layers: LayerTable, batches: FloatArray) -> FloatArray:
    """Return the bytes [Z] that a processor's cores move from and to DRAM for a batch."""
    width = accelerator.weight_bytes
    spilled = np.maximum((layers.reads + layers.writes) * width - CORE_CACHE, 0.0).sum()
    return np.asarray(float(layers.weights.sum()) * width + spilled * batches)
