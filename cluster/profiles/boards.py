"""What boards of the catalogue can do, by the device model: once for a board and a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from cluster.placement.nodes import NodeKind
from cluster.profiles.points import Point, loss_beside_others, node_kind, simulated_profile
from envs.catalog.reference_networks import reference_network
from envs.graph.layer_table import LayerTable
from envs.graph.layers import read_network_and_layers
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.spec import ConfigurationSpace, DeviceSpec, Network, Workload, workload_of

#: Batch sizes of the profiles.
BATCHES = (1, 2, 4, 8)

#: Processor time of a request before the accelerator, and memory of a front end: both assumed, the
#: time as a sixth of a Jetson Nano's.
FRONT_END_S, FRONT_END_MIB = 0.004, 50.0

#: Accelerators that servers use: one for each place.
ACCELERATORS = ("tensor", "dla0", "dla1")


@cache
def board_kind(
    board: str,
    mode: str,
    networks: tuple[str, ...],
    precision: str,
    accelerators: tuple[str, ...] = ACCELERATORS,
) -> NodeKind:
    """Return what a board can do with networks; its name is BOARD-MODE.

    Engines are slower by what a board loses when all its accelerators run the network at once.

    Args:
        board: of the catalogue.
        mode: its power mode.
        networks: names of reference networks, or ONNX files, whose names are without `.onnx` then;
            a board that serves none has no places. A file is read once.
        precision: of engines, `fp16` or `int8`, whose answers nobody judged.
        accelerators: names of those that may serve.

    Raises:
        OptionError: there is no such board, mode or network.
        NetworkError: a file cannot be read.
    """
    device = _device(board, mode, accelerators)
    machine = machine_of(board, mode, precision, precision)
    points: list[Point] = []
    loss = {}
    for network in networks:
        own, lost = _profile(board, mode, network, precision, accelerators)
        loss[_network(network)[1].name] = lost
        points += own
    label = f"{board}-{mode}"
    if not points:
        return NodeKind(label, (), device.memory_mib, {})
    space = ConfigurationSpace(device, _workload(networks[0]), 1, BATCHES)
    return node_kind(label, space, points, sum(machine.idle_w), FRONT_END_S, FRONT_END_MIB, loss)


@cache
def _profile(
    board: str, mode: str, network: str, precision: str, accelerators: tuple[str, ...]
) -> tuple[Sequence[Point], float]:
    """Return the front of a network on a board, and its loss beside others: the slow part."""
    space = ConfigurationSpace(_device(board, mode, accelerators), _workload(network), 1, BATCHES)
    machine = machine_of(board, mode, precision, precision)
    model = DeviceModel(machine, space, (_network(network)[1],))
    return simulated_profile(model), loss_beside_others(model)


def _device(board: str, mode: str, accelerators: tuple[str, ...]) -> DeviceSpec:
    device = device_of(board, mode)
    used = tuple(each for each in device.accelerators if each.name in accelerators)
    return replace(device, accelerators=used)


def _workload(network: str) -> Workload:
    return workload_of([_network(network)[0]])


@cache
def _network(network: str) -> tuple[Network, LayerTable]:
    """Return a network with its layers, of the catalogue or of an ONNX file."""
    if network.endswith(".onnx"):
        return read_network_and_layers(network)
    table = reference_network(network)
    return described(table), table
