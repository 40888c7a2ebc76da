"""Inputs are given sizes and values by name, in a copy that computes the same."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.errors import NetworkError, OptionError
from envs.graph.binding import bound
from envs.graph.binding_options import parse_shapes, parse_values
from envs.graph.reading import read_network
from envs.spec import TensorSpec
from tests.envs.graph.small_graphs import held, saved, tensor

node = helper.make_node


def resizable(path: Path, **how: Any) -> Path:
    """Two images of a free size, and a number that chooses between two branches."""
    branches = {
        f"{name}_branch": helper.make_graph(
            [node("Conv", ["images", "w"], ["c"]), node("Mul", ["c", factor], ["z"])],
            name,
            [],
            [tensor("z", None)],
            [numpy_helper.from_array(np.float32(value), factor)],
        )
        for name, factor, value in (("then", "half", 0.5), ("else", "twice", 2.0))
    }
    nodes = [
        node("Equal", ["rate", "wanted"], ["matches"]),
        node("If", ["matches"], ["b"], **branches),
        node("Add", ["b", "bias"], ["y"]),
    ]
    inputs = [
        tensor("images", ["N", 3, "h", "w:2"]),
        tensor("bias", ["N", 1, "h", 1]),
        tensor("rate", [], TensorProto.INT64),
    ]
    wanted = numpy_helper.from_array(np.int64(16000), "wanted")
    weights = [held("w", 2, 3, 1, 1), wanted]
    return saved(path, nodes, inputs, [tensor("y", ["N", 2, "h", "w:2"])], weights, **how)


def run(path: Path, feed: dict[str, Any]) -> Any:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(
        None, {each.name: np.asarray(feed[each.name]) for each in session.get_inputs()}
    )[0]


def test_texts_of_the_options_are_parsed() -> None:
    assert parse_shapes(["images:1x3x640X640", "a:b:2"]) == {
        "images": (1, 3, 640, 640),
        "a:b": (2,),
    }
    assert parse_values(["sr:16000", "t:0:0.5", "train:false", "x:-2e3"]) == {
        "sr": 16000,
        "t:0": 0.5,
        "train": 0,
        "x": -2000.0,
    }
    assert isinstance(parse_values(["sr:16000"])["sr"], int)


@pytest.mark.parametrize(
    "text",
    ["images", ":1x3", "images:", "x:1x0x3", "x:1xx3", "x:1x-3", "x:a", "x:1,3", "x: 1x3 x4"],
)
def test_wrong_shapes_are_named(text: str) -> None:
    with pytest.raises(OptionError, match="shape="):
        parse_shapes([text])


@pytest.mark.parametrize("text", ["sr", ":1", "sr:", "sr:16k", "sr:1x2"])
def test_wrong_values_are_named(text: str) -> None:
    with pytest.raises(OptionError, match="fix="):
        parse_values([text])


def test_an_input_named_twice_is_an_error() -> None:
    with pytest.raises(OptionError, match="'x' is named twice"):
        parse_shapes(["x:1x3", "x:1x4"])


def test_a_copy_has_sizes_values_and_the_branch_that_is_taken(tmp_path: Path) -> None:
    path = resizable(tmp_path / "two branches [ü].onnx")
    with pytest.raises(
        NetworkError, match=r"dimensions 2 \(h\) and 3 \(w:2\) of input 'images' are dynamic"
    ):
        read_network(path)
    shapes, cache = {"images": (1, 3, 6, 8)}, tmp_path / "cache"
    copy = bound(path, shapes, {"rate": 16000}, cache)
    assert copy.stem == path.stem
    assert cache in copy.parents
    network = read_network(copy)
    # h is a size of `bias` too, and takes the same value.
    assert network.inputs == (
        TensorSpec("images", (3, 6, 8), "float32"),
        TensorSpec("bias", (1, 6, 1), "float32"),
    )
    assert (network.fixed_batch, network.macs) == (None, 2 * 6 * 8 * 3)
    assert network.outputs[0].shape == (2, 6, 8)
    assert not any(each.op_type == "If" for each in onnx.load(copy).graph.node)
    rng = np.random.default_rng(0)
    feed = {
        "images": rng.random((3, 3, 6, 8), np.float32),
        "bias": rng.random((3, 1, 6, 1), np.float32),
    }
    for rate in (16000, 8000):
        other = bound(path, shapes, {"rate": rate}, cache)
        expected = run(path, feed | {"rate": np.int64(rate)})
        np.testing.assert_array_equal(run(other, feed), expected)
        assert (other == copy) == (rate == 16000)


def test_a_second_call_finds_the_copy_and_a_changed_file_makes_another(tmp_path: Path) -> None:
    path, cache = resizable(tmp_path / "net.onnx"), tmp_path / "cache"
    first = bound(path, {"images": (1, 3, 4, 4)}, {}, cache)
    written = first.stat().st_mtime_ns
    assert bound(path, {"images": (1, 3, 4, 4)}, {}, cache) == first
    assert first.stat().st_mtime_ns == written
    assert bound(path, {"images": (1, 3, 4, 8)}, {}, cache) != first
    assert bound(path, {}, {}, cache) == path
    resizable(path, opset=14)
    assert bound(path, {"images": (1, 3, 4, 4)}, {}, cache) != first


def test_a_link_in_the_cache_is_not_taken_for_the_copy(tmp_path: Path) -> None:
    path, cache = resizable(tmp_path / "net.onnx"), tmp_path / "cache"
    copy = bound(path, {"images": (1, 3, 4, 4)}, {}, cache)
    content = copy.read_bytes()
    copy.unlink()
    (tmp_path / "other.onnx").write_bytes(b"precious")
    copy.symlink_to(tmp_path / "other.onnx")
    assert bound(path, {"images": (1, 3, 4, 4)}, {}, cache).read_bytes() == content
    assert (tmp_path / "other.onnx").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("shapes", "values", "sentence"),
    [
        ({"image": (1, 3)}, {}, r"shape=image: .* its inputs are images, bias, rate"),
        ({}, {"sr": 1}, r"fix=sr: .* its inputs are images, bias, rate"),
        ({"w": (1,)}, {}, "has no input of this name"),
        ({"images": (3, 6, 8)}, {}, "3 sizes, but this input has 4 dimensions"),
        ({"images": (1, 4, 6, 8)}, {}, "dimension 1 of this input is 3 in the file"),
        ({"images": (4, 3, 6, 8)}, {}, r"batch, which stays free: .* batches=\[4\]"),
        ({}, {"rate": 0.5}, "holds int64, which has no such number"),
        ({}, {"rate": float("nan")}, "holds int64, which has no such number"),
        ({}, {"rate": float("inf")}, "holds int64, which has no such number"),
        ({}, {"rate": 10**23}, "holds int64, which has no such number"),
        ({}, {"images": 1.0}, "has free dimensions"),
        ({"rate": (1,)}, {}, "1 sizes, but this input has 0 dimensions"),
        ({"rate": ()}, {"rate": 1}, "shape names this input too"),
    ],
)
def test_what_does_not_fit_the_file_is_an_error(
    tmp_path: Path, shapes: Any, values: Any, sentence: str
) -> None:
    with pytest.raises(OptionError, match=sentence):
        bound(resizable(tmp_path / "net.onnx"), shapes, values, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_fixed_batch_stays_and_minus_one_is_free(tmp_path: Path) -> None:
    for first, asked, kept in ((2, 2, 2), (-1, 1, None)):
        path = saved(
            tmp_path / "net.onnx",
            [node("Relu", ["x"], ["y"])],
            [tensor("x", [first, 3, "?", "?"])],
            [tensor("y", [first, 3, -1, -1])],
            [],
        )
        network = read_network(bound(path, {"x": (asked, 3, 6, 8)}, {}, tmp_path / "cache"))
        assert network.fixed_batch == kept
        assert network.outputs[0].shape == (3, 6, 8)


def test_weights_beside_the_file_are_put_into_the_copy(tmp_path: Path) -> None:
    path = resizable(tmp_path / "net.onnx")
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, size_threshold=0, location="net.data")
    copy = bound(path, {"images": (1, 3, 4, 4)}, {"rate": 1}, tmp_path / "cache")
    (tmp_path / "net.data").unlink()
    assert read_network(copy).macs == 2 * 16 * 3
    assert sorted(each.name for each in copy.parent.iterdir()) == ["net.onnx"]


def test_weights_that_are_too_large_are_copied_beside_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envs.graph.binding.MAX_MESSAGE_BYTES", 100)
    path = resizable(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.initializer.append(held("table", 300, 300))
    model.graph.node.append(node("ReduceMax", ["table"], ["largest"], keepdims=0))
    model.graph.node.append(node("Add", ["y", "largest"], ["z"]))
    model.graph.output[0].name = "z"
    onnx.save(model, path, save_as_external_data=True, size_threshold=0, location="net.data")
    copy = bound(path, {"images": (1, 3, 4, 4)}, {"rate": 1}, tmp_path / "cache")
    assert sorted(each.name for each in copy.parent.iterdir()) == ["net.data", "net.onnx"]
    (tmp_path / "net.data").unlink()
    assert read_network(copy).weight_bytes > 4 * 300 * 300
    feed = {"images": np.ones((2, 3, 4, 4), np.float32), "bias": np.ones((2, 1, 4, 1), np.float32)}
    assert run(copy, feed).shape == (2, 2, 4, 4)


def packaged(package: str) -> Iterator[Path]:
    """Yield the ONNX files inside an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    yield from sorted(Path(spec.origin).parent.rglob("*.onnx"))


