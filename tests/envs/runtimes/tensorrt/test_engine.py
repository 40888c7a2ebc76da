"""Engines over the stand-ins: their results, what they share, and what they release."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.graph.reading import read_network
from envs.runtimes.tensorrt import factory as factory_module
from envs.runtimes.tensorrt import lane as lane_module
from envs.runtimes.tensorrt.graph import with_batch
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import Network
from tests.envs.runtimes.tensorrt.test_graph import NODE, run, tail, values
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, DLA1, TENSOR, World, served
from tests.standins.tensorrt.driver import Event, RecordedGraph
from tests.standins.tensorrt.names import VERSIONS


@pytest.fixture
def world(small: tuple[Path, Network], tmp_path: Path) -> World:
    return World(small, tmp_path / "engines")


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as if a stand-in stream could be captured."""
    monkeypatch.setattr(factory_module, "capture_refusal", lambda cuda: "")
    monkeypatch.setattr(lane_module, "CapturedGraph", RecordedGraph)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("accelerator", "options"),
    [(CUDA, {}), (TENSOR, {}), (DLA0, {}), (DLA1, {"dla_io": "linear"})],
    ids=["cuda", "tensor", "native", "linear"],
)
def test_answers_are_those_of_the_network(
    version: str,
    accelerator: int,
    options: dict[str, Any],
    small: tuple[Path, Network],
    tmp_path: Path,
    graphs: None,
) -> None:
    world = World(small, tmp_path / "engines", version, **options)
    engine, model = world.engine(accelerator, 4), onnx.load(str(small[0]))
    for count in (4, 1, 3, 4):
        images = values(count, 3, 64, 64)
        expected, logits = run(model, images)[0], served(engine, images)
        assert logits.shape == (count, 10)
        assert logits.dtype == np.float32
        assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.95
        if accelerator == CUDA:
            np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    assert engine.elapsed_ms() == 1.5
    engine.close()
    assert world.driver.live == 0


@pytest.mark.parametrize("border", ["CHW32", "DLA_LINEAR"])
@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_every_form_at_the_border_of_a_dla_is_filled_and_read(
    small: tuple[Path, Network], tmp_path: Path, border: str, precision: str
) -> None:
    world = World(small, tmp_path / "engines", precisions={"dla0": precision})
    world.module.world.border = border
    engine = world.engine(DLA0, 4)
    form = engine._lanes[4]._layouts_in[0].form
    assert form == ("CHW16" if border == "CHW32" and precision == "fp16" else border)
    images = values(3, 3, 64, 64)
    expected = run(onnx.load(str(small[0])), images)[0]
    assert np.corrcoef(served(engine, images).ravel(), expected.ravel())[0, 1] > 0.98


def test_native_dla_engines_take_int8_in_their_own_format(world: World) -> None:
    engine = world.engine(DLA0, 4)
    (lane,) = engine._lanes.values()
    (layout,) = lane._layouts_in
    assert (layout.form, layout.dtype, layout.size) == ("CHW32", "int8", 4 * 1 * 64 * 64 * 32)
    assert layout.scale is not None
    assert lane.gathering[0].shape == (4, 3, 64, 64)
    assert lane.gathering[0].dtype == np.float32


def test_batches_can_be_put_together_where_they_are_copied_from(world: World) -> None:
    engine = world.engine(CUDA)
    (buffer,) = engine.buffers(4)
    images = values(4, 3, 64, 64)
    buffer[:] = images
    assert buffer.ctypes.data == engine._lanes[4].inputs[0][0].ctypes.data
    np.testing.assert_array_equal(served(engine, buffer[:2]), served(engine, images[:2]))
    assert engine.buffers(1)[0] is buffer  # never less than before


def test_a_batch_runs_on_the_smallest_engine_that_takes_it(world: World) -> None:
    engine = world.engine(DLA0, 4, 1)
    contexts = world.module.world.contexts
    before = [context._runs for context in contexts]
    served(engine, values(1, 3, 64, 64))
    served(engine, values(2, 3, 64, 64))
    assert [context._runs - was for context, was in zip(contexts, before, strict=True)] == [1, 1]
    assert contexts[0]._engine.get_tensor_shape("input")[0] == 4


def test_sizes_that_are_not_wanted_any_more_give_their_memory_back(world: World) -> None:
    engine = world.engine(CUDA, 1)
    least = world.driver.live
    engine.buffers(4)
    assert world.driver.live > least
    engine.keep(1)
    assert world.driver.live == least
    assert served(engine, values(1, 3, 64, 64)).shape == (1, 10)
    assert len(engine.buffers(4)[0]) == 4
    assert served(engine, values(4, 3, 64, 64)).shape == (4, 10)


def test_results_outlive_the_next_batch(world: World) -> None:
    engine = world.engine(CUDA, 1)
    first = served(engine, values(1, 3, 64, 64))
    kept = first.copy()
    served(engine, values(1, 3, 64, 64))
    np.testing.assert_array_equal(first, kept)


