"""The costs of one batch that runs alone, by tenant, position and batch size, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from envs.arrays import FloatArray
from envs.graph.layer_table import LayerTable
from envs.simulator.beside_costs import beside_costs
from envs.simulator.machine import Machine
from envs.simulator.mapping_costs import Divided
from envs.simulator.parameters import ParameterSet
from envs.simulator.positions import Layout, mappings_of, position_count, positions_of
from envs.simulator.rail_energy import core_watts, rail_joules
from envs.simulator.roofline import BatchCost, batch_cost
from envs.spec import Accelerator

#: Costs of one batch: times of host, GPU and DLA; the GPU time that other instances cannot use;
#: bytes moved by GPU and DLA; energy on the rails of the GPU, and of CPU and DLA; how often a DLA
#: engine takes a turn on the GPU. On the cores beside a GPU and on an Edge TPU, the time, the bytes
#: and the energy are in the places of the DLA's.
COSTS = (
    *("host_s", "gpu_s", "exclusive_s", "dla_s", "gpu_bytes", "dla_bytes"),
    *("gpu_j", "cv_j", "turns"),
)


def cost_table(
    machine: Machine,
    accelerators: Sequence[Accelerator],
    networks: Sequence[LayerTable],
    sizes: FloatArray,
    parameters: ParameterSet,
    divided: Mapping[tuple[int, int], Divided],
) -> tuple[FloatArray, FloatArray]:
    """Return [F, C, T, X, Z] as in `Contexts.table`, and `Contexts.first_share`.

    The arguments are those of `tables.contexts_of`.
    """
    layout = Layout(len(mappings_of(accelerators, machine)))
    count = position_count(accelerators, machine) + layout.mapped
    shape = (len(COSTS), len(parameters), len(networks), count, len(sizes))
    table = np.full(shape, np.nan)
    shares = np.full((*shape[1:3], layout.mapped, len(sizes)), np.nan)
    core_w = core_watts(machine, parameters)
    places = positions_of(accelerators, machine)
    for tenant, layers in enumerate(networks):
        known: dict[object, tuple[BatchCost, FloatArray]] = {}
        for column, (accelerator, at) in enumerate(zip(accelerators, places, strict=True)):
            if accelerator.segments > 1 or at is None:
                continue  # segments have the costs of the whole, see `priority`
            if accelerator.mapping is not None:
                if (own := divided.get((tenant, column))) is None:
                    continue
                if accelerator.engine not in known:  # else the other DLA core runs the same
                    known[accelerator.engine] = own.cost(machine, sizes, parameters)
                cost, shares[:, tenant, at - layout.mappings.start] = known[accelerator.engine]
            elif at >= layout.board.stop:
                table[:, :, tenant, at] = beside_costs(
                    accelerator, machine, layers, sizes, parameters, core_w[:, None]
                )
                continue
            else:
                cost = batch_cost(accelerator, machine, layers, sizes, parameters)
            table[:, :, tenant, at] = _row(cost, machine, parameters)
    return table, shares


def _row(cost: BatchCost, machine: Machine, parameters: ParameterSet) -> tuple[FloatArray, ...]:
    """Return [F] of [C, Z], in the order of `COSTS`."""
    exclusive_s = cost.gpu_s - parameters.share_gain[:, None] * (cost.gpu_s - cost.work_s)
    return (
        cost.host_s,
        cost.gpu_s,
        exclusive_s,
        cost.dla_s,
        cost.gpu_bytes,
        cost.dla_bytes,
        *rail_joules(cost, machine, parameters),
        cost.turns,
    )
