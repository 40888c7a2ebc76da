"""Every runtime passes the contract."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.protocol import Runtime
from envs.runtimes.replayed import ReplayedRuntime
from envs.runtimes.serving.engine import EngineFactory
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.simulated import SimulatedRuntime
from envs.runtimes.tensorrt import instance_streams
from envs.runtimes.tensorrt.device import jetson_device
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.simulator.known_devices import model_for
from envs.spec import ConfigurationSpace, Origin, accelerator, workload_of
from envs.telemetry.none import NoSensor
from envs.testing.engines import build_every
from envs.testing.runtime_contract import RuntimeContract
from tests.envs.runtimes.hardware import missing_for_dla, missing_for_tensorrt
from tests.envs.runtimes.serving.streamed import StreamedFactory
from tests.envs.runtimes.tensorrt.worlds import MixedWorld, World
from tests.standins.tensorrt.driver import FakeCalls
from tests.worlds import space, write_trace


def serving(space: ConfigurationSpace, factory: EngineFactory) -> ServingRuntime:
    return ServingRuntime(space, factory, NoSensor(), ServingOptions(warmup_s=0.1))


class TestOnnxRuntime(RuntimeContract):
    @pytest.fixture
    def runtime(self, live_space: ConfigurationSpace, small_onnx: Path, cache: Path) -> Runtime:
        return serving(live_space, OnnxEngineFactory(live_space, [small_onnx], cache))


class TestStreams(RuntimeContract):
    @pytest.fixture
    def runtime(self, live_space: ConfigurationSpace, small_onnx: Path, cache: Path) -> Runtime:
        return serving(live_space, StreamedFactory(live_space, [small_onnx], cache))


class TestTensorRT(RuntimeContract):
    """Over stand-ins for TensorRT and the GPU."""

    @pytest.fixture
    def runtime(self, small_onnx: Path, tmp_path: Path) -> Runtime:
        small = small_onnx, read_network(small_onnx)
        world = World(small, tmp_path, accelerators=("cuda", "dla0"))
        world.build_every()
        return serving(world.space, world.factory)


class TestTensorRTWithPriorities(RuntimeContract):
    """The same with a critical network and best effort, whose streams have priorities."""

    refused: tuple[str, ...] = ()

    @pytest.fixture
    def runtime(
        self, small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Runtime]:
        small = small_onnx, read_network(small_onnx)
        world = MixedWorld(small, tmp_path, accelerators=("cuda", "dla0"))
        calls = FakeCalls(world.driver, *self.refused)
        monkeypatch.setattr(instance_streams, "driver_calls", lambda driver, names: calls)
        world.build_every()
        yield serving(world.space, world.factory)
        assert not calls.streams
        assert not calls.events


class TestTensorRTWithRefusedPriorities(TestTensorRTWithPriorities):
    refused = ("cuStreamCreateWithPriority",)


@pytest.mark.gpu
class TestTensorRTOnAGpu(RuntimeContract):
    @pytest.fixture
    def runtime(self, small_onnx: Path, cache: Path) -> Runtime:
        skip_if(missing_for_tensorrt())
        return tensorrt_on(("cuda", "tensor"), small_onnx, cache)


@pytest.mark.jetson
class TestTensorRTOnAJetson(RuntimeContract):
    @pytest.fixture
    def runtime(self, small_onnx: Path, cache: Path) -> Runtime:
        skip_if(missing_for_dla())
        return tensorrt_on(("tensor", "dla0"), small_onnx, cache)


class TestReplayed(RuntimeContract):
    origin = Origin.REPLAYED

    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Runtime:
        recorded = space(max_instances=2, batches=(1, 4))
        return ReplayedRuntime(write_trace(tmp_path / "t.parquet", recorded))


class TestSimulated(RuntimeContract):
    origin = Origin.SIMULATED

    @pytest.fixture
    def runtime(self) -> Runtime:
        return SimulatedRuntime(model_for(space(max_instances=2, batches=(1, 4))))


def tensorrt_on(names: tuple[str, ...], path: Path, cache: Path) -> Runtime:
    """Return the runtime on this GPU; engines are built once for all tests."""
    device = jetson_device()
    skip_if(
        ""
        if set(names) <= set(device.accelerator_names)
        else f"this GPU has only {', '.join(device.accelerator_names)}"
    )
    device = replace(device, accelerators=tuple(accelerator(name) for name in names))
    space = ConfigurationSpace(device, workload_of([read_network(path)]), 2, (1, 4))
    options = BuildOptions(level=1, samples=1)
    factory = TensorRTEngineFactory(space, [path], cache / "tensorrt", options)
    assert build_every(factory, space) == {}
    return serving(space, factory)


def skip_if(reason: str) -> None:
    if reason:
        pytest.skip(reason)
