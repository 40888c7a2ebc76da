"""One thread that drives many engines keeps the promises of one thread for each."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import RuntimeFault
from envs.graph.reading import read_network
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import (
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    FailureKind,
    local_computer,
    workload_of,
)
from envs.telemetry.none import NoSensor
from tests.envs.runtimes.serving.streamed import (
    SAMPLE,
    StreamedFactory,
    configuration,
    full_batches,
    impatient,
)


def is_of(answer: np.ndarray, expected: np.ndarray) -> bool:
    """Return True if an answer is that of one accelerator; `expected` is [accelerator, class]."""
    return bool(np.abs(answer - expected).max(axis=1).min() < 1e-3)


def drivers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "stream-driver"]


def test_one_thread_drives_many_instances_and_mixes_nothing_up(
    runtime: ServingRuntime,
    factory: StreamedFactory,
    samples: list[np.ndarray],
    expected: np.ndarray,
) -> None:
    runtime.apply(configuration((4, 4), (2, 1)))
    assert len(drivers()) == 1
    for stream in factory.streams:
        stream.launchers.clear()
    for session in factory.sessions:
        session.go_on.clear()
    futures = [runtime.submit("small", samples[turn % 16]) for turn in range(400)]
    for session in factory.sessions:
        session.go_on.set()
    answers = [future.result(60)["logits"] for future in futures]
    assert all(is_of(answer, expected[:, turn % 16]) for turn, answer in enumerate(answers))
    assert {name for stream in factory.streams for name in stream.launchers} == {"stream-driver"}
    assert all(stream.launchers for stream in factory.streams), "everybody gets work"


def test_a_closed_loop_fills_every_batch_of_every_instance(
    runtime: ServingRuntime, factory: StreamedFactory
) -> None:
    runtime.apply(configuration((2, 4), (3, 1)))
    with full_batches(runtime):
        measurement = runtime.measure(0.5)
    assert measurement.throughput_ips[0] > 0
    assert len(measurement.threads) == 5
    assert {size for session in factory.sessions[:2] for size in session.batches} == {4}
    assert {size for session in factory.sessions[2:] for size in session.batches} == {1}


def test_two_tenants_each_get_their_own_answers(
    small_onnx: Path, other_onnx: Path, cache: Path
) -> None:
    space = ConfigurationSpace(
        local_computer(("cpu_fp32",), cores=1),
        workload_of([read_network(small_onnx), read_network(other_onnx)]),
        2,
        (1, 4),
    )
    with ServingRuntime(
        space, StreamedFactory(space, [small_onnx, other_onnx], cache), NoSensor(), ServingOptions()
    ) as runtime:
        runtime.apply(Configuration((((2, 4),), ((2, 1),))))
        assert len(drivers()) == 1
        futures = [
            (runtime.submit(0, SAMPLE), runtime.submit(1, np.zeros((3, 32, 32), np.float32)))
            for _ in range(30)
        ]
        for one, other in futures:
            assert one.result(60)["logits"].shape == (10,)
            assert other.result(60)["logits"].shape == (5,)
        assert (runtime.measure(0.3).throughput_ips > 0).all()


def test_what_is_cancelled_is_not_served(runtime: ServingRuntime, factory: StreamedFactory) -> None:
    runtime.apply(configuration((1, 1)))
    session = factory.sessions[0]
    session.go_on.clear()
    futures = [runtime.submit(0, SAMPLE) for _ in range(6)]
    while not futures[0].running():
        time.sleep(0.001)
    before = len(session.batches)
    assert all(future.cancel() for future in futures[2:5])
    assert not futures[0].cancel(), "it is on the device"
    session.go_on.set()
    assert [futures[kept].result(60)["logits"].shape for kept in (0, 1, 5)] == [(10,)] * 3
    assert len(session.batches) == before + 3


def test_a_partial_batch_leaves_after_the_maximum_wait_though_nothing_else_happens(
    runtime: ServingRuntime, factory: StreamedFactory
) -> None:
    runtime.apply(configuration((1, 8)))
    began = time.perf_counter()
    futures = [runtime.submit(0, SAMPLE) for _ in range(3)]
    assert all(future.result(60)["logits"].shape == (10,) for future in futures)
    assert time.perf_counter() - began >= 0.004
    assert factory.sessions[0].batches[0] == 8, "the proof"
    assert sum(factory.sessions[0].batches[1:]) == 3


def test_an_engine_that_raises_loses_only_its_own_instance(
    runtime: ServingRuntime, factory: StreamedFactory
) -> None:
    runtime.apply(configuration((3, 1)))
    factory.sessions[1].broken = True
    for session in factory.sessions:
        session.go_on.clear()
    futures = [runtime.submit(0, SAMPLE) for _ in range(60)]
    for session in factory.sessions:
        session.go_on.set()
    errors = [future.exception(60) for future in futures]
    lost = [error for error in errors if error is not None]
    assert len(lost) == 1
    assert isinstance(lost[0], ConfigurationFailed)
    assert lost[0].failure.kind is FailureKind.INSTANCE_LOST
    assert "the accelerator has gone" in lost[0].failure.reason
    transition = runtime.apply(configuration((3, 1)))
    assert (transition.kept, transition.created) == (2, 1)
    assert runtime.measure(0.2).throughput_ips[0] > 0


def test_nobody_waits_for_an_answer_that_cannot_come(
    runtime: ServingRuntime, factory: StreamedFactory
) -> None:
    runtime.apply(configuration((1, 1)))
    session = factory.sessions[0]
    session.go_on.clear()
    futures = [runtime.submit(0, SAMPLE) for _ in range(5)]
    session.broken = True
    session.go_on.set()
    assert all(isinstance(future.exception(60), ConfigurationFailed) for future in futures), (
        "those that waited behind it are told too"
    )
    with pytest.raises(RuntimeFault, match="no instance of small is alive"):
        runtime.submit(0, SAMPLE)


def test_one_that_hangs_is_abandoned_and_holds_up_nobody(
    runtime: ServingRuntime, factory: StreamedFactory
) -> None:
    runtime.apply(configuration((2, 1)))
    hung = factory.sessions[0]
    hung.go_on.clear()
    futures: list[Future[Any]] = [runtime.submit(0, SAMPLE) for _ in range(40)]
    while sum(future.done() for future in futures) < 39:  # the other instance serves all but one
        time.sleep(0.001)
    (waiting,) = (future for future in futures if not future.done())
    with impatient(runtime), pytest.raises(ConfigurationFailed) as error:
        runtime.measure(0.2)
    assert error.value.failure.kind is FailureKind.TIMED_OUT
    assert isinstance(waiting.exception(60), ConfigurationFailed), "who asked is told"
    transition = runtime.apply(configuration((2, 1)))
    assert (transition.kept, transition.created) == (1, 1)
    assert runtime.measure(0.2).throughput_ips[0] > 0
    assert not hung.closed, "what it works on is not taken away under it"


def test_changes_by_difference_lose_nothing_while_requests_flow(
    runtime: ServingRuntime, samples: list[np.ndarray], expected: np.ndarray
) -> None:
    """Clients never stop while batches, instances and accelerators change."""
    runtime.apply(configuration((2, 1)))
    futures: list[tuple[int, Future[Any]]] = []
    over = threading.Event()

    def client() -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            futures.append((turn % 16, runtime.submit(0, samples[turn % 16])))
            if turn % 8 == 0:
                futures[-1][1].result(60)

    thread = threading.Thread(target=client)
    thread.start()
    steps = [
        ((2, 4), (0, 0)),
        ((4, 4), (0, 0)),
        ((4, 1), (1, 8)),
        ((1, 8), (2, 1)),
        ((1, 1), (0, 0)),
        ((3, 4), (3, 4)),
        ((2, 1), (0, 0)),
    ]
    changes = [runtime.apply(configuration(*step)) for step in steps]
    over.set()
    thread.join()
    assert [(change.kept, change.created, change.removed) for change in changes] == [
        (2, 0, 0),
        (2, 2, 0),
        (4, 1, 0),
        (2, 1, 3),
        (1, 0, 2),
        (1, 5, 0),
        (2, 0, 4),
    ]
    assert len(futures) > 20
    for row, future in futures:
        assert is_of(future.result(60)["logits"], expected[:, row])


def test_loading_stalls_nobody(runtime: ServingRuntime, factory: StreamedFactory) -> None:
    runtime.apply(configuration((1, 1)))
    factory.may_load = threading.Event()
    applying = threading.Thread(target=runtime.apply, args=(configuration((2, 1)),))
    applying.start()
    for _ in range(10):
        runtime.submit(0, SAMPLE).result(60)
    assert applying.is_alive()
    factory.may_load.set()
    applying.join()
    assert len(factory.sessions) == 2


def test_an_idle_driver_sleeps(runtime: ServingRuntime) -> None:
    runtime.apply(configuration((2, 1)))
    runtime.submit(0, SAMPLE).result(60)
    (driver,) = drivers()
    assert driver.ident is not None
    spent = time.pthread_getcpuclockid(driver.ident)
    before = time.clock_gettime(spent)
    time.sleep(0.5)
    assert time.clock_gettime(spent) - before < 0.1, "one that spins takes all of it"


def test_close_answers_what_is_on_the_device_and_cancels_what_waits(
    runtime: ServingRuntime, factory: StreamedFactory
) -> None:
    runtime.apply(configuration((1, 1)))
    factory.sessions[0].go_on.clear()
    futures = [runtime.submit(0, SAMPLE) for _ in range(5)]
    while not futures[0].running():
        time.sleep(0.001)
    threading.Timer(0.1, factory.sessions[0].go_on.set).start()
    runtime.close()
    assert futures[0].result(0)["logits"].shape == (10,)
    assert all(future.cancelled() for future in futures[1:])
    assert factory.sessions[0].closed
    assert not drivers()


def test_a_callback_that_raises_harms_nobody(
    runtime: ServingRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.apply(configuration((1, 1)))

    def careless(future: Future[Any]) -> None:
        raise KeyError("mine")

    runtime.submit(0, SAMPLE).add_done_callback(careless)
    assert runtime.submit(0, SAMPLE).result(60)["logits"].shape == (10,)
    assert "KeyError" in caplog.text
