"""The promises of an engine with a stream, and one instance with its driver and queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import OnnxEngine
from envs.runtimes.serving.driver import StreamDriver
from envs.runtimes.serving.engine import StreamEngine
from envs.runtimes.serving.instance import Slot
from envs.runtimes.serving.queue import Request, RequestQueue
from envs.runtimes.serving.streams import StreamInstance
from envs.spec import ConfigurationFailed, FailureKind, Network
from envs.testing.engines import ScriptedEngine, WorkerEngine
from tests.envs.runtimes.serving.streamed import Stream, StreamedFactory

SAMPLE = np.zeros((3, 48, 48), np.float32)


def onnx_stream(path: Path, network: Network) -> StreamEngine:
    return WorkerEngine(OnnxEngine(path, 1, [spec.name for spec in network.inputs]))


@pytest.mark.parametrize("make", [onnx_stream])
def test_an_engine_keeps_to_the_order_and_to_its_word(
    make: Callable[[Path, Network], StreamEngine],
    small_onnx: Path,
    factory: StreamedFactory,
    samples: list[np.ndarray],
    expected: np.ndarray,
) -> None:
    engine = make(small_onnx, read_network(small_onnx))
    assert isinstance(engine, StreamEngine)
    given = []
    for count in (1, 4, 2):
        engine.launch([np.stack(samples[:count])])
        while not engine.done():
            time.sleep(1e-4)
        given.append(engine.result()[0])
        engine.launch([np.zeros((1, 3, 1, 1), np.float32)])
        with pytest.raises(Exception, match=r"."):  # what cannot run spoils nothing
            engine.result()
        with pytest.raises(Exception, match=r"."):
            engine.done()
    for answers in given:  # also those of the first batch, after others have run
        np.testing.assert_allclose(answers, expected[0, : len(answers)], rtol=1e-4, atol=1e-4)
    engine.close()


class Alone:
    """An instance with its driver and queue only."""

    def __init__(
        self, factory: StreamedFactory, network: Network, max_wait_s: float = 0.005
    ) -> None:
        self.lost: list[Any] = []
        self.queue = RequestQueue(max_wait_s)
        self.driver = StreamDriver()
        self.engine: Stream = factory.load(0, 0, 1)
        self.instance = StreamInstance(
            Slot(0, 0, 1, 4), self.engine, network, self.queue, self.lost.append, self.driver
        )

    @property
    def session(self) -> ScriptedEngine:
        assert isinstance(self.engine._engine, ScriptedEngine)
        return self.engine._engine


def test_a_record_has_the_host_clock_and_the_devices_own(
    factory: StreamedFactory, small_onnx: Path
) -> None:
    alone = Alone(factory, read_network(small_onnx))
    alone.instance.start()
    alone.instance.log = []
    requests = [Request((SAMPLE,), None) for _ in range(8)]
    for request in requests:
        alone.queue.put(request)
    wait([request.future for request in requests], 60)
    log = alone.instance.log
    alone.instance.stop()
    alone.driver.close()
    assert log is not None
    assert sum(len(record.arrivals_s) for record in log) == 8
    for record in log:
        assert max(record.arrivals_s) <= record.start_s < record.end_s
        assert 0 < record.device_s <= record.end_s - record.start_s
    assert not alone.lost


def test_the_proof_of_a_busy_engine_gets_its_turn(
    factory: StreamedFactory, small_onnx: Path
) -> None:
    """A saturated instance proves a larger batch; the driver lets go of the engine in between."""
    alone = Alone(factory, read_network(small_onnx))
    alone.instance.start()
    over = threading.Event()

    def again(future: Future[Any]) -> None:
        if not over.is_set():
            request = Request((SAMPLE,), None)
            request.future.add_done_callback(again)
            alone.queue.put(request)

    for _ in range(8):
        again(Future())
    alone.instance.prove(8)
    over.set()
    alone.instance.stop()
    alone.driver.close()
    assert 8 in alone.session.batches
    assert len(alone.session.batches) > 1


def test_a_proof_that_hangs_is_a_typed_failure_and_nothing_is_released_under_it(
    factory: StreamedFactory, small_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envs.runtimes.serving.streams.STOP_TIMEOUT_S", 0.2)
    alone = Alone(factory, read_network(small_onnx))
    alone.session.go_on.clear()
    with pytest.raises(ConfigurationFailed) as error:
        alone.instance.start()
    assert error.value.failure.kind is FailureKind.TIMED_OUT
    alone.instance.stop()
    assert not alone.session.closed
    assert len(alone.lost) == 1
    alone.session.go_on.set()


def test_a_proof_that_hangs_in_an_instance_that_serves_releases_nothing_under_it(
    factory: StreamedFactory, small_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver drops the instance while its launched batch still runs."""
    alone = Alone(factory, read_network(small_onnx))
    alone.instance.start()
    monkeypatch.setattr("envs.runtimes.serving.streams.STOP_TIMEOUT_S", 0.2)
    alone.session.go_on.clear()
    with pytest.raises(ConfigurationFailed) as error:
        alone.instance.prove(8)
    assert error.value.failure.kind is FailureKind.TIMED_OUT
    while alone.driver._instances:
        time.sleep(0.001)
    alone.instance.stop()
    assert not alone.session.closed
    assert len(alone.lost) == 1
    alone.driver.close()
    alone.session.go_on.set()


def test_an_engine_that_hangs_is_waited_for_once(
    factory: StreamedFactory, small_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs while it should release memory; later changes do not wait for it again."""
    alone = Alone(factory, read_network(small_onnx))
    alone.instance.start()
    alone.instance.prove(8)
    alone.session.go_on.clear()
    request = Request((SAMPLE,), None)
    alone.queue.put(request)
    while not alone.instance.in_flight:
        time.sleep(0.001)
    monkeypatch.setattr("envs.runtimes.serving.streams.STOP_TIMEOUT_S", 0.2)
    alone.instance.resize(alone.instance.slot)
    assert isinstance(alone.instance.error, TimeoutError)
    assert isinstance(request.future.exception(60), ConfigurationFailed), "who asked is told"
    assert alone.engine.sizes == {4, 8}, "what it works on is not taken away under it"
    alone.instance.stop()
    assert not alone.session.closed
    alone.driver.close()
    alone.session.go_on.set()


def test_what_is_ready_is_what_a_thread_would_be_given() -> None:
    queue = RequestQueue(max_wait_s=1000.0)
    woken: list[bool] = []
    queue.listener = lambda: woken.append(True)
    assert queue.take_ready(1) == []
    assert queue.due_s() == float("inf")
    requests = [Request((SAMPLE,), None) for _ in range(3)]
    for request in requests:
        queue.put(request)
    queue.wake()
    assert len(woken) == 4
    assert queue.due_s() == requests[0].queued_s + 1000.0
    assert queue.take_ready(4) == []
    assert queue.take_ready(2) == requests[:2]
    requests[2].queued_s -= 2000.0
    assert queue.take_ready(4) == requests[2:], "it has waited long enough"
