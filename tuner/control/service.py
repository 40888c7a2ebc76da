"""What a controller is put on: a runtime, what is known of it, and what can be served there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envs.arrays import Placements
from envs.catalog.boards import board, board_like, mode_like
from envs.errors import NetworkError, OptionError
from envs.graph.layers import LayerTable, read_network_and_layers
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.protocol import Runtime
from envs.runtimes.replayed import ReplayedRuntime
from envs.runtimes.serving.instance import EngineFactory
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.device_model import DeviceModel, model_for
from envs.simulator.machine import device_of, machine_of
from envs.spec.device import DeviceSpec, local_computer
from envs.spec.network import Network
from envs.spec.space import ConfigurationSpace
from envs.spec.workload import Workload, fair_weights, workload_of
from envs.telemetry.power_mode import read_power_mode
from envs.telemetry.sensors import probe_sensor
from envs.traces.reader import find_trace, read_trace
from tuner.control.decider import Models
from tuner.options import servable

if TYPE_CHECKING:
    from envs.runtimes.tensorrt.factory import BuildProgress, TensorRTEngineFactory

#: What a controller can be put on.
RUNTIMES = ("onnxruntime", "tensorrt", "simulated", "replayed")


@dataclass(frozen=True)
class Service:
    """One device to be controlled.

    Attributes:
        possible: [N, T, A, 2]; None where every valid configuration is. model_at: the device model at arrival rates [T].
        remarks: what there is to say of the instances that serve.
    """

    runtime: Runtime
    possible: Placements | None
    model_at: Models
    remarks: Callable[[], list[str]] = list

    @property
    def space(self) -> ConfigurationSpace:
        return self.runtime.space


@dataclass(frozen=True)
class Asked:
    """What to serve, and where.

    Attributes:
        paths: [T] ONNX files. rates_ips: [T] Poisson arrivals, None for a closed loop. outside: whether requests come from a program, not from the
            load generator. board, mode: of a simulated runtime; of a live GPU the board of the catalogue that it is most like, None to go by its name.
        trace: of a replayed runtime.
    """

    runtime: str
    paths: tuple[Path, ...]
    rates_ips: tuple[float, ...] | None
    max_instances: int
    batches: tuple[int, ...]
    cache: Path
    timeout_s: float
    outside: bool = False
    sensor: str = "auto"
    board: str | None = None
    mode: str | None = None
    trace: str = ""


def service(asked: Asked) -> Service:
    """Build it; what cannot be served here is left out, and said on standard error."""
    if asked.runtime == "replayed":
        return _replayed(asked.trace)
    if asked.runtime not in RUNTIMES:
        raise OptionError(
            f"--runtime {asked.runtime} is unknown: choose from {', '.join(RUNTIMES)}"
        )
    if not asked.paths:
        raise OptionError("--network is missing: give an ONNX file, as in --network my.onnx")
    read = [read_network_and_layers(path) for path in asked.paths]
    networks, layers = [network for network, _ in read], tuple(table for _, table in read)
    if asked.runtime == "simulated":
        module = board(asked.board or "agx_orin_64")
        space = _space(
            asked, device_of(module.name, asked.mode or next(iter(module.power_modes))), networks
        )
        return Service(SimulatedRuntime(model_for(space, layers)), None, _models(space, layers))
    if asked.runtime == "onnxruntime":
        space = _space(asked, local_computer(), networks)
        factory = OnnxEngineFactory(space, asked.paths, asked.cache)
        return _live(asked, space, factory, factory.prepare(), _models(space, layers))
    return _tensorrt(asked, networks, layers)


def _tensorrt(asked: Asked, networks: list[Network], layers: tuple[LayerTable, ...]) -> Service:
    # Imported where it is asked for, as what serves through torch: every start would wait for it.
    from envs.runtimes.tensorrt.device import jetson_device
    from envs.runtimes.tensorrt.factory import TensorRTEngineFactory

    space = _space(asked, jetson_device(), networks)
    if not any(name.startswith("dla") for name in space.device.accelerator_names):
        print("without DLAs: the builder of this TensorRT counts none", file=sys.stderr)
    engines = TensorRTEngineFactory(space, asked.paths, asked.cache / "tensorrt")
    live = _live(asked, space, engines, engines.prepare(say_progress), _like(asked, space, layers))
    return replace(live, remarks=lambda: fallbacks(engines))


def _space(asked: Asked, device: DeviceSpec, networks: list[Network]) -> ConfigurationSpace:
    rates = list(asked.rates_ips) if asked.rates_ips else None
    return ConfigurationSpace(
        device,
        workload_of(networks, rates, fair_weights(networks)),
        asked.max_instances,
        asked.batches,
    )


def _live(
    asked: Asked,
    space: ConfigurationSpace,
    factory: EngineFactory,
    impossible: Mapping[tuple[int, int], NetworkError],
    models: Models,
) -> Service:
    possible = servable(space, impossible) if impossible else None
    sensor = probe_sensor(asked.sensor, on_gpu=asked.runtime == "tensorrt")
    options = ServingOptions(timeout_s=asked.timeout_s, outside=asked.outside)
    return Service(ServingRuntime(space, factory, sensor, options), possible, models)


def say_progress(at: BuildProgress) -> None:
    """A line an engine, on standard error: building takes minutes, and is done once."""
    if at.what and not at.phase:
        print(f"building engine {at.done + 1} of {at.total}: {at.what}", file=sys.stderr)


def fallbacks(engines: TensorRTEngineFactory) -> list[str]:
    """Instances on a DLA part of which runs on the GPU: TensorRT itself does not say so."""
    return [
        f"{tenant} on {place}, batch {batch}: {layers.describe()}"
        for tenant, place, loaded in engines.placements()
        for batch, layers in loaded.items()
        if place.startswith("dla") and layers.fell_back
    ]


def _replayed(name: str) -> Service:
    if not name:
        raise OptionError("--trace is missing: give the name or the path of a recording")
    trace = read_trace(find_trace(name))
    return Service(
        ReplayedRuntime(trace), trace.placements[~trace.batch.failed], _models(trace.space, None)
    )


def _models(space: ConfigurationSpace, layers: tuple[LayerTable, ...] | None) -> Models:
    return lambda rates_ips: model_for(at_rates(space, rates_ips), layers)


def _like(asked: Asked, space: ConfigurationSpace, layers: tuple[LayerTable, ...]) -> Models:
    """Of the board of the catalogue that a live device is most like, in the power mode that is most like its own at the time."""
    from envs.runtimes.tensorrt.device import board_name

    module = (
        board(asked.board)
        if asked.board
        else board_like(board_name() or space.device.name, space.device.memory_mib)
    )

    def model_at(rates_ips: tuple[float, ...]) -> DeviceModel:
        return DeviceModel(
            machine_of(module.name, mode_like(module, asked.mode or read_power_mode()).name),
            at_rates(space, rates_ips),
            layers,
        )

    return model_at


def at_rates(space: ConfigurationSpace, rates_ips: tuple[float, ...]) -> ConfigurationSpace:
    """The same space with other arrivals, [T]."""
    tenants = tuple(
        replace(tenant, rate_ips=rate)
        for tenant, rate in zip(space.workload.tenants, rates_ips, strict=True)
    )
    return replace(space, workload=Workload(tenants))
