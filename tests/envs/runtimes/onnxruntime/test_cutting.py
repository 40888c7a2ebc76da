"""Segments that ONNX Runtime runs: answers equal to the whole network's to the bit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings

from envs.accuracy.samples import invented
from envs.catalog.architectures import build
from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.cutting import cut
from envs.runtimes.onnxruntime.engines import (
    OnnxEngine,
    OnnxEngineFactory,
    SegmentedOnnxEngine,
    segments_as_they_are,
)
from envs.runtimes.onnxruntime.segment_store import NOTES, segmented
from envs.runtimes.onnxruntime.sessions import Chain, open_session, options_of
from envs.spec import (
    ConfigurationSpace,
    local_computer,
)
from tests.envs.accuracy.graphs import convolution, model, node, saved
from tests.envs.graph.random_graphs import graphs
from tests.envs.graph.test_exported import FIRST_OPSET, export
from tests.worlds import critical_and_best_effort

FP32_IN_3, INT8_IN_3 = 2, 3

EXPORTED = (
    *("residual", "squeeze_excite", "attention", "encoder", "lstm", "group_norm", "detector"),
    *("several_inputs", "several_outputs", "channel_shuffle", "split_and_cat", "unrolled"),
)


def check_engine(path: Path, folder: Path, count: int) -> SegmentedOnnxEngine:
    """The engine of all segments answers as the engine of the file does, for several batches."""
    network = read_network(path)
    files = segmented(path, network, count, folder)
    engine = SegmentedOnnxEngine(segments_as_they_are(files.paths, 1), network)
    whole = OnnxEngine(path, 1, [spec.name for spec in network.inputs])
    for rows in (1, 2, 5):
        inputs = [*invented(network, rows, seed=rows).arrays.values()]
        for found, expected in zip(engine.run(inputs), whole.run(inputs), strict=True):
            assert found.shape == expected.shape
            assert found.tobytes() == expected.tobytes()
    return engine


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2", "resnet18"])
def test_published_networks(name: str, tmp_path: Path) -> None:
    path, network = saved(tmp_path, build(name, image_size=64))
    made = cut(path, network, 5)
    assert (len(made.segments), len(made.times_ms), made.equal) == (5, 5, True)
    check_engine(path, tmp_path, 5)


def test_weights_in_another_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(
        build("squeezenet1_1", image_size=64),
        path,
        save_as_external_data=True,
        location="net.data",
        size_threshold=0,
    )
    check_engine(path, tmp_path / "segments", 3)
    assert len(segmented(path, read_network(path), 3, tmp_path / "segments").paths) == 3
    # A network that was trained anew may differ in its file of weights alone.
    weights = np.fromfile(tmp_path / "net.data", dtype=np.float32)
    (weights * 0.5).tofile(tmp_path / "net.data")
    check_engine(path, tmp_path / "segments", 3)


@pytest.mark.parametrize("name", EXPORTED)
def test_files_of_pytorch(name: str, tmp_path: Path) -> None:
    path = export(name, tmp_path / "net.onnx", max(13, FIRST_OPSET.get(name, 0)))
    check_engine(path, tmp_path / "cache", 3)


@given(graphs())
@settings(max_examples=25, deadline=None)
def test_any_graph_everywhere_cut(made: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, _ = saved(Path(folder), made)
        check_engine(path, Path(folder) / "cache", 100)


@pytest.mark.parametrize("source", ["a", "x"])
def test_a_network_that_draws_numbers_stays_whole(source: str, tmp_path: Path) -> None:
    """ONNX Runtime seeds by place: a node that comes first draws the same in its segment."""
    nodes = [
        node("Sigmoid", "x", "a"),
        node("RandomNormalLike", source, "noise"),
        node("Add", "a noise", "b"),
        node("Softmax", "b", "y"),
    ]
    made = model(
        nodes if source == "a" else [nodes[1], nodes[0], *nodes[2:]],
        {"x": ["n", 16]},
        {"y": ["n", 16]},
    )
    path, network = saved(tmp_path, made)
    assert cut(path, network, 3).segments == []
    assert not cut(path, network, 3).equal
    assert segmented(path, network, 3, tmp_path / "cache").paths == (path,)


def test_segments_are_kept_and_damaged_ones_are_made_again(tmp_path: Path) -> None:
    path, network = saved(tmp_path, convolution())
    first = segmented(path, network, 2, tmp_path / "cache")
    assert len(first.paths) == 2
    times = [file.stat().st_mtime_ns for file in first.paths]
    assert segmented(path, network, 2, tmp_path / "cache") == first
    assert [file.stat().st_mtime_ns for file in first.paths] == times
    whole = first.paths[1].read_bytes()
    first.paths[1].write_bytes(whole[: len(whole) // 2])
    again = segmented(path, network, 2, tmp_path / "cache")
    assert again.paths == first.paths
    # They need not be the same: where a network is cut follows from measured times.
    sessions = [open_session(file, options_of(1, as_it_is=True)) for file in again.paths]
    (feed,) = invented(network, 1).feeds(1)
    (expected,) = open_session(path, options_of(1)).run(None, feed)
    (answer,) = Chain(sessions, [network.outputs[0].name]).run(feed, lambda: None)
    assert np.array_equal(answer, expected)
    (first.paths[0].parent / NOTES).write_text("{")
    assert segmented(path, network, 2, tmp_path / "cache").paths == first.paths


def factory(folder: Path) -> OnnxEngineFactory:
    path, network = saved(folder, convolution())
    workload = critical_and_best_effort(network, network, names=("first", "second"))
    device = local_computer(cores=1).with_segments((3,))
    space = ConfigurationSpace(device, workload, 1, (1, 2))
    return OnnxEngineFactory(space, [path, path], folder / "cache")


def test_an_accelerator_says_in_how_many_segments_a_network_runs(tmp_path: Path) -> None:
    made = factory(tmp_path)
    assert isinstance(made.load(0, 0, 1), OnnxEngine)
    engine = made.load(1, FP32_IN_3, 1)
    assert isinstance(engine, SegmentedOnnxEngine)
    calls: list[int] = []
    picture = [np.ones((2, 3, 8, 8), np.float32)]
    (found,) = engine.run_segments(picture, lambda: calls.append(0))
    assert len(calls) == 2
    assert np.array_equal(found, made.load(0, 0, 1).run(picture)[0])


def test_the_int8_copy_is_cut_too(tmp_path: Path) -> None:
    made = factory(tmp_path)
    made.build(1, INT8_IN_3, 1)
    picture = [np.ones((2, 3, 8, 8), np.float32)]
    engine = made.load(1, INT8_IN_3, 1)
    assert isinstance(engine, SegmentedOnnxEngine)
    assert np.array_equal(engine.run(picture)[0], made.load(0, 1, 1).run(picture)[0])
