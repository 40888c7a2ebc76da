"""Tell what the boards of a cluster can do, by the device model: once for a board and network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from cluster.kubernetes.objects import ACCELERATORS
from cluster.kubernetes.world import SeenNode
from cluster.placement.nodes import NodeKind
from cluster.profiles import Point, loss_beside_others, node_kind, simulated_profile
from envs.catalog.boards import board
from envs.catalog.reference_networks import reference_names, reference_network
from envs.errors import OptionError
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.spec import ConfigurationSpace, DeviceSpec, Workload, workload_of

#: Batch sizes of the profiles.
BATCHES = (1, 2, 4, 8)

#: Processor time of a request before the accelerator, and memory of a front end: both assumed.
FRONT_END_S, FRONT_END_MIB = 0.004, 50.0


def kind_of(node: SeenNode, networks: Iterable[str], precision: str) -> NodeKind:
    """Return what a node can do with these networks; those that nobody knows are left out.

    Raises:
        OptionError: its labels name no board, or no power mode of it; the sentence says which.
    """
    mode = mode_of(node)
    known = tuple(sorted(set(networks) & set(reference_names())))
    kind = _kind(node.board, mode, known, precision)
    memory = min(kind.memory_mib, node.memory_mib)
    return replace(kind, name=f"{kind.name}-{memory:.0f}", memory_mib=memory)


def mode_of(node: SeenNode) -> str:
    """Return the power mode of a node: of its label, or the largest of its board.

    Raises:
        OptionError: its labels name no board, or no power mode of it.
    """
    if not node.board:
        raise OptionError(f"node {node.name} has no label that names its board")
    modes = board(node.board).power_modes
    if not node.mode:
        return next(iter(modes))
    if node.mode not in modes:
        raise OptionError(
            f"node {node.name}: {node.board} has no power mode {node.mode}: choose from"
            f" {', '.join(modes)}"
        )
    return node.mode


@cache
def _kind(name: str, mode: str, networks: tuple[str, ...], precision: str) -> NodeKind:
    device, machine = _device(name, mode), machine_of(name, mode, precision, precision)
    points: list[Point] = []
    loss = {}
    for network in networks:
        points += _profile(name, mode, network, precision)[0]
        loss[network] = _profile(name, mode, network, precision)[1]
    label = f"{name}-{mode}"
    if not points:
        return NodeKind(label, (), device.memory_mib, {})
    space = ConfigurationSpace(device, _workload(networks[0]), 1, BATCHES)
    return node_kind(label, space, points, sum(machine.idle_w), FRONT_END_S, FRONT_END_MIB, loss)


@cache
def _profile(name: str, mode: str, network: str, precision: str) -> tuple[tuple[Point, ...], float]:
    """Return the front of a network on a board, and its loss beside others: the slow part."""
    space = ConfigurationSpace(_device(name, mode), _workload(network), 1, BATCHES)
    machine = machine_of(name, mode, precision, precision)
    model = DeviceModel(machine, space, (reference_network(network),))
    return simulated_profile(model), loss_beside_others(model)


def _device(name: str, mode: str) -> DeviceSpec:
    """Return a board with the accelerators that servers use: one for each place."""
    device = device_of(name, mode)
    used = tuple(each for each in device.accelerators if each.name in ACCELERATORS.values())
    return replace(device, accelerators=used)


def _workload(network: str) -> Workload:
    return workload_of([described(reference_network(network))])
