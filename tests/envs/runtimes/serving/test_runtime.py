"""The live runtime on a real network: answers, changes and interference."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from envs.errors import RuntimeFault
from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.serving.interference import DISTURBED_SHARE, CpuReading, foreign_share
from envs.runtimes.serving.load import sample_pool
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import ConfigurationSpace
from envs.telemetry.none import NoSensor
from envs.testing.engines import ScriptedEngine, ScriptedFactory
from tests.envs.runtimes.serving.streamed import configuration


@pytest.fixture
def runtime(
    live_space: ConfigurationSpace, small_onnx: Path, cache: Path
) -> Iterator[ServingRuntime]:
    factory = OnnxEngineFactory(live_space, [small_onnx], cache)
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        yield runtime


def test_the_answers_are_the_networks_own(runtime: ServingRuntime, small_onnx: Path) -> None:
    """Answers through queue and batches equal those of the file itself."""
    runtime.apply(configuration((2, 4), (0, 0)))
    samples = [sample[0] for sample in sample_pool(read_network(small_onnx), seed=5, count=8)]
    futures = [runtime.submit("small", sample) for sample in samples] + [
        runtime.submit(0, {"input": samples[0]})
    ]
    session = onnxruntime.InferenceSession(str(small_onnx), providers=["CPUExecutionProvider"])
    for sample, future in zip([*samples, samples[0]], futures, strict=True):
        expected = session.run(None, {"input": sample[None]})[0][0]
        np.testing.assert_allclose(future.result(60)["logits"], expected, rtol=1e-4, atol=1e-5)


def test_int8_answers_come_from_a_quantised_graph(
    runtime: ServingRuntime, small_onnx: Path
) -> None:
    samples = sample_pool(read_network(small_onnx), seed=5, count=8)
    answers = []
    for config in (configuration((1, 1), (0, 0)), configuration((0, 0), (1, 1))):
        runtime.apply(config)
        answers.append(
            np.concatenate(
                [runtime.submit("small", sample).result(60)["logits"] for sample in samples]
            )
        )
    assert not np.array_equal(*answers)
    assert np.corrcoef(*answers)[0, 1] > 0.5, "of the same network"


def test_wrong_inputs_are_refused_by_name(runtime: ServingRuntime) -> None:
    runtime.apply(configuration((1, 1), (0, 0)))
    with pytest.raises(RuntimeFault, match="no tenant is called 'big'"):
        runtime.submit("big", np.zeros((3, 48, 48), np.float32))
    with pytest.raises(
        RuntimeFault, match=r"must be float32 \[3, 48, 48\].*not float32 \[1, 3, 48, 48\]"
    ):
        runtime.submit("small", np.zeros((1, 3, 48, 48), np.float32))
    with pytest.raises(RuntimeFault, match="has 1 inputs, 2 were given"):
        runtime.submit(0, [np.zeros((3, 48, 48), np.float32)] * 2)
    with pytest.raises(RuntimeFault, match="no tenant is called 5"):
        runtime.submit(5, np.zeros((3, 48, 48), np.float32))
    with pytest.raises(RuntimeFault, match="'input' of small is missing"):
        runtime.submit("small", {"image": np.zeros((3, 48, 48), np.float32)})


def test_reconfiguring_keeps_what_did_not_change(runtime: ServingRuntime) -> None:
    first = runtime.apply(configuration((1, 1), (1, 1)))
    assert (first.kept, first.created, first.removed) == (0, 2, 0)
    batch = runtime.apply(configuration((1, 4), (1, 1)))
    assert (batch.kept, batch.created, batch.removed) == (2, 0, 0), (
        "a batch changes nothing that is loaded"
    )
    more = runtime.apply(configuration((1, 4), (2, 1)))
    assert (more.kept, more.created, more.removed) == (2, 1, 0)
    less = runtime.apply(configuration((0, 0), (1, 1)))
    assert (less.kept, less.created, less.removed) == (1, 0, 2)
    assert less.apply_s > 0


def test_requests_survive_a_reconfiguration(live_space: ConfigurationSpace) -> None:
    with ServingRuntime(live_space, ScriptedFactory(), NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((2, 1), (0, 0)))
        futures = [runtime.submit(0, np.zeros((3, 48, 48), np.float32)) for _ in range(60)]
        for config in (
            configuration((0, 0), (2, 4)),
            configuration((1, 4), (1, 1)),
            configuration((1, 1), (0, 0)),
        ):
            runtime.apply(config)
        assert not wait(futures, 60).not_done
        assert all(future.result()["logits"].shape == (10,) for future in futures)


def test_close_cancels_what_still_waits(live_space: ConfigurationSpace) -> None:
    factory = ScriptedFactory()
    runtime = ServingRuntime(live_space, factory, NoSensor(), ServingOptions())
    runtime.apply(configuration((1, 1), (0, 0)))
    factory.engines[0].pause_s = 1.0
    futures = [runtime.submit(0, np.zeros((3, 48, 48), np.float32)) for _ in range(5)]
    runtime.close()
    assert all(future.done() for future in futures)
    assert sum(future.cancelled() for future in futures) >= 3
    with pytest.raises(RuntimeFault, match="closed"):
        runtime.submit(0, np.zeros((3, 48, 48), np.float32))


def test_an_output_without_a_batch_belongs_to_every_request(live_space: ConfigurationSpace) -> None:
    class Scalar(ScriptedEngine):
        def run(self, inputs: Any) -> list[np.ndarray]:
            return [np.array(7.0, np.float32)]

    class Factory(ScriptedFactory):
        def make(self, tenant: int, accelerator: int, threads: int) -> ScriptedEngine:
            return Scalar()

    with ServingRuntime(live_space, Factory(), NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 4), (0, 0)))
        futures = [runtime.submit(0, [np.zeros((3, 48, 48), np.float32)]) for _ in range(6)]
        assert [float(future.result(60)["logits"]) for future in futures] == [7.0] * 6


@pytest.fixture
def one_core() -> Iterator[None]:
    """Let this thread, and threads and processes that it starts, use one core alone."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be bound here")
@pytest.mark.usefixtures("one_core")
def test_a_window_that_something_else_disturbed_is_marked(runtime: ServingRuntime) -> None:
    """Another process keeps the only core busy, of however many the computer has."""
    runtime.apply(configuration((1, 1), (0, 0)))
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    ) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        measurement = runtime.measure(0.5)
        busy.kill()
    assert measurement.disturbed
    assert measurement.foreign_share > 0.1


def test_our_own_work_is_not_foreign() -> None:
    before = CpuReading(busy_s=100.0, own_s=10.0, wall_s=0.0, cores=2)
    assert foreign_share(before, CpuReading(102.0, 12.0, 1.0, 2)) == 0.0
    assert foreign_share(before, CpuReading(102.0, 11.0, 1.0, 2)) == pytest.approx(0.5)
    assert np.isnan(foreign_share(None, before))
    assert DISTURBED_SHARE < 0.05
