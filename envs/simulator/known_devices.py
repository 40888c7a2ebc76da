"""The model of a space's own device: a plain computer or a board of the catalogue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.catalog.boards import board, board_names
from envs.errors import OptionError
from envs.graph.layer_table import LayerTable
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_layers import known_layers
from envs.simulator.machine import Machine, machine_of, plain_machine
from envs.simulator.mapping_costs import Groups
from envs.spec import ConfigurationSpace, Kind


def with_processor(machine: Machine, space: ConfigurationSpace) -> Machine:
    """Return a board's machine that knows whether its processor's cores are a choice."""
    accelerators = space.device.accelerators
    chosen = any(
        accelerators[column].kind is Kind.CPU and (tenant, column) not in space.unavailable
        for tenant, column in np.ndindex(*space.shape)
    )
    return replace(machine, processor=chosen)


def model_for(
    space: ConfigurationSpace,
    networks: tuple[LayerTable, ...] | None = None,
    precision: str = "int8",
    dla_native: bool = True,
    dla_precision: str = "int8",
    groups: tuple[Groups, ...] = (),
) -> DeviceModel:
    """Return the model of a space's own device: a plain computer or a board of the catalogue.

    Args:
        space: whose device names a module and a power mode.
        networks: [T] layers; without them, see `known_layers`.
        precision: `int8` or `fp16`, of the engines for Tensor Cores of a board.
        dla_native: False if engines for a DLA leave layers or formats to the GPU.
        dla_precision: `int8` or `fp16`, of the engines for a DLA.
        groups: [T], the layer groups of the networks; without them, see `DeviceModel.groups`.

    Raises:
        OptionError: the catalogue has no such module.
    """
    tables = networks or tuple(known_layers(tenant.network) for tenant in space.workload.tenants)
    for name in board_names():
        if board(name).module == space.device.name:
            mode = space.device.power_mode
            machine = machine_of(name, mode, precision, dla_precision, dla_native)
            return DeviceModel(with_processor(machine, space), space, tables, groups=groups)
    if space.device.plain:
        return DeviceModel(plain_machine(space.device.cores), space, tables, groups=groups)
    raise OptionError(
        f"device.name={space.device.name!r} is no board that the model knows:"
        f" choose from {', '.join(board_names())}"
    )
