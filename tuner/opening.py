"""Open each runtime by name: find the device, read the networks, check, and build engines."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from envs.arrays import Placements
from envs.catalog.boards import board, board_like, board_names, mode_like
from envs.errors import NetworkError, OptionError
from envs.graph.layer_table import LayerTable
from envs.graph.layers import read_network_and_layers
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.protocol import Runtime
from envs.runtimes.replayed import ReplayedRuntime
from envs.runtimes.serving.engine import EngineFactory
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.device_model import DeviceModel, model_for
from envs.simulator.known_layers import known_layers
from envs.simulator.machine import device_of, machine_of
from envs.spec import (
    ConfigurationSpace,
    DeviceSpec,
    Kind,
    Network,
    Objective,
    Workload,
    accelerator,
    local_computer,
)
from envs.telemetry.power_mode import read_power_mode
from envs.telemetry.sensors import probe_sensor
from envs.traces.reader import find_trace, read_trace
from envs.traces.remark import remark
from tuner.options import ServeOptions

if TYPE_CHECKING:
    from envs.runtimes.tensorrt.factory import BuildProgress, TensorRTEngineFactory

logger = logging.getLogger(__name__)

#: The device model at arrival rates [T], infinite for a closed loop.
ModelAt = Callable[[tuple[float, ...]], DeviceModel]


class Parts(NamedTuple):
    """The parts of a `tuner.device.Device`, in the order of its fields."""

    runtime: Runtime
    model_at: ModelAt
    candidates: Placements | None = None
    remarks: Callable[[], list[str]] = list


class Demands(NamedTuple):
    """The demands on a live device, which are checked before engines are built.

    Attributes:
        power_w: a power limit that will be set; None for none.
        needs_model: True if there must be a model of the device.
    """

    power_w: float | None = None
    needs_model: bool = False


def open_parts(serve: ServeOptions, demands: Demands) -> Parts:
    """Return the parts of the device that options describe, which were checked already."""
    if serve.runtime == "replayed":
        return _replayed(serve)
    if serve.runtime == "simulated":
        return _simulated(serve)
    return (_tensorrt if serve.runtime == "tensorrt" else _onnxruntime)(serve, demands)


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


def _replayed(serve: ServeOptions) -> Parts:
    trace = read_trace(find_trace(serve.trace or ""))
    if trace.metadata.get("runtime") == "simulated":
        logger.warning("%s was recorded in the device model: nothing was measured", trace.path.name)
    if told := remark(trace):
        logger.warning("%s", told)
    layers = None
    if serve.network:
        networks, layers = _read(serve)
        trace.check_networks(networks)
    return Parts(
        ReplayedRuntime(trace),
        _models(trace.space, layers, engines=trace.engines),
        trace.placements[~trace.batch.failed],
    )


def _simulated(serve: ServeOptions) -> Parts:
    module = board(serve.board or "agx_orin_64")
    device = device_of(module.name, serve.mode or next(iter(module.power_modes)))
    device = _narrowed(device, serve.accelerators)
    networks, layers = _read(serve)
    space = serve.space(device, networks)
    return Parts(SimulatedRuntime(model_for(space, layers)), _models(space, layers))


def _onnxruntime(serve: ServeOptions, demands: Demands) -> Parts:
    device = _narrowed(local_computer(cores=serve.cores), serve.accelerators)
    networks, layers = _read(serve)
    space = serve.space(device, networks)
    factory = OnnxEngineFactory(space, [Path(path) for path in serve.network], serve.cache_path)
    return _live(serve, space, layers, factory, factory.prepare, demands)


def _tensorrt(serve: ServeOptions, demands: Demands) -> Parts:
    # Imported here: every start without a GPU would wait for it.
    from envs.runtimes.tensorrt.cuda import Cuda
    from envs.runtimes.tensorrt.device import jetson_device
    from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
    from envs.runtimes.tensorrt.versions import load_bindings

    bindings, cuda = load_bindings(), Cuda()
    device = _narrowed(jetson_device(bindings, cuda), serve.accelerators)
    networks, layers = _read(serve)
    space = serve.space(device, networks)
    if not any(each.kind is Kind.DLA for each in device.accelerators):
        logger.warning("without DLAs: the builder of this TensorRT counts none")
    paths = [Path(path) for path in serve.network]
    factory = TensorRTEngineFactory(
        space, paths, serve.cache_path / "tensorrt", bindings=bindings, cuda=cuda
    )
    live = _live(serve, space, layers, factory, lambda: factory.prepare(_say_progress), demands)
    return live._replace(remarks=lambda: _fallbacks(factory))


def _live(
    serve: ServeOptions,
    space: ConfigurationSpace,
    layers: tuple[LayerTable, ...],
    factory: EngineFactory,
    prepare: Callable[[], Mapping[tuple[int, int], NetworkError]],
    demands: Demands,
) -> Parts:
    """Check the sensor and the demands, build the engines, and leave out pairs without one."""
    on_gpu = serve.runtime == "tensorrt"
    with contextlib.ExitStack() as undo:
        undo.callback(factory.close)
        space.default()  # an empty space fails here, before anything is built
        sensor = probe_sensor(serve.sensor, on_gpu=on_gpu)
        undo.callback(sensor.close)
        limit = Objective((), math.inf if demands.power_w is None else demands.power_w)
        limit.check_measurable(
            sensor.has_power, "no power is measured here (a sensor is missing or unreadable)"
        )
        mode = (lambda: serve.mode or read_power_mode()) if on_gpu else None
        if demands.needs_model:
            _models(space, layers, serve.board, mode)(rates_of(space))
        space = _without(space, prepare())
        runtime = ServingRuntime(space, factory, sensor, serve.serving)
        undo.pop_all()
    return Parts(runtime, _models(space, layers, serve.board, mode))


def _without(
    space: ConfigurationSpace, errors: Mapping[tuple[int, int], NetworkError]
) -> ConfigurationSpace:
    """Return the space without the (tenant, accelerator) pairs that have no engine."""
    for (tenant, column), error in errors.items():
        logger.warning(
            "without %s for %s: %s",
            space.device.accelerator_names[column],
            space.workload.names[tenant],
            error,
        )
    for tenant, name in enumerate(space.workload.names):
        if all((tenant, column) in errors for column in range(space.shape[1])):
            raise OptionError(
                f"{name} cannot be served here, no engine could be built for any accelerator:"
                f" {errors[tenant, 0]}"
            )
    return replace(space, unavailable=frozenset(errors))


def _narrowed(device: DeviceSpec, names: list[str] | None) -> DeviceSpec:
    if names is None:
        return device
    for name in names:
        if name not in device.accelerator_names:
            raise OptionError(
                f"{device.name} has no accelerator {name!r}: choose from"
                f" {', '.join(device.accelerator_names)}"
            )
    return replace(device, accelerators=tuple(accelerator(name) for name in names))


def _read(serve: ServeOptions) -> tuple[list[Network], tuple[LayerTable, ...]]:
    read = [read_network_and_layers(Path(path)) for path in serve.network]
    return [network for network, _ in read], tuple(table for _, table in read)


def _models(
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


def _say_progress(at: BuildProgress) -> None:
    """Say which engine is built: it takes minutes, once."""
    if at.what and not at.phase:
        logger.info("building engine %d of %d: %s", at.done + 1, at.total, at.what)


def _fallbacks(engines: TensorRTEngineFactory) -> list[str]:
    """Name the instances on a DLA part of which runs on the GPU: TensorRT does not say so."""
    return [
        f"{tenant} on {name}, batch {batch}: {layers.describe()}"
        for tenant, name, loaded in engines.placements()
        for batch, layers in loaded.items()
        if accelerator(name).kind is Kind.DLA and layers.fell_back
    ]
