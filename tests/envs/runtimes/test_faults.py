"""Faults under a live runtime end in typed failures, and nobody waits for a lost answer."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest

from envs.errors import RuntimeFault, StorageError
from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngineFactory
from envs.runtimes.serving.engine import Arrays
from envs.runtimes.serving.instance import Instance, Slot
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import (
    ConfigurationFailed,
    ConfigurationSpace,
    FailureKind,
    local_computer,
    workload_of,
)
from envs.telemetry.none import NoSensor
from envs.testing.engines import ScriptedEngine, ScriptedFactory, build_every
from tests.envs.runtimes.serving.streamed import configuration, impatient

SAMPLE = np.zeros((3, 48, 48), np.float32)
ENDS_A_THREAD = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def at_rate(path: Path, rate_ips: float) -> ConfigurationSpace:
    return ConfigurationSpace(
        local_computer(cores=1), workload_of([read_network(path)], [rate_ips]), 1, (1,)
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), FailureKind.BUILD_FAILED),
        (
            StorageError("the engine cache cannot be written: give a folder with room"),
            FailureKind.BUILD_FAILED,
        ),
        (MemoryError(), FailureKind.OUT_OF_MEMORY),
        (RuntimeError("cuMemAlloc failed: out of memory"), FailureKind.OUT_OF_MEMORY),
    ],
)
def test_whatever_loading_raises_is_a_typed_failure_and_what_serves_goes_on(
    live_space: ConfigurationSpace, error: Exception, kind: FailureKind
) -> None:
    factory = ScriptedFactory(errors={1: error})
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1)))
        with pytest.raises(ConfigurationFailed, match="small cannot be loaded") as failed:
            runtime.apply(configuration((1, 1), (1, 1)))
        assert failed.value.failure.kind is kind
        assert runtime.submit(0, SAMPLE).result(60)


def test_where_the_quantised_copy_cannot_be_kept_the_graph_itself_serves(
    live_space: ConfigurationSpace, small_onnx: Path, tmp_path: Path
) -> None:
    occupied = tmp_path / "cache"
    occupied.write_text("a file, where the folder should be")
    factory = OnnxEngineFactory(live_space, [small_onnx], occupied)
    impossible = build_every(factory, live_space)
    assert set(impossible) == {(0, 1)}
    assert "give a folder with room" in str(impossible[0, 1])
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1)))
        with pytest.raises(ConfigurationFailed, match="give a folder with room"):
            runtime.apply(configuration((1, 1), (1, 1)))
        assert runtime.submit(0, SAMPLE).result(60)


def test_a_window_that_begins_when_nobody_is_alive_is_a_typed_failure(
    live_space: ConfigurationSpace,
) -> None:
    factory = ScriptedFactory()
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1)))
        factory.engines[0].broken = True
        assert runtime.submit(0, SAMPLE).exception(60)
        with pytest.raises(ConfigurationFailed, match="the accelerator has gone") as error:
            runtime.measure(0.1)
        assert error.value.failure.kind is FailureKind.INSTANCE_LOST


def test_the_last_instance_dies_between_two_requests_of_an_open_loop(small_onnx: Path) -> None:
    """Its load ends without a traceback, and the window names the lost instance."""
    factory = ScriptedFactory(0.001)
    with ServingRuntime(
        at_rate(small_onnx, 200.0), factory, NoSensor(), ServingOptions()
    ) as runtime:
        runtime.apply(configuration((1, 1)))
        threading.Timer(0.5, setattr, (factory.engines[0], "broken", True)).start()
        with pytest.raises(ConfigurationFailed) as error:
            runtime.measure(0.7)
        assert error.value.failure.kind is FailureKind.INSTANCE_LOST


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("after_s", [0.0, 0.6])
def test_one_that_hangs_takes_nobody_with_it(
    streams: bool, after_s: float, small_onnx: Path, cache: Path
) -> None:
    """During the warm-up, and while the window is open."""
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([read_network(small_onnx)]), 4, (1,)
    )
    sessions = OnnxEngineFactory(space, [small_onnx], cache)
    factory = ScriptedFactory(0.0, streams, inner=sessions)
    with ServingRuntime(space, factory, NoSensor(), ServingOptions(warmup_s=0.1)) as runtime:
        runtime.apply(configuration((4, 1)))
        timer = threading.Timer(after_s, factory.engines[2].go_on.clear)
        timer.start()
        if not after_s:
            timer.join()
        with impatient(runtime), pytest.raises(ConfigurationFailed) as error:
            runtime.measure(1.0)
        assert error.value.failure.kind is FailureKind.TIMED_OUT
        transition = runtime.apply(configuration((4, 1)))
        assert (transition.kept, transition.created) == (3, 1)
        assert runtime.measure(0.2).throughput_ips[0] > 0
        factory.engines[2].go_on.set()


def test_a_window_that_failed_leaves_no_log_that_grows(live_space: ConfigurationSpace) -> None:
    factory = ScriptedFactory()
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((2, 1)))
        factory.engines[1].broken = True
        with pytest.raises(ConfigurationFailed):
            runtime.measure(0.1)
        assert [instance.log for instance in runtime._admission.instances] == [None, None]


@ENDS_A_THREAD
@pytest.mark.parametrize("streams", [False, True])
def test_a_callback_that_ends_the_thread_leaves_nobody_waiting(
    streams: bool, live_space: ConfigurationSpace
) -> None:
    """SystemExit in a callback: its batch is answered, waiting requests get an error, and the next
    configuration loads a new instance."""
    factory = ScriptedFactory(streams=streams)
    options = ServingOptions(max_wait_ms=1e6)
    with ServingRuntime(live_space, factory, NoSensor(), options) as runtime:
        runtime.apply(configuration((1, 4)))
        factory.engines[0].go_on.clear()
        futures = [runtime.submit(0, SAMPLE) for _ in range(9)]
        futures[1].add_done_callback(lambda future: sys.exit(0))
        factory.engines[0].go_on.set()
        assert not wait(futures, 60).not_done
        assert all(future.exception() is None for future in futures[:4])
        assert all(isinstance(future.exception(), ConfigurationFailed) for future in futures[4:])
        with pytest.raises(RuntimeFault, match="no instance of small is alive"):
            runtime.submit(0, SAMPLE)
        assert runtime.apply(configuration((1, 4))).created == 1
        assert all(each.result(60) for each in [runtime.submit(0, SAMPLE) for _ in range(4)])


@ENDS_A_THREAD
def test_when_the_driver_ends_all_of_its_instances_are_lost(
    live_space: ConfigurationSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for what is on the device still, which would take longer than a test may."""
    factory = ScriptedFactory(streams=True)
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((2, 1)))
        factory.engines[1].go_on.clear()
        factory.engines[0].go_on.clear()
        futures = [runtime.submit(0, SAMPLE) for _ in range(6)]
        while not (futures[0].running() and futures[1].running()):
            time.sleep(0.001)
        futures[0].add_done_callback(lambda future: sys.exit(0))
        factory.engines[0].go_on.set()
        assert not wait(futures, 60).not_done
        with monkeypatch.context() as forever:
            forever.setattr("envs.runtimes.serving.streams.STOP_TIMEOUT_S", 1000.0)
            assert runtime.apply(configuration((2, 1))).created == 2
        assert all(future.result(60) for future in [runtime.submit(0, SAMPLE) for _ in range(6)])
        factory.engines[1].go_on.set()


