"""Tests that need a real GPU; they are skipped with the reason where there is none."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.graph.reading import read_network
from envs.runtimes.tensorrt import builds as builds_module
from envs.runtimes.tensorrt.cuda import Cuda, capture_refusal
from envs.runtimes.tensorrt.device import jetson_device
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.spec import (
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    FailureKind,
    Network,
    workload_of,
)
from envs.testing.engines import build_every
from tests.envs.runtimes.hardware import serves_with_rtx
from tests.envs.runtimes.tensorrt.on_device import (
    index_of,
    loaded,
    served,
    served_together,
    tensor_core_layers,
    tensorrt_runtime,
)
from tests.envs.runtimes.tensorrt.test_graph import NODE, run, tail, values

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("name", "tolerance"), [("cuda", 1e-4), ("tensor", 3e-2)])
def test_answers_are_those_of_the_network(
    engine_factory: TensorRTEngineFactory,
    space: ConfigurationSpace,
    small: tuple[Path, Network],
    name: str,
    tolerance: float,
) -> None:
    engine = loaded(engine_factory, index_of(space, name), 4)
    for count in (4, 1, 3, 4):
        images = values(count, 3, 64, 64)
        expected = run(onnx.load(str(small[0])), images)[0]
        np.testing.assert_allclose(
            served(engine, images), expected, atol=tolerance * np.abs(expected).max()
        )
    assert 0 < engine.elapsed_ms() < 1000
    engine.close()


def test_int8_on_tensor_cores_comes_close(
    space: ConfigurationSpace, small: tuple[Path, Network], engines: Path
) -> None:
    """By ranges, or from 11 on by the file. The ranges come from four random samples only."""
    index = index_of(space, "tensor")
    space = replace(space, device=space.device.with_precisions(["fp32", "int8"]))
    factory = TensorRTEngineFactory(space, [small[0]], engines, BuildOptions(level=1))
    engine = loaded(factory, index, 4)
    images = values(4, 3, 64, 64)
    expected = run(onnx.load(str(small[0])), images)[0]
    found = served(engine, images)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9
    assert np.abs(found - expected).max() > 1e-4 * np.abs(expected).max(), (
        "nothing was rounded to INT8"
    )
    engine.close()
    factory.close()


def test_cuda_really_has_tf32_off(
    engine_factory: TensorRTEngineFactory, space: ConfigurationSpace, small: tuple[Path, Network]
) -> None:
    """TF32 keeps 10 bits of a product's factors: with it FP32 results differ in the third or fourth
    digit, without it in the sixth."""
    engine = loaded(engine_factory, index_of(space, "cuda"), 4)
    images = values(4, 3, 64, 64)
    expected = run(onnx.load(str(small[0])), images)[0]
    assert np.abs(served(engine, images) - expected).max() < 5e-5 * np.abs(expected).max()
    inspector = engine._lanes[4]._plan.engine.create_engine_inspector()
    assert (
        tensor_core_layers(
            inspector.get_engine_information(
                engine_factory._bindings.trt.LayerInformationFormat.JSON
            )
        )
        == ()
    )
    engine.close()


def test_full_batches_run_as_one_graph_where_cuda_python_is_there(
    engine_factory: TensorRTEngineFactory, space: ConfigurationSpace
) -> None:
    engine = loaded(engine_factory, index_of(space, "cuda"), 4)
    assert (engine._lanes[4]._graph is None) == bool(capture_refusal())
    engine.close()


def test_instances_work_at_the_same_time_and_answer_rightly(
    engine_factory: TensorRTEngineFactory, space: ConfigurationSpace, small: tuple[Path, Network]
) -> None:
    """Launches return before the device is done: two contexts in flight do not interfere."""
    pair = [loaded(engine_factory, index_of(space, "cuda"), 4) for _ in range(2)]
    model = onnx.load(str(small[0]))
    for _ in range(20):
        images = [values(4, 3, 64, 64) for _ in pair]
        for answer, batch in zip(served_together(pair, images), images, strict=True):
            expected = run(model, batch)[0]
            np.testing.assert_allclose(answer, expected, atol=1e-4 * np.abs(expected).max())
    for engine in pair:
        engine.close()


def test_batches_of_two_streams_overlap(small: tuple[Path, Network], engines: Path) -> None:
    """The second stream starts before the first has ended, by the device's events.

    The batches are large, so that a launch is short in comparison.
    """
    space = ConfigurationSpace(jetson_device(), workload_of([small[1]]), 2, (64,))
    factory = TensorRTEngineFactory(space, [small[0]], engines, BuildOptions(level=1))
    pair = [factory.load(0, index_of(space, "cuda"), 1) for _ in range(2)]
    ready = [
        engine.buffers(64) for engine in pair
    ]  # where they are copied from: nothing has to be put together
    overlapped = 0
    for _ in range(30):
        for engine, inputs in zip(pair, ready, strict=True):
            engine.launch(inputs)
        for engine in pair:
            engine.result()
        with factory._cuda.current():
            overlapped += pair[1]._on.start.time_till(pair[0]._on.end) > 0
    assert overlapped
    for engine in pair:
        engine.close()
    factory.close()


def test_memory_comes_back(
    engine_factory: TensorRTEngineFactory,
    space: ConfigurationSpace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check that what was allocated is freed; the driver agrees where it has its own memory."""
    cuda, on = engine_factory._cuda, index_of(space, "cuda")
    loaded(engine_factory, on, 4).close()
    pieces: list[Any] = []
    allocate, pin = cuda.memory, cuda.pinned

    def allocated(size: int) -> Any:
        pieces.append(allocate(size))
        return pieces[-1]

    def pinned(shape: tuple[int, ...], dtype: Any) -> Any:
        array = pin(shape, dtype)
        pieces.append(array.base)
        return array

    monkeypatch.setattr(cuda, "memory", allocated)
    monkeypatch.setattr(cuda, "pinned", pinned)
    with cuda.current():
        shared, before_mib = cuda.facts().integrated, cuda.free_mib()
    for _ in range(10):
        loaded(engine_factory, on, 4).close()
    assert len(pieces) >= 40  # inputs and outputs, on both sides
    with cuda.current():
        for piece in pieces:
            with pytest.raises(cuda.driver.LogicError, match="invalid"):
                piece.free()
        assert shared or cuda.free_mib() > before_mib - 32


