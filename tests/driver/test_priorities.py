from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.runtimes.tensorrt.cuda import CapturedGraph, Cuda
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.instance_streams import InstanceStreams
from envs.spec import Network
from tests.driver.conftest import Stub, StubbedMixedWorld
from tests.envs.runtimes.tensorrt.worlds import World, served

CRITICAL, BEST_EFFORT = 0, 1
LOWEST, HIGHEST = 0, -5
CUDA, TENSOR, DLA0, DLA1, IN_3 = range(5)
#: Of the stub: work has been done in no stream yet.
NONE = 99


def _images(count: int) -> Any:
    return np.random.default_rng(0).normal(size=(count, 3, 64, 64)).astype(np.float32)


def priority(stub: Stub, stream: int) -> int:
    found = ctypes.c_int(NONE)
    stub.library.cuStreamGetPriority(ctypes.c_void_p(stream), ctypes.byref(found))
    return found.value


@pytest.fixture
def mixed(world: World, small: tuple[Path, Network], tmp_path: Path, cuda: Cuda) -> World:
    return StubbedMixedWorld(small, tmp_path / "engines", cuda)


@pytest.mark.parametrize(("tenant", "expected"), [(CRITICAL, HIGHEST), (BEST_EFFORT, LOWEST)])
def test_a_stream_has_the_priority_of_its_tenant_and_does_all_that_pycudas_does(
    tenant: int, expected: int, cuda: Cuda, stub: Stub
) -> None:
    stub.set(lowest_priority=3)  # not the default, so that streams without a priority differ
    expected = 3 if expected == LOWEST else expected
    before, streams = stub.live, InstanceStreams(cuda, (False, True))
    with cuda.current():
        made = streams.of(tenant)
        assert priority(stub, made.stream.handle) == expected
        sent, received = cuda.pinned((1000,), np.float32), cuda.pinned((1000,), np.float32)
        memory = cuda.memory(4000)
        sent[:] = np.arange(1000)
        made.start.record(made.stream)
        cuda.to_device(memory, sent[:500], made.stream)
        cuda.to_host(received[:500], memory, made.stream)
        made.end.record(made.stream)
        stub.set(queries_unready=1)
        assert not made.end.query()
        assert made.end.query()
        made.end.synchronize()
        assert made.start.time_till(made.end) >= 0
        assert (received[:500] == sent[:500]).all()
        assert not received[500:].any()

        def enqueue() -> None:
            cuda.to_device(memory, sent, made.stream)
            cuda.to_host(received, memory, made.stream)

        graph = CapturedGraph(made.stream.handle, enqueue)
        stub.set(work_priority=NONE)
        graph.launch()
        made.stream.synchronize()
        assert (received == sent).all()
        assert stub.get("work_priority") == expected
        graph.close()
        for piece in (memory, sent.base, received.base):
            piece.free()
        made.close()
    assert stub.live == before
    assert stub.get("mistakes") == 0
    assert streams.refused == ""


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ({"priorities": 0}, "cuCtxGetStreamPriorityRange failed: operation not supported (801)"),
        ({"priorities": 1}, "cuStreamCreateWithPriority failed: operation not supported (801)"),
        ({"highest_priority": 0}, "this GPU has one priority alone"),
    ],
)
def test_a_driver_that_refuses_gives_streams_of_pycuda(
    refusal: dict[str, int], reason: str, cuda: Cuda, stub: Stub
) -> None:
    stub.set(**refusal)
    before, streams = stub.live, InstanceStreams(cuda, (False, True))
    with cuda.current():
        for tenant in (CRITICAL, BEST_EFFORT):
            made = streams.of(tenant)
            assert made.stream.__class__.__module__ == "pycuda._driver"
            assert priority(stub, made.stream.handle) == 0
            made.close()
    assert streams.refused == reason
    assert stub.live == before
    assert stub.get("mistakes") == 0


