"""Instances that are lost, hang, or cannot be loaded."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import RuntimeFault
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import ConfigurationFailed, ConfigurationSpace, FailureKind
from envs.telemetry.none import NoSensor
from envs.testing.engines import ScriptedEngine, ScriptedFactory
from tests.envs.runtimes.serving.streamed import configuration, impatient


def test_a_lost_instance_is_a_typed_failure_and_the_next_configuration_heals_it(
    live_space: ConfigurationSpace,
) -> None:
    factory = ScriptedFactory()
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        factory.engines[0].broken = True
        with pytest.raises(ConfigurationFailed) as error:
            runtime.measure(0.3)
        assert error.value.failure.kind is FailureKind.INSTANCE_LOST
        assert "the accelerator has gone" in error.value.failure.reason
        assert runtime.apply(configuration((1, 1), (0, 0))).created == 1
        assert runtime.measure(0.2).throughput_ips[0] > 0


def test_a_request_to_a_lost_instance_fails_and_does_not_hang(
    live_space: ConfigurationSpace,
) -> None:
    factory = ScriptedFactory()
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        factory.engines[0].broken = True
        future: Future[Any] = runtime.submit(0, np.zeros((3, 48, 48), np.float32))
        assert isinstance(future.exception(60), ConfigurationFailed)


def test_a_hanging_instance_times_out_and_is_replaced(
    live_space: ConfigurationSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the one that hangs, which would take longer than a test may."""
    monkeypatch.setattr("envs.runtimes.serving.threads.STOP_TIMEOUT_S", 1000.0)
    factory = ScriptedFactory()
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        factory.engines[0].go_on.clear()
        with impatient(runtime, 0.4), pytest.raises(ConfigurationFailed) as error:
            runtime.measure(0.3)
        assert error.value.failure.kind is FailureKind.TIMED_OUT
        assert error.value.failure.cost_s > 0.3
        assert error.value.failure.place == (0, 0, 1), "so that its accelerator can be left out"
        assert runtime.apply(configuration((1, 1), (0, 0))).created == 1
        assert runtime.measure(0.2).throughput_ips[0] > 0
        factory.engines[0].go_on.set()


def test_nobody_waits_for_an_answer_that_cannot_come(live_space: ConfigurationSpace) -> None:
    sample = np.zeros((3, 48, 48), np.float32)
    factory = ScriptedFactory()
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        with pytest.raises(RuntimeFault, match="no instance of small is alive"):
            runtime.submit(0, sample)
        runtime.apply(configuration((1, 1), (0, 0)))
        factory.engines[0].go_on.clear()
        futures = [runtime.submit(0, sample) for _ in range(5)]
        factory.engines[0].broken = True
        factory.engines[0].go_on.set()
        assert all(isinstance(future.exception(60), ConfigurationFailed) for future in futures), (
            "those that waited behind it are told too"
        )
        with pytest.raises(RuntimeFault, match="no instance of small is alive"):
            runtime.submit(0, sample)


def test_a_batch_that_cannot_run_is_found_before_anything_changes(
    live_space: ConfigurationSpace,
) -> None:
    class Factory(ScriptedFactory):
        def make(self, tenant: int, accelerator: int, threads: int) -> ScriptedEngine:
            engine = super().make(tenant, accelerator, threads)
            engine.largest = 2
            return engine

    with ServingRuntime(live_space, Factory(), NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        for impossible in (
            configuration((1, 4), (0, 0)),
            configuration((0, 0), (1, 4)),
        ):  # kept, and new
            with pytest.raises(ConfigurationFailed) as error:
                runtime.apply(impossible)
            assert error.value.failure.kind is FailureKind.OUT_OF_MEMORY
        assert runtime.measure(0.2).throughput_ips[0] > 0


def test_what_cannot_be_loaded_leaves_the_old_configuration_live(
    live_space: ConfigurationSpace,
) -> None:
    with ServingRuntime(
        live_space,
        ScriptedFactory(errors={1: MemoryError("cannot allocate")}),
        NoSensor(),
        ServingOptions(),
    ) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        with pytest.raises(
            ConfigurationFailed, match="small cannot be loaded: cannot allocate"
        ) as error:
            runtime.apply(configuration((1, 1), (1, 1)))
        assert error.value.failure.kind is FailureKind.OUT_OF_MEMORY
        assert runtime.measure(0.2).throughput_ips[0] > 0


def test_a_graph_that_cannot_be_loaded_is_a_typed_failure(
    live_space: ConfigurationSpace, small_onnx: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(small_onnx.read_bytes()[:2000])
    with pytest.raises(ConfigurationFailed) as error:
        OnnxEngineFactory(live_space, [broken], tmp_path).load(0, 0, 1)
    assert error.value.failure.kind is FailureKind.BUILD_FAILED
    assert "\n" not in str(error.value)
