"""Devices to break on purpose: live ONNX Runtime sessions, and the model of a board.

Each fault is injected at the seam where it would happen.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Union

import numpy as np
import onnx

from benchmarks.fault_client import Client
from benchmarks.fault_runtime import FailingRuntime
from envs.catalog.architectures import build
from envs.catalog.reference_networks import reference_network
from envs.graph.layers import read_network_and_layers
from envs.problems.draw import described
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.protocol import Transition
from envs.runtimes.serving.engine import Arrays, Engine
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.spec import (
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Measurement,
    local_computer,
    workload_of,
)
from envs.telemetry.protocol import BoardSample
from tuner.device import Device
from tuner.model_at import at_rates

#: Faults of engines, and of the power sensor.
KILL, HANG, NO_MEMORY = "kill", "hang", "no_memory"
GONE, NAN, STUCK = "gone", "nan", "stuck"


class BrokenSensor:
    """A power sensor that reads about 10 W, with the faults that sensors have."""

    name, has_power = "injected", True

    def __init__(self) -> None:
        self.fault = ""
        self._rng = np.random.default_rng(0)

    def close(self) -> None:
        """Do nothing: it holds no resource."""

    def read(self) -> BoardSample:
        """Read the board, or fail as told."""
        if self.fault == GONE:
            raise OSError("No such device")
        watts = {NAN: math.nan, STUCK: 10.0}.get(
            self.fault, 10.0 + 0.1 * self._rng.standard_normal()
        )
        return BoardSample(time_s=time.perf_counter(), total_w=watts)


class BrokenFactory:
    """Real sessions; `faults` names what happens to the next engine that runs or is loaded."""

    def __init__(self, factory: OnnxEngineFactory) -> None:
        self._factory = factory
        self.faults: list[str] = []
        self.released = threading.Event()

    def load(self, tenant: int, accelerator: int, threads: int) -> Engine:
        """Load an engine, or fail as told."""
        if NO_MEMORY in self.faults:
            self.faults.remove(NO_MEMORY)
            raise ConfigurationFailed(
                Failure(FailureKind.OUT_OF_MEMORY, "injected: cannot allocate")
            )
        return BrokenEngine(self._factory.load(tenant, accelerator, threads), self)

    def close(self) -> None:
        """Release it."""
        self.released.set()
        self._factory.close()


class BrokenEngine:
    """A real session that fails when it is told to."""

    def __init__(self, engine: Engine, factory: BrokenFactory) -> None:
        self._engine = engine
        self._factory = factory

    def run(self, inputs: Arrays) -> Arrays:
        """Run a batch, or fail as told."""
        if KILL in self._factory.faults:
            self._factory.faults.remove(KILL)
            raise RuntimeError("injected: the engine died")
        if HANG in self._factory.faults:
            self._factory.faults.remove(HANG)
            self._factory.released.wait()
        return self._engine.run(inputs)

    def close(self) -> None:
        """Release it."""
        self._engine.close()


class LiveWorld:
    """Real sessions of a small network on this computer, and a client that uses them."""

    def __init__(self, folder: Path, period_s: float, rate_ips: float = 60.0) -> None:
        self.path = folder / "small.onnx"
        if not self.path.exists():
            onnx.save(build("squeezenet1_1", image_size=64, classes=10), self.path)
        self.cache = folder / "cache"
        network, layers = read_network_and_layers(self.path)
        space = ConfigurationSpace(
            local_computer(), workload_of([network], [rate_ips]), 2, (1, 2, 4)
        )
        self.factory = BrokenFactory(OnnxEngineFactory(space, [self.path], self.cache))
        for batch in space.batches:
            self.factory._factory.build(0, 1, batch)
        self.sensor = BrokenSensor()
        self.runtime = ServingRuntime(
            space,
            self.factory,
            self.sensor,
            ServingOptions(timeout_s=period_s, warmup_s=0.1, outside=True),
        )
        self.client = Client(self.runtime, rate_ips)
        self.service = Device(
            self.runtime, lambda rates: model_for(at_rates(space, rates), (layers,))
        )

    def begin(self) -> None:
        """Start the client."""
        self.client.start()

    def break_engine(self, fault: str) -> None:
        """Let the next engine fail."""
        self.factory.faults.append(fault)

    def pending(self) -> list[str]:
        """Return the faults that were asked for and have not happened yet."""
        return self.factory.faults

    def break_sensor(self, fault: str) -> None:
        """Let the sensor fail from now on."""
        self.sensor.fault = fault

    def arrivals_times(self, factor: float) -> None:
        """Multiply the rate of arrivals."""
        self.client.rate_ips *= factor

    def damage_cache(self) -> None:
        """Cut the cached networks short."""
        for path in self.cache.glob("*.onnx"):
            path.write_bytes(path.read_bytes()[:1000])

    def end(self) -> int:
        """Stop, and count the requests that were lost silently."""
        self.client.stop()
        self.factory.released.set()
        self.runtime.close()
        return self.client.silent()


class SimulatedWorld:
    """A board of the model, behind a runtime that fails when told to."""

    def __init__(self, folder: Path, period_s: float, rate_ips: float = 400.0) -> None:
        device = device_of("agx_orin_64", "30W")
        self._layers = (reference_network("resnet50"),)
        space = ConfigurationSpace(
            device, workload_of([described(self._layers[0])], [rate_ips]), 3, (1, 4, 16)
        )
        self._rate_ips = rate_ips
        self.runtime = BrokenRuntime(SimulatedRuntime(model_for(space, self._layers)))
        self.service = Device(self.runtime, self.model_at)

    def model_at(self, rates_ips: tuple[float, ...]) -> DeviceModel:
        """Return the device model at arrival rates."""
        return model_for(at_rates(self.runtime.space, rates_ips), self._layers)

    def begin(self) -> None:
        """Do nothing: there is no client."""

    def break_engine(self, fault: str) -> None:
        """Let the next engine fail."""
        self.runtime.faults.append(fault)

    def pending(self) -> list[str]:
        """Return the faults that were asked for and have not happened yet."""
        return self.runtime.faults

    def break_sensor(self, fault: str) -> None:
        """Let the sensor fail from now on."""
        self.runtime.sensor_fault = fault

    def arrivals_times(self, factor: float) -> None:
        """Multiply the rate of arrivals."""
        self._rate_ips *= factor
        self.runtime.become(SimulatedRuntime(self.model_at((self._rate_ips,)), seed=1))

    def damage_cache(self) -> None:
        """Do nothing: the model has no cache."""

    def end(self) -> int:
        """Close; the model loses no request."""
        self.runtime.close()
        return 0


class BrokenRuntime(FailingRuntime):
    """A simulated device that fails when it is told to."""

    def __init__(self, inner: SimulatedRuntime) -> None:
        super().__init__(inner)
        self.faults: list[str] = []
        self.sensor_fault = ""
        self._lost = False

    def become(self, inner: SimulatedRuntime) -> None:
        """Replace the device; the new one serves what the one before served."""
        if self._current is not None:
            inner.apply(self._current)
        self._inner = inner

    def apply(self, configuration: Configuration) -> Transition:
        """Apply a configuration, or fail as told."""
        loads = self._lost or configuration != self._current
        if NO_MEMORY in self.faults and loads:
            self.faults.remove(NO_MEMORY)
            raise ConfigurationFailed(
                Failure(FailureKind.OUT_OF_MEMORY, "injected: cannot allocate")
            )
        transition = self._inner.apply(configuration)
        self._current, self._lost = configuration, False
        return transition

    def measure(self, window_s: float) -> Measurement:
        """Measure a window, or fail as told."""
        for fault, kind in ((KILL, FailureKind.INSTANCE_LOST), (HANG, FailureKind.TIMED_OUT)):
            if fault in self.faults:
                self.faults.remove(fault)
                self._lost = True
                raise ConfigurationFailed(Failure(kind, "injected"))
        found = self._inner.measure(window_s)
        if self.sensor_fault:  # `envs.telemetry.meter` reports it like this
            return replace(
                found,
                power_w=math.nan,
                energy_j=math.nan,
                sensor_fault=f"injected: {self.sensor_fault}",
            )
        return found


World = Union[LiveWorld, SimulatedWorld]
WORLDS: dict[str, Callable[[Path, float], World]] = {
    "onnxruntime": LiveWorld,
    "simulated": SimulatedWorld,
}
