"""The costs of layer groups from the model of a board.

Energy is that of the whole module, at rest and above, over the time of the batch, as the sensors of
a board show it: an instance that runs alone in a closed loop draws it. A plain computer has no
rails in the model. Its energy is `cpu_core_w` for each of its cores while they work, an assumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from envs.arrays import FloatArray, IntArray
from envs.errors import OptionError
from envs.graph.layer_table import LayerTable, joined, leaving
from envs.mappings.costs import GroupCosts
from envs.simulator.beside_costs import core_bytes
from envs.simulator.cost_parts import added
from envs.simulator.group_costs import copy_cost, group_cost, start_cost
from envs.simulator.machine import Machine
from envs.simulator.parameters import ParameterSet
from envs.simulator.rail_energy import core_watts, module_joules
from envs.simulator.roofline import BatchCost, batch_cost
from envs.simulator.transition_costs import transition_cost
from envs.spec import Accelerator, Kind

#: Bytes of an FP32 number.
FP32_BYTES = 4


def group_costs(
    groups: Sequence[LayerTable],
    accelerators: Sequence[Accelerator],
    machine: Machine,
    parameters: ParameterSet,
    batch: int = 1,
    name: str = "",
) -> GroupCosts:
    """Return what layer groups cost on each accelerator of a board, or of a plain computer.

    Args:
        groups: [G] the layers of each, as `envs.graph.partition` and
            `envs.catalog.reference_networks.reference_groups` have them.
        accelerators: [A] where whole networks run; Edge TPUs take no groups and are refused.
        machine: the rates of the device.
        parameters: one set.
        batch: samples in a batch.
        name: of the network in reports; that of the layers if empty.

    Raises:
        OptionError: there are several parameter sets, or an accelerator runs no layer groups.
    """
    _check(accelerators, parameters)
    sizes = np.array([float(batch)])
    count, places, results = len(groups), range(len(accelerators)), leaving(groups)

    def spent(cost: BatchCost | None) -> tuple[float, float]:
        return (np.inf, np.inf) if cost is None else _spent(cost, machine, parameters)

    inner = np.full((2, count, len(places)), np.inf)
    moved = np.zeros((count, len(places)))
    between = np.zeros((2, count, len(places), len(places)))
    ends = np.zeros((2, 2, len(places)))  # of start and end: time and energy
    for at, accelerator in enumerate(accelerators):
        started = start_cost(accelerator, machine, groups[0].inputs, sizes, parameters)
        ended = copy_cost(accelerator, machine, groups[-1].outputs, sizes, parameters)
        ends[0, :, at], ends[1, :, at] = spent(started), spent(ended)
        for index, layers in enumerate(groups):
            cost = group_cost(accelerator, machine, layers, sizes, parameters)
            if cost is None:
                continue
            if results[index] > 0 and index + 1 < count:
                copied = copy_cost(accelerator, machine, results[index], sizes, parameters, 0)
                cost = added(cost, copied)
            inner[:, index, at] = spent(cost)
            moved[index, at] = _moved(cost, accelerator, layers, sizes)
    for index, (before, after) in enumerate(pairwise(groups), start=1):
        for at, source in enumerate(accelerators):
            for to, target in enumerate(accelerators):
                between[:, index, at, to] = spent(
                    transition_cost(source, target, machine, before, after, sizes, parameters)
                )
    return GroupCosts(
        network=name or groups[0].name,
        accelerators=tuple(each.name for each in accelerators),
        batch=batch,
        time_s=inner[0],
        energy_j=inner[1],
        bytes=moved,
        transition_s=between[0],
        transition_j=between[1],
        start_s=ends[0, 0],
        start_j=ends[0, 1],
        end_s=ends[1, 0],
        end_j=ends[1, 1],
        layers=np.array([len(layers) for layers in groups]),
        crossing_bytes=np.array([layers.inputs * FP32_BYTES * batch for layers in groups]),
    )


def whole_costs(
    groups: Sequence[LayerTable],
    accelerators: Sequence[Accelerator],
    machine: Machine,
    parameters: ParameterSet,
    batch: int = 1,
) -> tuple[FloatArray, FloatArray]:
    """Return the time [s] and energy [J] of a whole network on each single accelerator, [A] each.

    They equal the sums of `group_costs` where an accelerator runs all groups. A DLA leaves layers
    that it does not run to the GPU, as an engine with fallback does.
    """
    _check(accelerators, parameters)
    sizes, layers = np.array([float(batch)]), joined(groups)
    costs = [batch_cost(each, machine, layers, sizes, parameters) for each in accelerators]
    spent = np.array([_spent(cost, machine, parameters) for cost in costs])
    return spent[:, 0], spent[:, 1]


def merged(costs: GroupCosts, max_groups: int) -> tuple[GroupCosts, IntArray]:
    """Return the costs with neighbouring groups joined, and the first group of each [G].

    Groups are joined pair by pair, the pair that is fastest on its best accelerator first, so that
    those that remain are of similar size. A mapping of the joined groups with a stop at group g has
    it at group `starts[g]` of the network.

    Args:
        costs: of all groups.
        max_groups: how many groups remain at most, at least 1.
    """
    starts = list(range(costs.groups))
    best_s = list(np.min(costs.time_s, axis=1))
    while len(starts) > max(max_groups, 1):
        at = int(np.argmin([one + next_ for one, next_ in pairwise(best_s)]))
        best_s[at : at + 2] = [best_s[at] + best_s[at + 1]]
        del starts[at + 1]
    kept = np.array(starts)
    return (
        GroupCosts(
            network=costs.network,
            accelerators=costs.accelerators,
            batch=costs.batch,
            **{
                field: np.add.reduceat(getattr(costs, field), kept)
                for field in ("time_s", "energy_j", "bytes", "layers")
            },
            transition_s=costs.transition_s[kept],
            transition_j=costs.transition_j[kept],
            start_s=costs.start_s,
            start_j=costs.start_j,
            end_s=costs.end_s,
            end_j=costs.end_j,
            crossing_bytes=costs.crossing_bytes[kept],
        ),
        kept,
    )


def _check(accelerators: Sequence[Accelerator], parameters: ParameterSet) -> None:
    if len(parameters) != 1:
        raise OptionError(
            f"layer groups have the costs of one parameter set, {len(parameters)} were given: take"
            " one row of them"
        )
    for each in accelerators:
        if each.kind is Kind.EDGE_TPU or each.segments > 1:
            raise OptionError(
                f"{each.name} runs no layer groups: name cuda, tensor, a DLA or the processor"
            )


def _spent(cost: BatchCost, machine: Machine, parameters: ParameterSet) -> tuple[float, float]:
    """Return the time and the energy of a cost of one parameter set and one batch size."""
    if not machine.plain:
        time_s = cost.host_s + cost.gpu_s + cost.dla_s
        return time_s.item(), module_joules(cost, machine, parameters).item()
    work_s = cost.gpu_s * machine.cpu_cores ** -parameters.threads_exponent[:, None]
    watts = machine.cpu_cores * core_watts(machine, parameters)
    return (cost.host_s + work_s).item(), (watts * work_s).item()


def _moved(
    cost: BatchCost, accelerator: Accelerator, layers: LayerTable, sizes: FloatArray
) -> float:
    if accelerator.kind is Kind.CPU:
        return core_bytes(accelerator, layers, sizes).item()
    return (cost.gpu_bytes + cost.dla_bytes).item()