def test_full_batches_are_one_launch_and_others_run_beside(world: World, graphs: None) -> None:
    world.factory = world.again()
    engine = world.engine(CUDA, 4)
    lane = engine._lanes[4]
    graph: Any = lane._graph
    for count in (4, 2, 4):
        served(engine, values(count, 3, 64, 64))
    assert graph.launches == 2
    captured, beside = world.module.world.contexts
    assert (captured._runs, beside._runs) == (3, 2), "each was proven once before it served"
    assert captured._shapes == {"input": (4, 3, 64, 64)}  # never changed after the capture
    assert beside._shapes == {"input": (2, 3, 64, 64)}
    assert captured._scratch == beside._scratch


def test_dla_engines_are_never_captured(world: World, graphs: None) -> None:
    world.factory = world.again()
    assert not world.engine(DLA0, 1)._lanes[1]._graph
    assert world.engine(TENSOR, 1)._lanes[1]._graph


def test_a_capture_that_fails_leaves_an_engine_that_works(
    world: World, graphs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LogicError(Exception):
        """Like pycuda's own error, whose base is not RuntimeError."""

    for error in (
        RuntimeError("cudaStreamEndCapture failed: 901"),
        LogicError("cuMemcpyHtoDAsync failed: operation not permitted"),
    ):

        def refused(stream: int, enqueue: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(lane_module, "CapturedGraph", refused)
        world.factory = world.again()
        engine = world.engine(CUDA, 4)
        assert not engine._lanes[4]._graph
        assert engine._lanes[4].graph_refused == str(error)
        assert engine.remarks() == [f"no CUDA graphs for {world.network.name} on cuda: {error}"]
        assert served(engine, values(3, 3, 64, 64)).shape == (3, 10)


def test_instances_share_the_engine_and_have_their_own_contexts(world: World) -> None:
    first, second = world.engine(CUDA, 4), world.engine(CUDA, 4)
    assert first._lanes[4]._plan is second._lanes[4]._plan
    assert len(world.module.world.contexts) == 2
    assert first._on.stream.handle != second._on.stream.handle
    addresses = [
        set(context._addresses.values()) | {context._scratch}
        for context in world.module.world.contexts
    ]
    assert addresses[0].isdisjoint(addresses[1])


def test_a_network_with_a_fixed_batch_is_built_for_it_alone(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    path = tmp_path / "fixed.onnx"
    onnx.save(with_batch(onnx.load(str(small[0])), 4).model, path)
    world = World((path, read_network(path)), tmp_path / "engines")
    assert world.build_every() == {}
    assert world.builds == 3
    images = values(4, 3, 64, 64)
    np.testing.assert_allclose(
        served(world.engine(CUDA, 4), images),
        run(onnx.load(str(path)), images)[0],
        rtol=1e-4,
        atol=1e-4,
    )


def test_one_result_for_a_whole_fixed_batch_is_given_whole(tmp_path: Path) -> None:
    model = tail(
        [NODE("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],
        {"axes": np.array([0], np.int64)},
        (4, 5, 5),
    )
    for value, shape in ((model.graph.input[0], (2, 4, 5, 5)), (model.graph.output[0], (4, 5, 5))):
        value.CopyFrom(
            onnx.helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, shape)
        )
    path = tmp_path / "sum.onnx"
    onnx.save(model, path)
    world = World((path, read_network(path)), tmp_path / "engines", batches=(2,))
    images = values(2, 4, 5, 5)
    np.testing.assert_allclose(served(world.engine(CUDA, 2), images), images.sum(axis=0), rtol=1e-5)


def test_without_shared_profiles_gpu_engines_are_static_and_padded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bindings, "shares_profiles", False)
    engine = world.engine(CUDA, 4)
    assert world.module.world.configs[-1]._profiles == []
    images = values(3, 3, 64, 64)
    np.testing.assert_allclose(
        served(engine, images), run(onnx.load(str(world.path)), images)[0], rtol=1e-4, atol=1e-4
    )


def test_streams_end_while_the_context_is_current(world: World) -> None:
    """pycuda destroys a stream with its last reference, but only where its context is current."""
    engine = world.engine(CUDA, 1, 4)
    ended: list[int] = []
    weakref.finalize(engine._on.stream, lambda: ended.append(world.driver.depth))
    engine.close()
    gc.collect()
    assert ended == [1]


@pytest.mark.parametrize("end", ["close", "keep"])
def test_a_batch_that_failed_holds_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Its result is never fetched: it must not keep the lane, the stream and the plan alive."""

    def fault(event: Event) -> None:
        raise RuntimeError("an illegal memory access was encountered")

    engine = world.engine(CUDA, 1)
    stream, lane = weakref.ref(engine._on.stream), weakref.ref(engine._lanes[1])
    engine.launch([values(1, 3, 64, 64)])
    monkeypatch.setattr(Event, "query", fault)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        engine.done()
    engine.close() if end == "close" else engine.keep(4)
    gc.collect()
    assert lane() is None
    assert (stream() is None) == (end == "close")


def test_no_memory_for_a_batch_leaves_nothing_behind(world: World) -> None:
    engine = world.engine(CUDA, 1)
    live = world.driver.live
    world.driver.left_mib = 0.1
    with pytest.raises(MemoryError, match="MiB left"):
        engine.buffers(4)
    assert world.driver.live == live
    assert served(engine, values(1, 3, 64, 64)).shape == (1, 10)
