from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.drawings.shape_builder import ShapeBuilder
from benchmarks.drawings.write import table_dict
from envs.catalog.architectures import ARCHITECTURES, build, parameters, write
from envs.errors import OptionError, StorageError
from envs.graph.layers import read_network_and_layers, table_of
from envs.graph.reading import describe
from envs.graph.shapes import shape_graph
from envs.spec import TensorSpec


def drawn(name: str, image_size: int = 224, classes: int = 1000) -> Any:
    """Return the ModelProto without values of its weights."""
    builder = ShapeBuilder({"input": (3, image_size, image_size)})
    logits = ARCHITECTURES[name].draw(builder, image_size, classes)
    return builder.model(name, logits, image_size)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_and_cost_are_as_published(name: str) -> None:
    model = drawn(name)
    assert parameters(model) == ARCHITECTURES[name].parameters
    network = describe(shape_graph(model, Path(name)), "0" * 64, Path(name))
    assert network.macs == pytest.approx(ARCHITECTURES[name].macs, rel=0.02)
    assert network.weight_bytes == pytest.approx(4 * ARCHITECTURES[name].parameters, rel=0.02)
    assert network.fixed_batch is None
    assert network.inputs == (TensorSpec("input", (3, 224, 224), "float32"),)
    assert network.outputs == (TensorSpec("logits", (1000,), "float32"),)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_files_cost_as_drawn(name: str, written: Callable[[str], Path]) -> None:
    path = written(name)
    model = drawn(name, 32, 10) if name == "vgg11" else drawn(name)
    graph = shape_graph(model, path)
    network, layers = read_network_and_layers(path)
    assert network == describe(graph, network.sha256, path)
    assert table_dict(layers) == table_dict(table_of(graph, name))


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "vgg11"])
def test_logits_are_sane_and_follow_the_image(name: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    content = build(name, image_size=96, classes=50).SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(1).standard_normal((6, 3, 96, 96), dtype=np.float32)
    (logits,) = session.run(None, {"input": images})
    assert logits.shape == (6, 50)
    assert np.isfinite(logits).all()
    assert 0.01 < logits.std() < 100
    assert logits.std(axis=0).mean() > 0.05 * logits.std()
    (alone,) = session.run(None, {"input": images[2:3]})
    np.testing.assert_allclose(alone[0], logits[2], rtol=1e-2, atol=1e-3)


def test_vgg_can_be_built_at_a_small_size(written: Callable[[str], Path]) -> None:
    model = onnx.load(written("vgg11"))
    # Without 48 pixels of the first fully connected layer, and without 990 classes.
    missing = 48 * 512 * 4096 + 990 * (4096 + 1)
    assert parameters(model) == ARCHITECTURES["vgg11"].parameters - missing


def test_same_seed_gives_the_same_bytes() -> None:
    content = build("squeezenet1_1").SerializeToString()
    assert content == build("squeezenet1_1", seed=0).SerializeToString()
    assert content != build("squeezenet1_1", seed=1).SerializeToString()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"name": "resnet19"}, "unknown network 'resnet19': choose from resnet18, resnet50"),
        ({"name": "resnet18", "seed": -1}, "seed=-1 must be at least 0"),
        ({"name": "resnet18", "image_size": 31}, "image_size=31 must be at least 32"),
        ({"name": "resnet18", "classes": 0}, "classes=0 must be at least 1"),
    ],
)
def test_wrong_options_are_named(arguments: dict[str, object], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        build(**arguments)


def test_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new" / "folder"
    path = write("squeezenet1_1", folder)
    assert path == folder / "squeezenet1_1.onnx"
    content = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write("squeezenet1_1", folder, seed=1)
    assert path.read_bytes() == content
    assert list(folder.iterdir()) == [path]


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write("squeezenet1_1", tmp_path / "file")
