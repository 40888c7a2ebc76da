"""Inputs and outputs at the border of a DLA: what TensorRT tells of their memory decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.graph.reading import read_network
from envs.runtimes.tensorrt import build as build_module
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import ConfigurationFailed, Network
from tests.envs.runtimes.tensorrt.test_graph import NODE, run, values
from tests.envs.runtimes.tensorrt.worlds import DLA0, TENSOR, World, served

VERSIONS = ("8.6.1", "10.3.0", "11.4.0")


def head_of(shape: tuple[int, ...], folder: Path) -> tuple[Path, Network]:
    """Save a network x [N, 3, 8, 10] -> y [N, *shape], which only reshapes what it convolved."""
    channels = int(np.prod(shape)) // 80
    weights = np.random.default_rng(0).normal(0, 0.3, (channels, 3, 1, 1)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [NODE("Conv", ["x", "w"], ["c"]), NODE("Reshape", ["c", "to"], ["y"])],
        "head",
        [onnx.helper.make_tensor_value_info("x", 1, ("N", 3, 8, 10))],
        [onnx.helper.make_tensor_value_info("y", 1, ("N", *shape))],
        [
            onnx.numpy_helper.from_array(weights, "w"),
            onnx.numpy_helper.from_array(np.array([-1, *shape], np.int64), "to"),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = folder / "head.onnx"
    onnx.save(model, path)
    return path, read_network(path)


@pytest.fixture
def every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tensors of three and five dimensions have a DLA's formats, as TensorRT would."""
    asked = build_module.set_native_io

    class Flat:
        """A tensor that says it has four dimensions."""

        def __init__(self, tensor: Any) -> None:
            object.__setattr__(self, "_tensor", tensor)

        @property
        def shape(self) -> tuple[int, ...]:
            return (1, 1, 1, 1)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._tensor, name)

        def __setattr__(self, name: str, value: Any) -> None:
            setattr(self._tensor, name, value)

    class Shown:
        """A network whose tensors all say that."""

        def __init__(self, network: Any) -> None:
            self.num_inputs, self.num_outputs = network.num_inputs, network.num_outputs
            self.get_input = lambda at: Flat(network.get_input(at))
            self.get_output = lambda at: Flat(network.get_output(at))

    def all_of_them(self: Bindings, network: Any, precision: str, shared: Any = ()) -> Any:
        return asked(self, Shown(network), precision, shared)

    monkeypatch.setattr(build_module, "set_native_io", all_of_them)


def linear(world: World) -> list[str]:
    """Return the remarks on formats; others are of CUDA graphs, which the stand-in lacks."""
    return [remark for remark in world.factory.remarks() if "linear" in remark]


def agrees(world: World, engine: Any, count: int) -> None:
    images = values(count, 3, 8, 10)
    expected = run(onnx.load(str(world.path)), images)[0]
    found = served(engine, images)
    assert found.shape == expected.shape
    # A number in the wrong place is off by its own size; what is outside the range is clipped.
    assert np.median(np.abs(found - expected)) < 0.05 * expected.std()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dla_io", ["native", "linear"])
