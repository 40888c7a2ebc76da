"""The mappings of a network that become places of a device."""

from __future__ import annotations

from collections.abc import Sequence

from envs.graph.layer_table import LayerTable
from envs.mappings.front import MEMBERS, worth_it
from envs.mappings.model_costs import group_costs, merged
from envs.simulator.machine import Machine
from envs.simulator.parameters import ParameterSet, nominal
from envs.spec import DeviceSpec, Kind, Mapping

#: Batch sizes at which mappings are looked for: a GPU gains from larger ones, a DLA does not.
BATCHES = (1, 8)

#: More layer groups than these are joined before mappings are searched.
MAX_GROUPS = 40


def mapping_names(
    groups: Sequence[LayerTable],
    device: DeviceSpec,
    machine: Machine,
    parameters: ParameterSet | None = None,
    batches: Sequence[int] = BATCHES,
    most: int = MEMBERS,
) -> tuple[str, ...]:
    """Return the names of at most `most` mappings that are worth being places of a device.

    The best at each batch size are taken in turn. A mapping that uses `dla0` is one more place on
    `dla1` where the device has both.

    Args:
        groups: [G] the layer groups of the network.
        device: whose accelerators may be parts.
        machine: its rates.
        parameters: one set; the fitted ones where not given.
        batches: batch sizes to look at.
        most: how many places.
    """
    known = parameters or nominal(machine.architecture)
    wanted = {Kind.CPU} if machine.plain else {Kind.CUDA_CORES, Kind.TENSOR_CORES, Kind.DLA}
    parts = [
        each
        for each in device.accelerators
        if each.kind in wanted and each.mapping is None and each.segments == 1
    ]
    if len(parts) < 2:
        return ()
    ranked = []
    for batch in batches:
        costs, starts = merged(group_costs(groups, parts, machine, known, batch), MAX_GROUPS)
        ranked.append(
            [
                Mapping(
                    each.mapping.accelerators,
                    tuple(int(starts[stop]) for stop in each.mapping.stops),
                )
                for each in worth_it(costs)
            ]
        )
    names: dict[str, None] = {}
    both = {"dla0", "dla1"} <= {each.name for each in parts}
    for place in range(max(map(len, ranked))):
        for found in ranked:
            for name in _on_both(found[place], both) if place < len(found) else ():
                names.setdefault(name)
    return tuple(names)[:most]


def _on_both(mapping: Mapping, both: bool) -> tuple[str, ...]:
    """Return the name of a mapping, and that of the same on the other DLA core."""
    other = {"dla0": "dla1", "dla1": "dla0"}
    mirrored = Mapping(tuple(other.get(name, name) for name in mapping.accelerators), mapping.stops)
    return (mapping.name, mirrored.name) if both and mirrored != mapping else (mapping.name,)
