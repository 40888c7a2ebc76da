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
from envs.simulator.positions import (
    POSITIONS,
    Layout,
    behind_the_first,
    mappings_of,
    position_count,
    positions_of,
)
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
    """Return [F, C, T, X, Z] as in `Contexts.table`, and `Contexts.part_share`.

    The arguments are those of `tables.contexts_of`.
    """
    layout = Layout(len(behind_the_first(accelerators, machine)))
    mapped = len(mappings_of(accelerators, machine))
    second = layout.mapped - mapped
    count = position_count(accelerators, machine) + mapped
    shape = (len(COSTS), len(parameters), len(networks), count, len(sizes))
    table = np.full(shape, np.nan)
    shares = np.full((*shape[1:3], mapped, 2 + second, len(sizes)), np.nan)
    core_w = core_watts(machine, parameters)
    places = positions_of(accelerators, machine)
    by_name = {each.name: at for each, at in zip(accelerators, places, strict=True)}
    for tenant, layers in enumerate(networks):
        known: dict[object, tuple[BatchCost, dict[str, FloatArray]]] = {}
        for column, (accelerator, at) in enumerate(zip(accelerators, places, strict=True)):
            if accelerator.segments > 1 or at is None:
                continue  # segments have the costs of the whole, see `priority`
            if accelerator.mapping is not None:
                if (own := divided.get((tenant, column))) is None:
                    continue
                if accelerator.engine not in known:  # else the other DLA core runs the same
                    known[accelerator.engine] = own.cost(machine, sizes, parameters)
                cost, parts = known[accelerator.engine]
                row = at - layout.mappings.start - second
                shares[:, tenant, row] = _by_position(parts, by_name, 2 + second)
            elif at >= layout.board.stop:
                table[:, :, tenant, at] = beside_costs(
                    accelerator, machine, layers, sizes, parameters, core_w[:, None]
                )
                continue
            else:
                cost = batch_cost(accelerator, machine, layers, sizes, parameters)
            table[:, :, tenant, at] = _row(cost, machine, parameters)
    return table, shares


def _by_position(
    parts: Mapping[str, FloatArray], places: Mapping[str, int | None], count: int
) -> FloatArray:
    """Return the shares of parts at the positions on the GPU, [C, P, Z].

    What no part takes, as transitions, counts at the second position. So does what a part on a DLA
    takes of the GPU.
    """
    found = np.zeros((len(next(iter(parts.values()))), count, next(iter(parts.values())).shape[-1]))
    for name, share in parts.items():
        at = places.get(name)
        if at == 0 or (at is not None and at >= POSITIONS):
            found[:, 0 if at == 0 else 2 + at - POSITIONS] += share
    found[:, 1] = 1.0 - found.sum(axis=1)
    return found


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