@pytest.mark.parametrize("events", [0, 1])
def test_without_room_for_events_there_is_an_error_and_no_stream(
    events: int, cuda: Cuda, stub: Stub
) -> None:
    before, streams = stub.live, InstanceStreams(cuda, (False, True))
    stub.set(events_left=events)
    with cuda.current(), pytest.raises(cuda.driver.Error, match="out of memory"):
        streams.of(BEST_EFFORT)
    assert stub.live == before
    assert streams.refused == "cuEventCreate failed: out of memory (2)"


def test_without_best_effort_streams_are_those_of_pycuda(cuda: Cuda, stub: Stub) -> None:
    streams = InstanceStreams(cuda, (False, False))
    with cuda.current():
        made = streams.of(CRITICAL)
        assert made.stream.__class__.__module__ == "pycuda._driver"
        made.close()
    assert streams.refused == ""


@pytest.mark.parametrize("accelerator", [TENSOR, DLA0, IN_3])
@pytest.mark.parametrize("graphs", [0, 1])
def test_batches_run_with_the_priority_of_their_tenant(
    graphs: int, accelerator: int, mixed: World, stub: Stub
) -> None:
    stub.set(graphs=graphs)
    mixed.factory.close()
    factory = mixed.factory = mixed.again()
    answers, before = [], stub.live
    for tenant, expected in ((CRITICAL, HIGHEST), (BEST_EFFORT, LOWEST)):
        engine = _loaded(factory, tenant, TENSOR if tenant == CRITICAL else accelerator)
        for count in (4, 2):  # the whole batch is a graph, the smaller one never
            stub.set(work_priority=NONE)
            answers.append(served(engine, _images(4)[:count]))
            assert stub.get("work_priority") == expected
        engine.close()
    assert np.corrcoef(answers[0].ravel(), answers[2].ravel())[0, 1] > 0.95
    np.testing.assert_allclose(answers[3], answers[2][:2], rtol=1e-3, atol=1e-4)
    assert not any("priorities" in remark for remark in factory.remarks())
    assert stub.live["streams"] == before["streams"]
    assert stub.live["events"] == before["events"]
    assert stub.get("mistakes") == 0


@pytest.mark.parametrize("refusal", [{"priorities": 0}, {"priorities": 1}, {"highest_priority": 0}])
def test_engines_serve_where_the_driver_refuses(
    refusal: dict[str, int], mixed: World, stub: Stub
) -> None:
    stub.set(**refusal)
    engines = [_loaded(mixed.factory, tenant, TENSOR) for tenant in (CRITICAL, BEST_EFFORT)]
    first, second = (served(engine, _images(4)) for engine in engines)
    np.testing.assert_array_equal(first, second)
    remarks = [each for each in mixed.factory.remarks() if each.startswith("no priorities")]
    assert len(remarks) == 1
    for engine in engines:
        engine.close()
    assert stub.get("mistakes") == 0


@pytest.mark.parametrize("pieces", range(5))
def test_an_engine_without_room_leaves_no_stream(pieces: int, mixed: World, stub: Stub) -> None:
    _loaded(mixed.factory, BEST_EFFORT, TENSOR).close()  # loads the plan
    before = stub.live
    for name in ("allocations_left", "pinned_left"):
        stub.set(**{name: pieces})
        engine = mixed.factory.load(BEST_EFFORT, TENSOR, 1)
        with contextlib.suppress(Exception):  # a few pieces may be enough
            engine.buffers(4)
        stub.set(**{name: -1})
        engine.close()
        assert stub.live == before
    assert stub.get("mistakes") == 0


@pytest.mark.parametrize("work", range(4))
def test_after_a_fault_of_the_device_a_close_does_not_raise(
    work: int, mixed: World, stub: Stub
) -> None:
    engine = _loaded(mixed.factory, BEST_EFFORT, TENSOR)
    stub.set(work_left=work)

    def three_batches() -> None:
        for _ in range(3):
            served(engine, _images(4))

    with pytest.raises(Exception, match=r"illegal|not enqueued|failed"):
        three_batches()
    engine.close()
    engine.close()


def _loaded(factory: TensorRTEngineFactory, tenant: int, accelerator: int) -> Any:
    factory.build(tenant, accelerator, 4)
    engine = factory.load(tenant, accelerator, 1)
    engine.buffers(4)
    return engine
