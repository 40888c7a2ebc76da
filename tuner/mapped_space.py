"""Mappings of the served networks as further places, as the option `mappings` asks for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs.errors import OptionError
from envs.graph.partition import partition_of
from envs.mappings.front import MEMBERS
from envs.mappings.places import mapping_names
from envs.simulator.machine import Machine
from envs.simulator.mapping_costs import Groups, divided_at
from envs.spec import ConfigurationSpace
from tuner.options import AUTO, OFF, ServeOptions

logger = logging.getLogger(__name__)


class MappedNetworks(NamedTuple):
    """The mappings of networks, and the layer groups that they divide.

    Attributes:
        names: [T] of each network; empty where no mapping is a choice.
        groups: [T] of each network; empty where nobody asks for them.
    """

    names: tuple[tuple[str, ...], ...] = ()
    groups: tuple[Groups, ...] = ()

    def of(self, space: ConfigurationSpace) -> ConfigurationSpace:
        """Return the space with these mappings as further places."""
        return space.with_mappings(self.names) if any(self.names) else space


def mapped_networks(
    serve: ServeOptions,
    space: ConfigurationSpace,
    paths: Sequence[Path],
    machine_of: Callable[[tuple[Groups, ...]], Machine],
) -> MappedNetworks:
    """Return the mappings that options ask for.

    Args:
        serve: the options.
        space: without these mappings; `accelerators` may have named some.
        paths: [T], the ONNX files.
        machine_of: gives the rates of the device, by which `auto` chooses, from the layer groups.

    Raises:
        OptionError: a mapping does not fit its network or the device, or there is no model by which
            to choose.
        NetworkError: a file cannot be read.
    """
    if not has_mappings(space) and serve.mappings in (None, [OFF]):
        return MappedNetworks()
    groups = groups_of(paths)
    if serve.mappings in (None, [OFF]):
        names: list[tuple[str, ...]] = [()] * len(groups)
    elif serve.mappings == [AUTO]:
        machine, most = machine_of(groups), MEMBERS // len(groups)
        names = [mapping_names(each, space.device, machine, most=most) for each in groups]
        for name, found in zip(space.workload.names, names, strict=True):
            logger.info("mappings of %s: %s", name, ", ".join(found) or "none is worth it")
    else:
        names = _by_network(serve.mappings or [], space.workload.names)
    mapped = MappedNetworks(tuple(names), groups)
    whole = mapped.of(space)
    for tenant, column in np.ndindex(*whole.shape):
        used = whole.device.accelerators[column]
        if used.mapping is not None and (tenant, column) not in whole.closed:
            divided_at(whole, tenant, column, groups[tenant])
    return mapped


def has_mappings(space: ConfigurationSpace) -> bool:
    """Return True if some accelerators of the device are mappings."""
    return any(each.mapping is not None for each in space.device.accelerators)


def groups_of(paths: Sequence[Path]) -> tuple[Groups, ...]:
    """Return the layer groups [T] of ONNX files."""
    return tuple(tuple(group.layers for group in partition_of(path).groups) for path in paths)


def _by_network(given: Sequence[str], networks: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the names of mappings [T] of each network."""
    found: list[list[str]] = [[] for _ in networks]
    for each in given:
        network, _, name = each.rpartition(":")
        if network not in networks and (network or len(networks) > 1):
            raise OptionError(
                f"mappings={each} must say whose layers it divides: write"
                f" {networks[0]}:{name}, with one of the networks {', '.join(networks)}"
            )
        found[networks.index(network) if network else 0].append(name)
    return [tuple(each) for each in found]