@pytest.mark.parametrize("streams", [False, True])
def test_a_future_that_its_owner_has_settled_harms_nobody(
    streams: bool, live_space: ConfigurationSpace
) -> None:
    factory = ScriptedFactory(streams=streams)
    options = ServingOptions(max_wait_ms=1e6)
    with ServingRuntime(live_space, factory, NoSensor(), options) as runtime:
        runtime.apply(configuration((1, 4)))
        factory.engines[0].go_on.clear()
        futures = [runtime.submit(0, SAMPLE) for _ in range(8)]
        while not futures[3].running():
            time.sleep(0.001)
        for mine in (futures[1], futures[5]):  # one in hand, one that waits
            mine.set_result({})
        factory.engines[0].go_on.set()
        others = [future for position, future in enumerate(futures) if position not in (1, 5)]
        assert all("logits" in future.result(60) for future in others)
        assert runtime.apply(configuration((1, 4))).kept == 1


def test_a_last_instance_that_dies_before_it_counts_strands_nobody(
    live_space: ConfigurationSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory = ScriptedFactory()
    with ServingRuntime(live_space, factory, NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1)))
        factory.engines[0].go_on.clear()
        futures = [runtime.submit(0, SAMPLE)]
        while not futures[0].running():
            time.sleep(0.001)
        changing = runtime._changing
        create: Callable[[list[Slot], dict[Instance, Slot]], list[Instance]] = changing._create

        def late(slots: list[Slot], kept: dict[Instance, Slot]) -> list[Instance]:
            created = create(slots, kept)
            factory.engines[1].broken = True
            futures.extend(runtime.submit(0, SAMPLE) for _ in range(4))
            while created[0].error is None:
                time.sleep(0.001)
            factory.engines[0].go_on.set()
            factory.engines[0].pause_s = 1.0
            return created

        monkeypatch.setattr(changing, "_create", late)
        runtime.apply(configuration((0, 0), (1, 1)))
        assert not wait(futures, 60).not_done
        assert futures[0].result()
        assert sum(isinstance(future.exception(), ConfigurationFailed) for future in futures) >= 3


@pytest.mark.parametrize("kept", [False, True])
def test_a_proof_that_does_not_return_is_given_up(
    kept: bool, live_space: ConfigurationSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting(ScriptedEngine):
        most = now = 0

        def run(self, inputs: Arrays) -> Arrays:
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                return super().run(inputs)
            finally:
                self.now -= 1

    engines = [Counting(), Counting()]

    class Factory(ScriptedFactory):
        def make(self, tenant: int, accelerator: int, threads: int) -> ScriptedEngine:
            return engines[accelerator]

    with ServingRuntime(live_space, Factory(), NoSensor(), ServingOptions()) as runtime:
        runtime.apply(configuration((1, 1)))
        monkeypatch.setattr("envs.runtimes.serving.threads.STOP_TIMEOUT_S", 0.3)
        hung = engines[0 if kept else 1]
        hung.go_on.clear()
        with pytest.raises(
            ConfigurationFailed, match=r"cannot run a batch of 4: no answer within 0\.3 s"
        ) as error:
            runtime.apply(configuration((1, 4)) if kept else configuration((1, 1), (1, 4)))
        assert error.value.failure.kind is FailureKind.TIMED_OUT
        if kept:
            with pytest.raises(RuntimeFault, match="no instance of small is alive"):
                runtime.submit(0, SAMPLE)
        else:
            assert runtime.submit(0, SAMPLE).result(60)
    assert not hung.closed, "what it works on is not taken away under it"
    hung.go_on.set()
    assert hung.most == 1
