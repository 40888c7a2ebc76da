"""Tests that need a Jetson with DLAs; they are skipped with the reason where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from envs.catalog.identify import identify
from envs.graph.reading import read_network
from envs.runtimes.tensorrt.device import jetson_device
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.spec import ConfigurationSpace, Network, workload_of
from tests.envs.runtimes.tensorrt.on_device import index_of, loaded, served, served_together
from tests.envs.runtimes.tensorrt.test_graph import NODE, run, tail, values

pytestmark = pytest.mark.jetson


@pytest.mark.parametrize("name", ["dla0", "dla1"])
@pytest.mark.parametrize(
    ("io", "precision"), [("native", "int8"), ("linear", "int8"), ("native", "fp16")]
)
def test_a_dla_engine_answers_and_is_all_on_the_dla(
    space: ConfigurationSpace,
    small: tuple[Path, Network],
    engines: Path,
    name: str,
    io: str,
    precision: str,
) -> None:
    index_of(space, name)
    space = replace(space, device=space.device.with_precisions(["fp32", precision]))
    names = space.device.accelerator_names
    factory = TensorRTEngineFactory(space, [small[0]], engines, BuildOptions(level=1, dla_io=io))
    engine = loaded(factory, names.index(name), 4)
    images = values(4, 3, 64, 64)
    expected = run(onnx.load(str(small[0])), images)[0]
    assert np.corrcoef(served(engine, images).ravel(), expected.ravel())[0, 1] > 0.9
    assert served(engine, images[:2]).shape == (2, 10)
    assert not engine._lanes[4]._graph
    assert not engine.layers[4].fell_back, engine.layers[4].describe()
    engine.close()
    factory.close()


def test_what_is_concatenated_stays_on_the_dla(small_onnx: Path, engines: Path) -> None:
    """SqueezeNet: in INT8 a DLA concatenates tensors of one range only."""
    space = ConfigurationSpace(jetson_device(), workload_of([read_network(small_onnx)]), 1, (1,))
    factory = TensorRTEngineFactory(space, [small_onnx], engines, BuildOptions(level=1))
    engine = loaded(factory, index_of(space, "dla0"), 1)
    assert not engine.layers[1].fell_back, engine.layers[1].describe()
    engine.close()
    factory.close()


def test_both_cores_and_the_gpu_work_at_the_same_time_and_answer_rightly(
    engine_factory: TensorRTEngineFactory, space: ConfigurationSpace, small: tuple[Path, Network]
) -> None:
    all_of_them = [
        loaded(engine_factory, index_of(space, name), 4) for name in ("tensor", "dla0", "dla1")
    ]
    model = onnx.load(str(small[0]))
    for _ in range(20):
        images = [values(4, 3, 64, 64) for _ in all_of_them]
        for answer, batch in zip(served_together(all_of_them, images), images, strict=True):
            assert np.corrcoef(answer.ravel(), run(model, batch)[0].ravel())[0, 1] > 0.9
    for engine in all_of_them:
        engine.close()


def test_what_no_dla_takes_is_reported_as_fallback(tmp_path: Path, engines: Path) -> None:
    nodes = [
        NODE("Conv", ["x", "w"], ["c"]),
        NODE("Erf", ["c"], ["e"]),
        NODE("Conv", ["e", "v"], ["y"]),
    ]
    path = tmp_path / "erf.onnx"
    onnx.save(tail(nodes, {"w": values(8, 4, 1, 1), "v": values(8, 8, 1, 1)}, (8, 5, 5)), path)
    space = ConfigurationSpace(jetson_device(), workload_of([read_network(path)]), 1, (1,))
    factory = TensorRTEngineFactory(space, [path], engines, BuildOptions(level=1))
    engine = loaded(factory, index_of(space, "dla0"), 1)
    assert engine.layers[1].fell_back
    assert engine.layers[1].gpu
    engine.close()
    factory.close()


def test_a_smaller_batch_has_an_engine_of_its_own(
    engine_factory: TensorRTEngineFactory, space: ConfigurationSpace
) -> None:
    engine = loaded(engine_factory, index_of(space, "dla0"), 4)
    engine.buffers(1)
    served(engine, values(1, 3, 64, 64))
    one_ms = engine.elapsed_ms()
    served(engine, values(4, 3, 64, 64))
    assert engine._lanes[1]._plan.spec.batch == 1
    assert one_ms > 0
    engine.close()


def test_the_guess_from_hardware_is_the_board_and_mode_that_the_system_names() -> None:
    """In a container without the device tree and without nvpmodel the guess is all there is."""
    device = jetson_device()
    named = identify(device)
    if named.remark:
        pytest.skip(f"the system names none: {named.remark}")
    hardware = device.hardware
    assert hardware is not None
    guess = identify(replace(device, name=hardware.gpu, power_mode="default"))
    assert (guess.board.name, guess.mode.name) == (named.board.name, named.mode.name)
