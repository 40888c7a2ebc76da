"""Streams of critical tenants go before those of best effort, where the driver has priorities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.tensorrt import instance_streams
from envs.runtimes.tensorrt.instance_streams import InstanceStreams
from envs.spec import Configuration, ConfigurationFailed, Network
from envs.telemetry.none import NoSensor
from tests.envs.runtimes.serving.streamed import window_of_all
from tests.envs.runtimes.tensorrt.test_graph import values
from tests.envs.runtimes.tensorrt.worlds import MixedWorld, World, served
from tests.standins.tensorrt.driver import FakeCalls

CRITICAL, BEST_EFFORT = 0, 1
TENSOR, TENSOR_IN_2 = range(2)
PLACES = ("tensor", "tensor_in_2")
LOWEST, HIGHEST = 0, -5
PATIENCE_S = 20.0
ALONE = Configuration((((1, 1), (0, 0)), ((0, 0), (1, 1))))
MORE = Configuration((((2, 4), (0, 0)), ((0, 0), (2, 4))))


@pytest.fixture
def mixed(small: tuple[Path, Network], tmp_path: Path) -> MixedWorld:
    return MixedWorld(small, tmp_path / "engines", accelerators=PLACES)


def calls_for(world: World, monkeypatch: pytest.MonkeyPatch, *refused: str) -> FakeCalls:
    calls = FakeCalls(world.driver, *refused)
    monkeypatch.setattr(instance_streams, "driver_calls", lambda driver, names: calls)
    return calls


@pytest.fixture
def calls(mixed: MixedWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCalls]:
    made = calls_for(mixed, monkeypatch)
    yield made
    assert not made.streams
    assert not made.events
    assert mixed.driver.live == 0


def runtime_of(mixed: MixedWorld) -> ServingRuntime:
    options = ServingOptions(warmup_s=0.1, batches_per_window=1, requests_per_window=4)
    return ServingRuntime(mixed.space, mixed.factory, NoSensor(), options)


def test_critical_streams_have_the_highest_priority_and_best_effort_the_lowest(
    mixed: MixedWorld, calls: FakeCalls
) -> None:
    with runtime_of(mixed) as runtime:
        runtime.apply(ALONE)
        assert calls.made == [HIGHEST, LOWEST]
        image = values(3, 64, 64)
        answers = [
            runtime.submit(tenant, image).result(PATIENCE_S)["logits"]
            for tenant in (CRITICAL, BEST_EFFORT)
        ]
        np.testing.assert_allclose(*answers, rtol=1e-3, atol=1e-4)
        runtime.apply(MORE)
        assert sorted(calls.streams.values()) == [HIGHEST, HIGHEST, LOWEST, LOWEST]
        runtime.apply(ALONE)
        assert sorted(calls.streams.values()) == [HIGHEST, LOWEST]
        assert len(calls.events) == 2 * len(calls.streams)
        assert min(each.requests for each in window_of_all(runtime, 0.2).tenants) > 0
    assert not any("priorities" in remark for remark in mixed.factory.remarks())


def test_without_best_effort_no_stream_has_a_priority(
    small: tuple[Path, Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(small, tmp_path / "engines", accelerators=PLACES)
    calls = calls_for(world, monkeypatch)
    served(world.engine(TENSOR, 4), values(4, 3, 64, 64))
    assert not calls.made
    assert not any("priorities" in remark for remark in world.factory.remarks())


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        ("library", "pycuda is not the real one"),
        ("one", "this GPU has one priority alone"),
        ("cuCtxGetStreamPriorityRange", "operation not supported"),
        ("cuStreamCreateWithPriority", "operation not supported"),
        ("cuEventCreate", "operation not supported"),
    ],
)
def test_where_the_driver_refuses_streams_have_none_and_one_remark_says_so(
    refused: str, reason: str, mixed: MixedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    if refused != "library":
        calls = calls_for(mixed, monkeypatch, refused)
        calls.highest = LOWEST if refused == "one" else HIGHEST
    with runtime_of(mixed) as runtime:
        for configuration in (ALONE, MORE):
            runtime.apply(configuration)
            for tenant in (CRITICAL, BEST_EFFORT):
                runtime.submit(tenant, values(3, 64, 64)).result(PATIENCE_S)
        (remark,) = [each for each in mixed.factory.remarks() if "priorities" in each]
        assert reason in remark
        assert "gives way to critical requests on the host alone" in remark
    if refused != "library":
        assert not calls.streams
        assert not calls.events
    assert mixed.driver.live == 0


def test_a_second_event_that_is_refused_leaves_neither_the_stream_nor_the_first(
    mixed: MixedWorld, calls: FakeCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = calls._cuEventCreate

    def once(made: int, flags: int) -> None:
        if calls.events:
            raise RuntimeError("cuEventCreate failed: out of memory (2)")
        create(made, flags)

    monkeypatch.setattr(calls, "_cuEventCreate", once)
    streams = InstanceStreams(mixed.cuda, (False, True))
    with mixed.cuda.current():
        streams.of(BEST_EFFORT).close()
    assert calls.made == [LOWEST]
    assert streams.refused == "cuEventCreate failed: out of memory (2)"


@pytest.mark.parametrize(
    "refused",
    ["cuStreamSynchronize", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuEventRecord"],
)
def test_a_stream_that_fails_when_it_is_used_is_released(
    refused: str, mixed: MixedWorld, calls: FakeCalls
) -> None:
    calls.refused.add(refused)
    with runtime_of(mixed) as runtime:
        with pytest.raises(ConfigurationFailed, match=f"{refused} failed: operation not supported"):
            runtime.apply(ALONE)
        assert not calls.streams
        calls.refused.clear()
        runtime.apply(ALONE)
        assert len(calls.streams) == 2


def test_an_engine_that_cannot_be_built_leaves_no_stream(
    mixed: MixedWorld, calls: FakeCalls
) -> None:
    mixed.module.world.faults.build = "fail"
    with runtime_of(mixed) as runtime:
        with pytest.raises(ConfigurationFailed, match="Internal Error"):
            runtime.apply(ALONE)
        assert calls.made
        assert not calls.streams


def test_a_gpu_that_breaks_leaves_a_close_that_does_not_raise(
    mixed: MixedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls_for(mixed, monkeypatch)
    engine = mixed.factory.load(BEST_EFFORT, TENSOR, 1)
    engine.buffers(4)
    mixed.driver.faults.broken = True
    with pytest.raises(RuntimeError, match="illegal memory access"):
        engine.launch([values(4, 3, 64, 64)])
    assert np.isnan(engine.elapsed_ms())
    engine.close()
    engine.close()