def test_magika_is_read_as_it_is() -> None:
    """A classifier of file contents that tf2onnx wrote."""
    [path] = packaged("magika")
    network = read_network(path)
    assert network.fixed_batch is None
    assert network.inputs[0].dtype == "int32"
    output = run(path, {network.inputs[0].name: np.ones((3, *network.inputs[0].shape), np.int32)})
    assert output.shape == (3, *network.outputs[0].shape)


@pytest.mark.parametrize(
    ("part", "shape"), [("det", (1, 3, 64, 96)), ("rec", (1, 3, 48, 64)), ("cls", (1, 3, 48, 192))]
)
def test_rapidocr_is_read_with_a_named_size(
    tmp_path: Path, part: str, shape: tuple[int, ...]
) -> None:
    """Detection, recognition and classification of text, which Paddle wrote."""
    [path] = [each for each in packaged("rapidocr_onnxruntime") if f"_{part}_" in each.name]
    with pytest.raises(NetworkError, match=r"dimensions 2 .* are dynamic: .*shape=x:1x3x640x640"):
        read_network(path)
    copy = bound(path, {"x": shape}, {}, tmp_path)
    network = read_network(copy)
    assert (network.fixed_batch, network.inputs[0].shape) == (None, shape[1:])
    assert network.macs > 1e6
    output = run(copy, {"x": np.ones((2, *shape[1:]), np.float32)})
    assert output.shape == (2, *network.outputs[0].shape)


def test_silero_is_refused_for_its_state_and_its_branch_is_taken(tmp_path: Path) -> None:
    """Detection of speech, whose state goes from one call to the next."""
    files = {each.name: each for each in packaged("silero_vad")}
    for path in files.values():
        with pytest.raises(NetworkError, match="is a state without the batch in front"):
            read_network(path)
    path = files["silero_vad.onnx"]
    copy = bound(path, {"input": (1, 576)}, {"sr": 16000}, tmp_path)
    with pytest.raises(NetworkError, match=r"'state' \[2, \?, 128\] is a state"):
        read_network(copy)
    rng = np.random.default_rng(0)
    feed = {
        "input": rng.normal(size=(2, 576)).astype(np.float32),
        "state": rng.normal(size=(2, 2, 128)).astype(np.float32),
    }
    np.testing.assert_array_equal(run(copy, feed), run(path, feed | {"sr": np.int64(16000)}))
