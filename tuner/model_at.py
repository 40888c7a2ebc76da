"""The device model at any arrival rates: of a computer, a board, or the board a device is like."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from envs.catalog.boards import board, board_like, board_names, mode_like
from envs.graph.layer_table import LayerTable
from envs.simulator.device_model import DeviceModel, model_for
from envs.simulator.known_layers import known_layers
from envs.simulator.machine import machine_of
from envs.spec import ConfigurationSpace, Kind, Workload

#: The device model at arrival rates [T], infinite for a closed loop.
ModelAt = Callable[[tuple[float, ...]], DeviceModel]


def rates_of(space: ConfigurationSpace) -> tuple[float, ...]:
    """Return the arrivals of a space, [T], infinite for a closed loop."""
    return tuple(tenant.rate_ips for tenant in space.workload.tenants)


def at_rates(space: ConfigurationSpace, rates_ips: tuple[float, ...]) -> ConfigurationSpace:
    """Return the same space with other arrivals, [T]."""
    tenants = tuple(
        replace(tenant, rate_ips=rate)
        for tenant, rate in zip(space.workload.tenants, rates_ips, strict=True)
    )
    return replace(space, workload=Workload(tenants))


def models_of(
    space: ConfigurationSpace,
    layers: tuple[LayerTable, ...] | None,
    like: str | None = None,
    power_mode: Callable[[], str] | None = None,
    engines: Mapping[str, Any] = MappingProxyType({}),
) -> ModelAt:
    """Return the models of a plain computer, of a board, or of the board that a device is like.

    Args:
        space: to choose from.
        layers: [T]; None where only totals of the networks are known, or their names.
        like: name of a board; None to go by the name of the device.
        power_mode: returns the present power mode, which may change while the device serves; None
            for the mode in the description of the device.
        engines: how they are built, see `model_for`.
    """
    tables = layers or tuple(known_layers(tenant.network) for tenant in space.workload.tenants)
    device = space.device
    modules = {board(name).module for name in board_names()}
    if device.name in modules or all(each.kind is Kind.CPU for each in device.accelerators):
        return lambda rates_ips: model_for(at_rates(space, rates_ips), tables, **engines)

    def model_at(rates_ips: tuple[float, ...]) -> DeviceModel:
        module = board(like) if like else board_like(device.name, device.memory_mib)
        mode = mode_like(module, power_mode() if power_mode else device.power_mode)
        machine = machine_of(module.name, mode.name, **engines)
        return DeviceModel(machine, at_rates(space, rates_ips), tables)

    return model_at
