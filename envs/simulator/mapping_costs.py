"""The cost of one batch of a network that a mapping divides among accelerators.

It is the sum of a start, the layers of each part, the transitions between parts, and an end, each
as `group_costs` and `transition_costs` have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from envs.arrays import FloatArray
from envs.errors import OptionError
from envs.graph.layer_table import LayerTable, joined, leaving
from envs.simulator.cost_parts import added
from envs.simulator.group_costs import copy_cost, group_cost, start_cost
from envs.simulator.known_layers import known_groups
from envs.simulator.machine import Machine
from envs.simulator.parameters import ParameterSet
from envs.simulator.roofline import BatchCost
from envs.simulator.transition_costs import transition_cost
from envs.spec import Accelerator, ConfigurationSpace, Kind, Mapping

#: The layer groups of a network in order, with the elements that cross into and out of each.
Groups = tuple[LayerTable, ...]


@dataclass(frozen=True, eq=False)
class Divided:
    """The parts of a network, in the order in which they run.

    Attributes:
        accelerators: [P], of each part.
        parts: [P] groups of each part.
    """

    accelerators: tuple[Accelerator, ...]
    parts: tuple[Groups, ...]

    @property
    def whole_on(self) -> str | None:
        """Return the DLA whose engine for the whole network runs the same; None if none does.

        That engine leaves to the GPU what the DLA does not take. So does a mapping that gives the
        Tensor Cores exactly these layers, and no group of which the DLA takes a part.
        """
        dlas = [each.name for each in self.accelerators if each.kind is Kind.DLA]
        same = all(
            used.kind is Kind.DLA
            or (used.kind is Kind.TENSOR_CORES and not any(each.dla.any() for each in groups))
            for used, groups in zip(self.accelerators, self.parts, strict=True)
        )
        return dlas[0] if dlas and same else None

    def cost(
        self, machine: Machine, batches: FloatArray, parameters: ParameterSet
    ) -> tuple[BatchCost, dict[str, FloatArray]]:
        """Return the cost [C, Z] of a batch that runs alone.

        Returns:
            The cost, and the share of its GPU time (or that of the cores of a plain computer) that
            each accelerator takes, by name.
        """
        common = (batches, parameters)
        found = [start_cost(self.accelerators[0], machine, self.parts[0][0].inputs, *common)]
        by_part: dict[str, FloatArray] = {}
        for used, groups in zip(self.accelerators, self.parts, strict=True):
            cost = group_cost(used, machine, joined(groups), *common)
            assert cost is not None, "`divide` refuses layers that a DLA does not run"
            found.append(cost)
            by_part[used.name] = by_part.get(used.name, 0.0) + cost.gpu_s
        places = [
            place
            for pair in zip(self.accelerators, self.parts, strict=True)
            for place in [(pair[0], each) for each in pair[1]]
        ]
        results = leaving([groups for _, groups in places])
        for (source, before), (target, after), elements in zip(
            places[:-1], places[1:], results[:-1], strict=True
        ):
            if elements > 0:  # an output of the network that is complete before its end
                found.append(copy_cost(source, machine, elements, *common, kernels=0))
            if source != target:
                cost = transition_cost(source, target, machine, before, after, *common)
                assert cost is not None, "nothing goes between these parts"
                found.append(cost)
        used, last = places[-1]
        found.append(copy_cost(used, machine, last.outputs, *common))
        whole = added(*found)
        least = np.finfo(float).tiny
        return whole, {
            name: each / np.maximum(whole.gpu_s, least) for name, each in by_part.items()
        }


def divide(mapping: Mapping, accelerators: Sequence[Accelerator], groups: Groups) -> Divided:
    """Return a network's layer groups divided by a mapping.

    Args:
        mapping: of the network.
        accelerators: [P], of the parts of the mapping.
        groups: [G].

    Raises:
        OptionError: the network has too few groups, or one that a DLA does not run on a DLA.
    """
    mapping.by_group(len(groups))  # refuses a mapping of more groups
    bounds = pairwise((0, *mapping.stops, len(groups)))
    parts = tuple(groups[start:stop] for start, stop in bounds)
    for used, start, part in zip(accelerators, (0, *mapping.stops), parts, strict=True):
        wrong = [at for at, each in enumerate(part, start) if not each.dla.all()]
        if used.kind is Kind.DLA and wrong:
            raise OptionError(
                f"{mapping.name} runs layer group {wrong[0]} of {groups[0].name} on {used.name},"
                " which does not take all of its layers: map that group to the GPU"
            )
    return Divided(tuple(accelerators), parts)


def divided_networks(
    space: ConfigurationSpace,
    machine: Machine,
    networks: Sequence[LayerTable],
    groups: Sequence[Groups],
) -> dict[tuple[int, int], Divided]:
    """Return the networks that the mappings of a space divide, by (tenant, accelerator).

    Args:
        space: some of whose accelerators may be mappings.
        machine: the rates of its device.
        networks: [T].
        groups: [T], the layer groups of each network; empty for those of reference networks.

    Raises:
        OptionError: a mapping does not fit its network, or is not modelled on this device.
    """
    found = {}
    for column, used in enumerate(space.device.accelerators):
        if used.mapping is None:
            continue
        if used.kind is Kind.CPU and not machine.plain:
            raise OptionError(
                f"{used.name} divides a network among the precisions of a board's processor,"
                " which is modelled on plain computers only: leave it out"
            )
        for tenant, layers in enumerate(networks):
            if (tenant, column) not in space.closed:
                own = groups[tenant] if groups else known_groups(layers)
                found[tenant, column] = divided_at(space, tenant, column, own)
    return found


def divided_at(space: ConfigurationSpace, tenant: int, column: int, groups: Groups) -> Divided:
    """Return the network of a tenant as the mapping of a place divides it.

    Args:
        space: whose accelerator in this column is a mapping.
        tenant: that may use it.
        column: of the accelerator.
        groups: [G], of the tenant's network.

    Raises:
        OptionError: see `divide`; or the mapping is a second name for another place of the tenant,
            a whole network on a DLA.
    """
    used, names = space.device.accelerators[column], space.device.accelerator_names
    assert used.mapping is not None
    found = divide(used.mapping, space.device.parts(used), groups)
    whole = found.whole_on
    if whole in names and (tenant, names.index(whole)) not in space.closed:
        raise OptionError(
            f"{used.name} runs what {whole} runs of {groups[0].name} without it: that engine leaves"
            f" the same layers to the GPU. Leave the mapping out, and use {whole}"
        )
    return found
