"""The device model at any arrival rates: of a computer, a board, or the board a device is like."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from envs.catalog.boards import board, board_names
from envs.catalog.identify import identify, is_jetson
from envs.errors import OptionError
from envs.graph.layer_table import LayerTable
from envs.simulator.device_model import DeviceModel
from envs.simulator.generic_gpu import generic_machine, remark_on
from envs.simulator.known_devices import model_for, with_processor
from envs.simulator.known_layers import known_layers
from envs.simulator.machine import Machine, machine_of
from envs.simulator.mapping_costs import Groups
from envs.spec import ConfigurationSpace, DeviceSpec, Workload

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
    mode: str | None = None,
    groups: tuple[Groups, ...] = (),
) -> ModelAt:
    """Return the models of a plain computer, a board, a device like one, or a GPU of its own.

    Args:
        space: to choose from.
        layers: [T]; None where only totals of the networks are known, or their names.
        like: name of a board; None to go by the name of the device.
        power_mode: returns the present power mode, which may change while the device serves; None
            for the mode in the description of the device.
        engines: how they are built, see `model_for`.
        mode: the power mode that the user names, which `power_mode` then cannot change.
        groups: [T], the layer groups of the networks, for mappings; see `DeviceModel.groups`.
    """
    tables = layers or tuple(known_layers(tenant.network) for tenant in space.workload.tenants)
    device = space.device
    if modelled_by_name(device):
        return lambda rates_ips: model_for(
            at_rates(space, rates_ips), tables, groups=groups, **engines
        )

    def model_at(rates_ips: tuple[float, ...]) -> DeviceModel:
        present = power_mode() if power_mode else None
        machine = machine_like(device, like, mode, present, engines)
        here = at_rates(space, rates_ips)
        return DeviceModel(with_processor(machine, space), here, tables, groups=groups)

    return model_at


def modelled_by_name(device: DeviceSpec) -> bool:
    """Return True for a plain computer, and for a board that has its name in the catalogue."""
    modules = {board(name).module for name in board_names()}
    return device.name in modules or device.plain


def machine_like(
    device: DeviceSpec,
    like: str | None,
    mode: str | None,
    present: str | None,
    engines: Mapping[str, Any],
) -> Machine:
    """Return the machine of a device: of the board it is, or is said to be, or of its GPU alone.

    Args:
        device: as it describes itself.
        like: the board that the user names.
        mode: the power mode that the user names.
        present: the power mode as the device names it now.
        engines: how they are built, see `model_for`.

    Raises:
        OptionError: a name is unknown, or nothing is like this device.
    """
    if like is None and not is_jetson(device) and device.hardware is not None:
        return generic_machine(device.hardware, engines.get("precision", "int8"))
    found = identify(device, like, mode, present)
    return machine_of(found.board.name, found.mode.name, **engines)


def remarks_on(device: DeviceSpec, like: str | None = None, mode: str | None = None) -> list[str]:
    """Return what is guessed of a device, a sentence each; none if nothing is.

    A device that is like nothing can be measured all the same: the reason is returned then.

    Args:
        device: as it describes itself.
        like: the board that the user names.
        mode: the power mode that the user names.

    Raises:
        OptionError: a name is unknown.
    """
    if modelled_by_name(device):
        return []
    try:
        if like is None and not is_jetson(device) and device.hardware is not None:
            generic_machine(device.hardware)
            return [remark_on(device.hardware)]
        remark = identify(device, like, mode).remark
    except OptionError as error:
        if like is None and mode is None:
            return [str(error)]
        raise
    return [remark] if remark else []
