"""What every runtime promises. A new one is tested by adding a line to `RUNTIMES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.errors import ObjectiveError, RuntimeFault
from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import onnxruntime_runtime
from envs.runtimes.protocol import Runtime, check_objective, try_configuration
from envs.runtimes.replayed import ReplayedRuntime
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.simulated import SimulatedRuntime
from envs.runtimes.tensorrt.device import jetson_device
from envs.runtimes.tensorrt.factory import tensorrt_runtime
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.simulator.device_model import model_for
from envs.spec.device import accelerator
from envs.spec.measurement import ConfigurationFailed, Failure, FailureKind, Measurement, Origin
from envs.spec.objective import Objective
from envs.spec.space import Configuration, ConfigurationSpace
from envs.spec.workload import workload_of
from envs.telemetry.none import NoSensor
from tests.envs.runtimes.hardware import missing_for_dla, missing_for_tensorrt
from tests.envs.runtimes.serving.streamed import StreamedFactory
from tests.envs.runtimes.tensorrt.worlds import World
from tests.worlds import space, write_trace


def live(small_onnx: Path, cache: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
    return onnxruntime_runtime(request.getfixturevalue("live_space"), [small_onnx], cache)


def replayed(
    small_onnx: Path, cache: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> Runtime:
    return ReplayedRuntime(
        write_trace(tmp_path / "t.parquet", space(max_instances=2, batches=(1, 4)))
    )


def simulated(
    small_onnx: Path, cache: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> Runtime:
    return SimulatedRuntime(model_for(space(max_instances=2, batches=(1, 4))))


def streamed(
    small_onnx: Path, cache: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> Runtime:
    space = request.getfixturevalue("live_space")
    return ServingRuntime(
        space, StreamedFactory(space, [small_onnx], cache), NoSensor(), ServingOptions()
    )


def in_tensorrt(
    small_onnx: Path, cache: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> Runtime:
    """Over stand-ins for TensorRT and the GPU."""
    world = World((small_onnx, read_network(small_onnx)), tmp_path, accelerators=("cuda", "dla0"))
    world.factory.prepare()
    return ServingRuntime(world.space, world.factory, NoSensor(), ServingOptions())


def in_tensorrt_on_a_gpu(
    small_onnx: Path, cache: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> Runtime:
    skip_if(missing_for_tensorrt())
    return tensorrt_on(("cuda", "tensor"), small_onnx, cache)


def in_tensorrt_on_a_jetson(
    small_onnx: Path, cache: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> Runtime:
    skip_if(missing_for_dla())
    return tensorrt_on(("tensor", "dla0"), small_onnx, cache)


def tensorrt_on(names: tuple[str, ...], path: Path, cache: Path) -> Runtime:
    """Engines are built once for all tests."""
    device = jetson_device()
    skip_if(
        ""
        if set(names) <= set(device.accelerator_names)
        else f"this GPU has only {', '.join(device.accelerator_names)}"
    )
    device = replace(device, accelerators=tuple(accelerator(name) for name in names))
    space = ConfigurationSpace(device, workload_of([read_network(path)]), 2, (1, 4))
    return tensorrt_runtime(
        space, [path], cache / "tensorrt", build_options=BuildOptions(level=1, samples=1)
    )


def skip_if(reason: str) -> None:
    if reason:
        pytest.skip(reason)


RUNTIMES = {
    "onnxruntime": (live, Origin.MEASURED),
    "streams": (streamed, Origin.MEASURED),
    "tensorrt": (in_tensorrt, Origin.MEASURED),
    "tensorrt-gpu": (in_tensorrt_on_a_gpu, Origin.MEASURED),
    "tensorrt-jetson": (in_tensorrt_on_a_jetson, Origin.MEASURED),
    "replayed": (replayed, Origin.REPLAYED),
    "simulated": (simulated, Origin.SIMULATED),
}

#: What these need; what it is that is missing here is said where they are skipped.
MARKS = {
    "tensorrt-gpu": pytest.mark.gpu,
    "tensorrt-jetson": pytest.mark.jetson,
}

FIRST = Configuration((((1, 1), (0, 0)),))
SECOND = Configuration((((1, 1), (1, 4)),))
INVALID = Configuration((((1, 3), (0, 0)),))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(name, ())) for name in RUNTIMES]
)
class TestRuntime:
    @pytest.fixture
    def runtime(
        self,
        name: str,
        small_onnx: Path,
        cache: Path,
        request: pytest.FixtureRequest,
        tmp_path: Path,
    ) -> Runtime:
        make: Callable[..., Runtime] = RUNTIMES[name][0]
        return make(small_onnx, cache, request, tmp_path)

    def test_measures_what_is_applied_and_says_where_it_comes_from(
        self, name: str, runtime: Runtime
    ) -> None:
        with runtime:
            for configuration in (FIRST, SECOND):
                transition = runtime.apply(configuration)
                measurement = runtime.measure(0.2)
                assert transition.apply_s >= 0
                assert measurement.origin is RUNTIMES[name][1] is runtime.origin
                assert len(measurement.tenants) == runtime.space.shape[0]
                assert (measurement.throughput_ips > 0).all()
                tenant = measurement.tenants[0]
                assert 0 < tenant.p50_ms <= tenant.p95_ms <= tenant.p99_ms
                assert len(measurement.threads) == configuration.total_instances
                assert measurement.cost_s > 0

    def test_an_invalid_configuration_is_a_typed_failure_and_the_old_one_stays(
        self, name: str, runtime: Runtime
    ) -> None:
        with runtime:
            runtime.apply(FIRST)
            with pytest.raises(ConfigurationFailed) as error:
                runtime.apply(INVALID)
            assert error.value.failure.kind is FailureKind.INVALID
            assert len(runtime.measure(0.2).threads) == 1
            outcome = try_configuration(runtime, INVALID, 0.2)
            assert isinstance(outcome, Failure)

    def test_measuring_before_applying_is_refused(self, name: str, runtime: Runtime) -> None:
        with runtime, pytest.raises(RuntimeFault, match="apply a configuration first"):
            runtime.measure(0.2)

    def test_close_is_idempotent_and_final(self, name: str, runtime: Runtime) -> None:
        runtime.apply(FIRST)
        runtime.close()
        runtime.close()
        with pytest.raises(RuntimeFault, match="closed"):
            runtime.apply(FIRST)
        with pytest.raises(RuntimeFault, match="closed"):
            runtime.measure(0.2)

    def test_power_is_nan_where_there_is_no_sensor_and_its_limit_refused(
        self, name: str, runtime: Runtime
    ) -> None:
        with runtime:
            outcome = try_configuration(runtime, FIRST, 0.2)
            assert isinstance(outcome, Measurement)
            assert runtime.has_power == bool(np.isfinite(outcome.power_w))
            if not runtime.has_power:
                with pytest.raises(ObjectiveError, match="measures no power"):
                    check_objective(runtime, Objective((50.0,), 10.0))
