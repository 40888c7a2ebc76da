"""What a controller is put on: a runtime, what is known of it, and what can be served there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from envs.configuration import ConfigurationSpace, Placements
from envs.device import Device, local_computer
from envs.errors import OptionError
from envs.layers import LayerTable, read_layers
from envs.network import Network, read_network
from envs.runtimes.measuring import ServingOptions
from envs.runtimes.onnxruntime import OnnxEngineFactory
from envs.runtimes.protocol import Runtime
from envs.runtimes.replayed import ReplayedRuntime
from envs.runtimes.serving import ServingRuntime
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.device_model import DeviceModel, model_for
from envs.simulator.machine import device_of
from envs.telemetry.sensors import probe_sensor
from envs.traces.reader import find_trace, read_trace
from envs.workload import Workload, fair_weights, workload_of

RUNTIMES = ("onnxruntime", "simulated", "replayed")


@dataclass(frozen=True)
class Service:
    """One device to be controlled.

    Attributes:
        possible: [N, T, A, 2]. model_at: the device model at arrival rates [T].
    """

    runtime: Runtime
    possible: Placements
    model_at: Callable[[tuple[float, ...]], DeviceModel]

    @property
    def space(self) -> ConfigurationSpace:
        return self.runtime.space


@dataclass(frozen=True)
class Asked:
    """What to serve, and where.

    Attributes:
        paths: [T] ONNX files. rates_ips: [T] Poisson arrivals, None for a closed loop. outside: whether requests come from a program, not from the
            load generator. board, mode: of a simulated runtime. trace: of a replayed one.
    """

    runtime: str
    paths: tuple[Path, ...]
    rates_ips: tuple[float, ...] | None
    max_instances: int
    batches: tuple[int, ...]
    cache: Path
    timeout_s: float
    outside: bool = False
    board: str = "agx_orin_64"
    mode: str = "MAXN"
    trace: str = ""


def service(asked: Asked) -> Service:
    """Build it; what cannot be served here is left out, and said on standard error."""
    if asked.runtime == "replayed":
        return _replayed(asked.trace)
    if asked.runtime not in RUNTIMES:
        raise OptionError(f"--runtime {asked.runtime} is unknown: choose from {', '.join(RUNTIMES)}")
    if not asked.paths:
        raise OptionError("--network is missing: give an ONNX file, as in --network my.onnx")
    networks, layers = [read_network(path) for path in asked.paths], tuple(read_layers(path) for path in asked.paths)
    if asked.runtime == "simulated":
        space = _space(asked, device_of(asked.board, asked.mode), networks)
        return Service(SimulatedRuntime(model_for(space, layers)), space.catalogue, _models(space, layers))
    return _onnxruntime(asked, _space(asked, local_computer(), networks), layers)


def _space(asked: Asked, device: Device, networks: list[Network]) -> ConfigurationSpace:
    rates = list(asked.rates_ips) if asked.rates_ips else None
    return ConfigurationSpace(device, workload_of(networks, rates, fair_weights(networks)), asked.max_instances, asked.batches)


def _onnxruntime(asked: Asked, space: ConfigurationSpace, layers: tuple[LayerTable, ...]) -> Service:
    factory = OnnxEngineFactory(space, asked.paths, asked.cache)
    possible = space.catalogue
    for (tenant, place), error in factory.prepare().items():
        print(f"without {space.device.accelerator_names[place]} for {space.workload.names[tenant]}: {error}", file=sys.stderr)
        possible = possible[possible[:, tenant, place, 0] == 0]
    if not len(possible):
        raise OptionError("nothing can be served here: no engine could be built for any accelerator")
    options = ServingOptions(timeout_s=asked.timeout_s, outside=asked.outside)
    return Service(ServingRuntime(space, factory, probe_sensor(), options), possible, _models(space, layers))


def _replayed(name: str) -> Service:
    if not name:
        raise OptionError("--trace is missing: give the name or the path of a recording")
    trace = read_trace(find_trace(name))
    return Service(ReplayedRuntime(trace), trace.placements[~trace.batch.failed], _models(trace.space, None))


def _models(space: ConfigurationSpace, layers: tuple[LayerTable, ...] | None) -> Callable[[tuple[float, ...]], DeviceModel]:
    def model_at(rates_ips: tuple[float, ...]) -> DeviceModel:
        tenants = tuple(replace(tenant, rate_ips=rate) for tenant, rate in zip(space.workload.tenants, rates_ips, strict=True))
        return model_for(replace(space, workload=Workload(tenants)), layers)

    return model_at
