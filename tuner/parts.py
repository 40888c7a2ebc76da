"""The parts of a device, what is demanded of it, and what every way to open one needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from envs.arrays import Placements
from envs.errors import NetworkError, OptionError
from envs.graph.layer_table import LayerTable
from envs.graph.layers import read_network_and_layers
from envs.runtimes.protocol import Runtime
from envs.runtimes.serving.readiness import Readiness
from envs.spec import (
    ACCELERATORS,
    Agreements,
    Configuration,
    ConfigurationSpace,
    DeviceSpec,
    Kind,
    Network,
    accelerator,
)
from tuner.model_at import ModelAt
from tuner.options import ServeOptions

#: Engines that are made ready before a device is open: one that serves, one of each tenant on each
#: accelerator, or every one.
FIRST, PAIRS, ALL = "first", "pairs", "all"


class Parts(NamedTuple):
    """The parts of a `tuner.device.Device`, in the order of its fields."""

    runtime: Runtime
    model_at: ModelAt
    candidates: Placements | None = None
    remarks: Callable[[], list[str]] = list
    agreements: Agreements = MappingProxyType({})
    min_agreement: float = 0.0
    readiness: Readiness | None = None
    reserve: Configuration | None = None


def nothing_more(space: ConfigurationSpace, has_power: bool) -> None:
    """Check nothing."""


class Demands(NamedTuple):
    """The demands on a live device, which are checked before engines are built.

    Attributes:
        power_w: a power limit that will be set; None for none.
        needs_model: True if there must be a model of the device.
        engines: FIRST, PAIRS or ALL: which are made ready before the device is open.
        reserve: True if the processor's cores must be able to serve when a GPU cannot.
        check: gets the space, and whether power is measured; raises what is wrong with them.
        optional: True if networks may be without an instance, as they come and go.
    """

    power_w: float | None = None
    needs_model: bool = False
    engines: str = PAIRS
    reserve: bool = False
    check: Callable[[ConfigurationSpace, bool], None] = nothing_more
    optional: bool = False

    def tenants(self, space: ConfigurationSpace) -> ConfigurationSpace:
        """Return the space with its tenants optional, where that is demanded."""
        every = frozenset(range(space.shape[0]))
        return replace(space, optional=every) if self.optional else space


def engines_of(device: DeviceSpec, serve: ServeOptions) -> dict[str, Any]:
    """Return how engines for Tensor Cores and DLAs are built, as `model_for` takes it."""
    names = {Kind.TENSOR_CORES: "precision", Kind.DLA: "dla_precision"}
    found = {
        names[each.kind]: each.precision
        for each in device.accelerators
        if each.kind in names and each.mapping is None
    }
    return found | {"dla_native": serve.dla_io != "linear"}


def narrowed_device(device: DeviceSpec, serve: ServeOptions) -> DeviceSpec:
    """Return the device with the accelerators and precisions that may be used.

    The processor's cores beside a GPU, OpenVINO and Edge TPUs are among them only where they are
    named.
    """
    names, known = serve.accelerators, _nameable(device, serve)
    for name in names or ():
        if name not in known:
            raise OptionError(
                f"{device.name} has no accelerator {name!r}: choose from {', '.join(known)}"
            )
    if names is not None:
        device = replace(device, accelerators=tuple(accelerator(name) for name in names))
    chosen = {Kind.DLA: serve.dla_precision, Kind.TENSOR_CORES: serve.tensor_precision}
    device = device.with_chosen({kind: each for kind, each in chosen.items() if each is not None})
    return device if serve.precisions is None else device.with_precisions(serve.precisions)


def _nameable(device: DeviceSpec, serve: ServeOptions) -> tuple[str, ...]:
    """Return the accelerators that a user may name: some serve only where they are named.

    These are the processor's cores beside a GPU, OpenVINO, and Edge TPUs, which are modelled only.
    """
    more = {Kind.CPU} | ({Kind.EDGE_TPU} if serve.runtime == "simulated" else set())
    named = [name for name, each in ACCELERATORS.items() if each.kind in more]
    return tuple(dict.fromkeys([*device.accelerator_names, *named]))


def read_all(
    serve: ServeOptions, paths: Sequence[Path]
) -> tuple[list[Network], tuple[LayerTable, ...]]:
    """Return the networks in ONNX files, and the tables of their layers."""
    read = []
    for path, given in zip(paths, serve.network, strict=True):
        try:
            read.append(read_network_and_layers(path))
        except NetworkError as error:  # the user knows the file, not its copy with bound inputs
            raise NetworkError(str(error).replace(str(path), given)) from error
    return [network for network, _ in read], tuple(table for _, table in read)