def configuration(space: ConfigurationSpace, *pairs: tuple[int, int]) -> Configuration:
    """Return (instances, batch) of the first accelerators, the others unused."""
    return Configuration(((*pairs, *[(0, 0)] * (space.shape[1] - len(pairs))),))


def test_one_thread_drives_all_and_changes_by_difference_lose_nothing(
    space: ConfigurationSpace, small: tuple[Path, Network], engines: Path
) -> None:
    index_of(space, "tensor")
    image = values(3, 64, 64)
    expected = run(onnx.load(str(small[0])), image[None])[0][0]
    futures: list[Future[Any]] = []
    over = threading.Event()
    with tensorrt_runtime(space, small[0], engines) as runtime:
        runtime.apply(configuration(space, (1, 1)))

        def client() -> None:
            while not over.is_set():
                futures.append(runtime.submit(0, image))
                if len(futures) % 16 == 0:
                    futures[-1].result(60)

        thread = threading.Thread(target=client)
        thread.start()
        steps = [((2, 4), (0, 0)), ((2, 4), (2, 1)), ((0, 0), (1, 4)), ((1, 1), (1, 1))]
        changes = [runtime.apply(configuration(space, *step)) for step in steps]
        assert [each.name for each in threading.enumerate()].count("stream-driver") == 1
        over.set()
        thread.join()
        assert [(change.kept, change.created, change.removed) for change in changes] == [
            (1, 1, 0),
            (2, 2, 0),
            (1, 0, 3),
            (1, 1, 0),
        ]
        for future in futures:
            np.testing.assert_allclose(
                future.result(60)["logits"], expected, atol=5e-2 * np.abs(expected).max()
            )


def test_device_time_lies_within_host_time(
    space: ConfigurationSpace, small: tuple[Path, Network], engines: Path
) -> None:
    with tensorrt_runtime(space, small[0], engines) as runtime:
        runtime.apply(configuration(space, (1, 1)))
        (instance,) = runtime._instances
        instance.log = []
        runtime.submit(0, values(3, 64, 64)).result(60)
        assert instance.log is not None
        (record,) = instance.log
        assert 0 < record.device_s <= record.end_s - record.start_s


def test_engines_are_built_once_and_found_again(
    engine_factory: TensorRTEngineFactory,
    space: ConfigurationSpace,
    small: tuple[Path, Network],
    engines: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert build_every(engine_factory, space) == {}
    if not serves_with_rtx():  # which times nothing
        assert engine_factory.builds.cache.timings(engine_factory.builds.host)
    monkeypatch.setattr(
        builds_module, "build", lambda *arguments: pytest.fail("it was built again")
    )
    again = TensorRTEngineFactory(space, [small[0]], engines, BuildOptions(level=1))
    assert build_every(again, space) == {}
    again.close()


def test_what_tensorrt_cannot_build_is_a_typed_failure_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    onnx.save(tail([NODE("Det", ["x"], ["y"])], {}, (4,)), path)
    space = ConfigurationSpace(jetson_device(), workload_of([read_network(path)]), 1, (1,))
    for remembered in (False, True):
        factory = TensorRTEngineFactory(space, [path], tmp_path / "engines", BuildOptions(level=1))
        impossible = build_every(factory, space)
        assert set(impossible) == {(0, position) for position in range(space.shape[1])}
        assert ("remembered" in str(impossible[0, 0])) == remembered
        with pytest.raises(ConfigurationFailed) as caught:
            factory.load(0, 0, 1).buffers(1)
        assert caught.value.failure.kind is FailureKind.BUILD_FAILED
        factory.close()


def test_out_of_memory_is_typed_and_the_old_configuration_serves_on(
    small: tuple[Path, Network], engines: Path
) -> None:
    cuda = Cuda()
    with cuda.current():
        if cuda.facts().integrated:
            pytest.skip("its memory is the system's: filling it would end other programs")
    space = ConfigurationSpace(jetson_device(), workload_of([small[1]]), 1, (1, 256))
    with tensorrt_runtime(space, small[0], engines) as runtime:
        runtime.apply(configuration(space, (1, 1)))
        held, size = [], 1 << 30
        with cuda.current():
            while size >= 1 << 20:
                try:
                    held.append(cuda.memory(size))
                except MemoryError:
                    size //= 2
        try:
            with pytest.raises(ConfigurationFailed) as caught:
                runtime.apply(configuration(space, (1, 256)))
        finally:
            with cuda.current():
                for memory in held:
                    memory.free()
        assert caught.value.failure.kind is FailureKind.OUT_OF_MEMORY
        assert runtime.measure(0.2).throughput_ips[0] > 0


def test_the_gpu_is_described(space: ConfigurationSpace) -> None:
    cuda = Cuda()
    with cuda.current():
        facts, free_mib = cuda.facts(), cuda.free_mib()
    assert facts.sm >= 1
    assert facts.clock_mhz > 100
    assert facts.l2_mib > 0
    assert facts.driver_version >= 11_000
    assert 0 < free_mib <= facts.memory_mib
    assert facts.memory_mib > 1000
    assert "cuda" in space.device.accelerator_names
