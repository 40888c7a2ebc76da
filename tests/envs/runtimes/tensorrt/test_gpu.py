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

from envs.runtimes.tensorrt.cuda import capture_refusal
from envs.runtimes.tensorrt.device import jetson_device
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.spec import ConfigurationSpace, Network, workload_of
from tests.envs.runtimes.tensorrt.on_device import (
    index_of,
    loaded,
    served,
    served_together,
    tensor_core_layers,
    tensorrt_runtime,
)
from tests.envs.runtimes.tensorrt.test_graph import run, values
from tests.envs.runtimes.tensorrt.worlds import configuration

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