@pytest.mark.parametrize("shape", [(4, 80), (2, 2, 8, 10)], ids=["three", "five"])
def test_only_four_dimensions_get_a_format_of_the_dla(
    version: str, dla_io: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    world = World(head_of(shape, tmp_path), tmp_path / "engines", version, dla_io=dla_io)
    engine = world.engine(DLA0, 4)
    found = [
        layout.form for layout in (*engine._lanes[4]._layouts_in, *engine._lanes[4]._layouts_out)
    ]
    native = dla_io == "native"
    assert found == [
        ("CHW16" if version == "11.4.0" else "CHW32") if native else "LINEAR",
        "LINEAR",
    ]
    size = len(shape) + 1
    remark = f"y of {world.network.name} on dla0 is linear: it has {size} dimensions"
    assert linear(world) == ([remark] if native else [])
    agrees(world, engine, 3)


@pytest.mark.parametrize("border", ["CHW32", "DLA_LINEAR"])
@pytest.mark.parametrize("shape", [(4, 80), (2, 2, 8, 10)], ids=["three", "five"])
@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_a_format_of_the_dla_is_filled_and_read_for_any_number_of_dimensions(
    every_rank: None, tmp_path: Path, shape: tuple[int, ...], border: str, precision: str
) -> None:
    """The packed dimension is the third from last, which is the batch of [N, 4, 80]."""
    world = World(head_of(shape, tmp_path), tmp_path / "engines", precisions={"dla0": precision})
    world.module.world.border = border
    engine = world.engine(DLA0, 2)
    (layout,) = engine._lanes[2]._layouts_out
    width, rows = (32, 128) if precision == "int8" else (16, 96)
    if border == "DLA_LINEAR":
        row = rows if len(shape) == 2 else (64 if precision == "int8" else 32)
        count = 2 * int(np.prod(shape[:-1])) * row
    else:
        count = -(-2 // width) * 4 * 80 * width if len(shape) == 2 else 2 * 2 * 1 * 80 * width
    assert layout.scalars == count
    agrees(world, engine, 2)
    agrees(world, engine, 1)


def test_a_detection_head_gets_all_the_memory_that_tensorrt_writes(
    every_rank: None, tmp_path: Path
) -> None:
    """y [1, 84, 8400] INT8 as CHW32: ceil(1 / 32) * 84 * 8400 * 32 bytes, not 84 * 8400."""
    world = World(head_of((84, 8400), tmp_path), tmp_path / "engines")
    engine = world.engine(DLA0, 1)
    (layout,) = engine._lanes[1]._layouts_out
    assert (layout.vector_dim, layout.components, layout.size) == (0, 32, 22_579_200)
    agrees(world, engine, 1)


@pytest.mark.parametrize("pitch_bytes", [32, 64, 256])
def test_rows_lie_as_far_apart_as_tensorrt_says(
    small: tuple[Path, Network], tmp_path: Path, pitch_bytes: int
) -> None:
    world = World(small, tmp_path / "engines", precisions={"dla0": "fp16"})
    world.module.world.border, world.module.world.pitch_bytes = "DLA_LINEAR", pitch_bytes
    engine = world.engine(DLA0, 4)
    (layout,) = engine._lanes[4]._layouts_in
    assert layout.strides[-2] == -(-128 // pitch_bytes) * pitch_bytes // 2
    images = values(3, 3, 64, 64)
    expected = run(onnx.load(str(small[0])), images)[0]
    assert np.corrcoef(served(engine, images).ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize(
    ("told", "why"),
    [((4, 1), "there are 2 strides"), ((4096, 4096, 1, 1), "two elements share memory")],
)
def test_what_cannot_be_filled_is_built_again_with_linear_inputs_and_outputs(
    small: tuple[Path, Network], tmp_path: Path, told: tuple[int, ...], why: str
) -> None:
    world = World(small, tmp_path / "engines")
    world.module.world.told_strides["input"] = told
    given: dict[str, tuple[int, ...]] = world.module.world.told_strides

    class Once(dict[str, tuple[int, ...]]):
        """Tells them of the first engine only."""

        def __contains__(self, name: object) -> bool:
            return world.builds == 1 and name in given

        def __getitem__(self, name: str) -> tuple[int, ...]:
            return given[name]

    world.module.world.told_strides = Once()
    live = world.driver.live
    engine = world.engine(DLA0, 4)
    assert world.builds == 2
    (remark,) = linear(world)
    assert remark.startswith(f"{world.network.name} on dla0 has linear inputs and outputs: ")
    assert "input [4, 3, 64, 64] lies in memory as CHW32 (stand-in for CHW32)" in remark
    assert why in remark
    images = values(3, 3, 64, 64)
    expected = run(onnx.load(str(small[0])), images)[0]
    assert np.corrcoef(served(engine, images).ravel(), expected.ravel())[0, 1] > 0.95
    again = world.engine(DLA0, 4)
    assert world.builds == 2, "it is remembered"
    again.close()
    engine.close()
    assert world.driver.live == live


def test_linear_memory_that_contradicts_itself_is_a_clear_failure(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    world = World(small, tmp_path / "engines")
    world.module.world.told_strides["input"] = (1,)
    live = world.driver.live
    with pytest.raises(ConfigurationFailed, match=r"input \[4, 3, 64, 64\].*1 strides"):
        world.engine(TENSOR, 4)
    assert world.driver.live - live <= 1, "the stream's own memory alone"


def test_int8_inputs_are_given_by_the_scale_of_the_engine(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    world = World(small, tmp_path / "engines", precisions={"dla0": "int8"})
    assert world.factory.input_scales(0) == {}
    engine = world.engine(DLA0, 4)
    (scale,) = world.factory.input_scales(0).values()
    assert engine.converts
    assert engine.takes == [("int8", scale)]
    steps = np.random.default_rng(0).integers(-127, 127, (4, 3, 64, 64)).astype(np.int8)
    given = served(engine, steps)
    np.testing.assert_array_equal(given, served(engine, steps * np.float32(scale)))
    assert not world.engine(TENSOR, 4).converts


def test_two_batches_lie_in_two_sets_of_memory(small: tuple[Path, Network], tmp_path: Path) -> None:
    """The second is converted before the first is launched, and their answers are their own."""
    engine = World(small, tmp_path / "engines").engine(DLA0, 4)
    images = [values(4, 3, 64, 64), values(2, 3, 64, 64) * 2]
    alone = [served(engine, each) for each in images]
    first, second = (engine.convert([each]) for each in images)
    engine.launch_converted(first)
    assert engine.done()
    engine.launch_converted(second)
    assert engine.done()
    for batch, expected in zip((first, second), alone, strict=True):
        np.testing.assert_array_equal(engine.answers(batch)[0], expected)
