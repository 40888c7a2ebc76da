"""The live runtime on a real network: answers, batches, load, changes, interference, losses."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from envs.errors import OptionError, RuntimeFault
from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.serving.interference import DISTURBED_SHARE, CpuReading, foreign_share
from envs.runtimes.serving.load import sample_pool
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.placement import slots_of, threads_of
from envs.runtimes.serving.queue import Request, RequestQueue
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec.device import DeviceSpec, accelerator, local_computer
from envs.spec.measurement import ConfigurationFailed, FailureKind
from envs.spec.space import Configuration, ConfigurationSpace
from envs.spec.workload import workload_of
from envs.telemetry.none import NoSensor
from envs.testing.engines import ScriptedEngine, ScriptedFactory


def configuration(fp32: tuple[int, int], int8: tuple[int, int]) -> Configuration:
    return Configuration(((fp32, int8),))


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
        np.testing.assert_allclose(future.result(10)["logits"], expected, rtol=1e-4, atol=1e-5)


def test_int8_answers_come_from_a_quantised_graph(
    runtime: ServingRuntime, small_onnx: Path
) -> None:
    samples = sample_pool(read_network(small_onnx), seed=5, count=8)
    answers = []
    for config in (configuration((1, 1), (0, 0)), configuration((0, 0), (1, 1))):
        runtime.apply(config)
        answers.append(
            np.concatenate(
                [runtime.submit("small", sample).result(10)["logits"] for sample in samples]
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
        assert not wait(futures, 20).not_done
        assert all(future.result()["logits"].shape == (10,) for future in futures)


def test_close_cancels_what_still_waits(live_space: ConfigurationSpace) -> None:
    runtime = ServingRuntime(live_space, ScriptedFactory(0.2), NoSensor(), ServingOptions())
    runtime.apply(configuration((1, 1), (0, 0)))
    futures = [runtime.submit(0, np.zeros((3, 48, 48), np.float32)) for _ in range(5)]
    runtime.close()
    assert all(future.done() for future in futures)
    assert sum(future.cancelled() for future in futures) >= 3
    with pytest.raises(RuntimeFault, match="closed"):
        runtime.submit(0, np.zeros((3, 48, 48), np.float32))


def test_a_closed_loop_fills_every_batch(live_space: ConfigurationSpace) -> None:
    factory = ScriptedFactory()
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 4), (2, 1)))
        measurement = runtime.measure(0.5)
    assert set(factory.engines[0].batches) == {4}
    assert measurement.overlap > 0.5
    # Each batch takes 10 ms whatever its size: (4 + 1 + 1) / 10 ms, less what the scheduler takes.
    assert 200 < measurement.throughput_ips[0] <= 600


def test_a_partial_batch_leaves_after_the_maximum_wait() -> None:
    queue = RequestQueue(max_wait_s=0.05)
    queue.put(Request((np.zeros(1),), None))
    began = time.perf_counter()
    taken = queue.take(lambda: 8, lambda: False)
    assert taken is not None
    assert len(taken) == 1
    assert time.perf_counter() - began >= 0.045


def test_an_open_loop_keeps_its_rate_and_does_not_hide_a_stall(small_onnx: Path) -> None:
    """The engine hangs for half a second; the generator goes on sending meanwhile."""
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([read_network(small_onnx)], [100.0]), 1, (1,)
    )
    factory = ScriptedFactory(0.001)
    with ServingRuntime(space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        calm = runtime.measure(1.0).tenants[0]
        stall = threading.Timer(0.5, factory.engines[0].go_on.clear)
        release = threading.Timer(1.0, factory.engines[0].go_on.set)
        stall.start()
        release.start()
        stalled = runtime.measure(1.0).tenants[0]
    assert 70 < calm.throughput_ips < 130
    assert calm.p50_ms < stalled.p99_ms / 3
    assert stalled.p99_ms > 350, "requests that were due in the stall waited for its end"
    assert stalled.requests > 0.6 * calm.requests, "the generator sent them all the same"


def test_an_overloaded_open_loop_says_so(small_onnx: Path) -> None:
    """50 answers per second are possible, 200 are asked for: latency grows, nothing hangs."""
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([read_network(small_onnx)], [200.0]), 1, (1,)
    )
    with ServingRuntime(space, ScriptedFactory(0.02), NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        measured = runtime.measure(0.6)
        assert measured.tenants[0].p99_ms > 400
        assert measured.throughput_ips[0] < 60
        runtime.apply(configuration((0, 0), (1, 1)))
        assert runtime.measure(0.3).tenants[0].requests > 0, "the backlog is gone with its load"


def test_two_tenants_are_measured_apart(
    live_space: ConfigurationSpace, small_onnx: Path, cache: Path
) -> None:
    network = read_network(small_onnx)
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([network, network], [float("inf"), 60.0]), 1, (1,)
    )
    factory = OnnxEngineFactory(space, [small_onnx, small_onnx], cache)
    with ServingRuntime(space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(Configuration((((1, 1), (0, 0)), ((0, 0), (1, 1)))))
        measurement = runtime.measure(0.8)
    assert space.workload.names == ("small", "small_2")
    assert measurement.throughput_ips[0] > measurement.throughput_ips[1]
    assert 25 < measurement.throughput_ips[1] < 100


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
        assert isinstance(future.exception(5), ConfigurationFailed)


def test_a_hanging_instance_times_out_and_is_replaced(live_space: ConfigurationSpace) -> None:
    factory = ScriptedFactory()
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions(timeout_s=0.4)) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        factory.engines[0].go_on.clear()
        with pytest.raises(ConfigurationFailed) as error:
            runtime.measure(0.3)
        assert error.value.failure.kind is FailureKind.TIMED_OUT
        assert error.value.failure.cost_s > 0.3
        began = time.perf_counter()
        assert runtime.apply(configuration((1, 1), (0, 0))).created == 1
        assert time.perf_counter() - began < 15, "nobody waits for the one that hangs"
        assert runtime.measure(0.2).throughput_ips[0] > 0
        factory.engines[0].go_on.set()


def test_nobody_waits_for_an_answer_that_cannot_come(live_space: ConfigurationSpace) -> None:
    sample = np.zeros((3, 48, 48), np.float32)
    factory = ScriptedFactory(0.2)
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        with pytest.raises(RuntimeFault, match="no instance of small is alive"):
            runtime.submit(0, sample)
        runtime.apply(configuration((1, 1), (0, 0)))
        factory.engines[0].broken = True
        futures = [runtime.submit(0, sample) for _ in range(5)]
        assert all(isinstance(future.exception(5), ConfigurationFailed) for future in futures), (
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
        assert [float(future.result(5)["logits"]) for future in futures] == [7.0] * 6


def test_an_open_loop_that_got_no_request_is_a_typed_failure(small_onnx: Path) -> None:
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([read_network(small_onnx)], [0.001]), 1, (1,)
    )
    with ServingRuntime(
        space, ScriptedFactory(), NoSensor(), ServingOptions(max_window_s=0.3)
    ) as runtime:
        runtime.apply(configuration((1, 1), (0, 0)))
        with pytest.raises(ConfigurationFailed, match="small got no request in"):
            runtime.measure(0.1)


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


def test_a_window_that_something_else_disturbed_is_marked(runtime: ServingRuntime) -> None:
    """Another process keeps the cores busy."""
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


@pytest.mark.parametrize(
    ("cores", "instances", "threads"),
    [(2, 1, [2]), (2, 2, [1, 1]), (2, 5, [1] * 5), (8, 3, [3, 3, 2]), (12, 5, [3, 3, 2, 2, 2])],
)
def test_the_rule_for_threads(cores: int, instances: int, threads: list[int]) -> None:
    assert threads_of(cores, instances) == threads
    assert sum(threads) == max(cores, instances)


def test_slots_follow_the_order_of_tenants_and_accelerators() -> None:
    computer = DeviceSpec(
        "computer", (accelerator("cpu_fp32"), accelerator("cpu_int8")), cores=8, memory_mib=1000
    )
    slots = slots_of(Configuration((((1, 4), (0, 0)), ((1, 1), (2, 2)))), computer)
    assert [(slot.tenant, slot.accelerator, slot.threads, slot.batch) for slot in slots] == [
        (0, 0, 2, 4),
        (1, 0, 2, 1),
        (1, 1, 2, 2),
        (1, 1, 2, 2),
    ]


def test_what_a_gpu_instance_is_loaded_for_does_not_depend_on_the_others() -> None:
    """Otherwise one more instance would reload every engine."""
    board = DeviceSpec(
        "board", (accelerator("cuda"), accelerator("cpu_fp32")), cores=8, memory_mib=1000
    )
    alone, beside = (slots_of(Configuration(((gpu, (2, 1)),)), board) for gpu in ((1, 1), (3, 1)))
    assert (
        {slot.engine_key for slot in alone}
        == {(0, 0, 1), (0, 1, 4)}
        == {slot.engine_key for slot in beside}
    )


def test_a_plain_computer_has_no_dla() -> None:
    with pytest.raises(OptionError, match="no accelerator 'dla0'"):
        local_computer(("dla0",))
    with pytest.raises(OptionError, match="cores=0 must lie in"):
        local_computer(cores=0)
