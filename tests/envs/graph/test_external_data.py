"""Weights in other files are found as ONNX Runtime finds them: links, folders, any name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from envs.errors import NetworkError, printable
from envs.graph.layers import read_network_and_layers
from envs.graph.onnx_file import read_whole
from envs.graph.reading import read_network
from tests.envs.graph.small_graphs import held, saved, tensor, whole

node = helper.make_node


def apart(path: Path, location: str) -> bytes:
    """Write a model at `path` whose matrix lies at `location`; return the bytes of the matrix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    matrix = held("w", 40, 40)
    content = matrix.raw_data
    matrix.ClearField("raw_data")
    matrix.data_location = TensorProto.EXTERNAL
    matrix.external_data.add(key="location", value=location)
    inputs, outputs = [tensor("x", ["N", 40])], [tensor("y", ["N", 40])]
    saved(path, [node("MatMul", ["x", "w"], ["y"])], inputs, outputs, [matrix])
    return bytes(content)


def model_link_and_data_at_its_target(folder: Path) -> Path:
    (folder / "real").mkdir()
    (folder / "real/w.data").write_bytes(apart(folder / "real/net.onnx", "w.data"))
    (folder / "net.onnx").symlink_to("real/net.onnx")
    return folder / "net.onnx"


def model_link_and_data_beside_the_link(folder: Path) -> Path:
    (folder / "w.data").write_bytes(apart(folder / "real/net.onnx", "w.data"))
    (folder / "net.onnx").symlink_to("real/net.onnx")
    return folder / "net.onnx"


def links_to_a_store(folder: Path) -> Path:
    """As the cache of a model hub keeps them: both names are links to blobs."""
    (folder / "blobs").mkdir()
    (folder / "blobs/2").write_bytes(apart(folder / "blobs/1", "w.data"))
    (folder / "snapshot").mkdir()
    (folder / "snapshot/net.onnx").symlink_to("../blobs/1")
    (folder / "snapshot/w.data").symlink_to("../blobs/2")
    return folder / "snapshot/net.onnx"


def data_link_to_outside(folder: Path) -> Path:
    (folder / "outside").write_bytes(apart(folder / "models/net.onnx", "w.data"))
    (folder / "models/w.data").symlink_to("../outside")
    return folder / "models/net.onnx"


def data_link_to_inside(folder: Path) -> Path:
    (folder / "other").write_bytes(apart(folder / "net.onnx", "w.data"))
    (folder / "w.data").symlink_to("other")
    return folder / "net.onnx"


def link_to_the_folder(folder: Path) -> Path:
    (folder / "real").mkdir()
    (folder / "real/w.data").write_bytes(apart(folder / "real/net.onnx", "w.data"))
    (folder / "models").symlink_to("real")
    return folder / "models/net.onnx"


def hard_link(folder: Path) -> Path:
    (folder / "store").write_bytes(apart(folder / "net.onnx", "w.data"))
    os.link(folder / "store", folder / "w.data")
    return folder / "net.onnx"


def folder_below(folder: Path) -> Path:
    (folder / "weights").mkdir()
    (folder / "weights/w.data").write_bytes(apart(folder / "net.onnx", "weights/w.data"))
    return folder / "net.onnx"


@pytest.mark.parametrize(
    "layout",
    [
        model_link_and_data_at_its_target,
        model_link_and_data_beside_the_link,
        links_to_a_store,
        data_link_to_outside,
        data_link_to_inside,
        link_to_the_folder,
        hard_link,
        folder_below,
    ],
)
def test_links_are_taken_as_onnx_runtime_takes_them(
    tmp_path: Path, layout: Callable[[Path], Path]
) -> None:
    path = layout(tmp_path)
    try:
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        taken = True
    except Exception:  # the errors of ONNX Runtime have no common base
        taken = False
    if taken:
        assert read_network(path).macs == 40 * 40
        assert len(read_whole(path).graph.initializer[0].raw_data) == 4 * 40 * 40
    else:
        with pytest.raises(NetworkError, match=r"outside its own folder|which is missing"):
            read_network(path)
        with pytest.raises(NetworkError):
            read_whole(path)


@pytest.mark.parametrize(
    "name",
    [
        *("ü ä", "[x]", "new\nline", "a:b", "q'\"", "%s {0}", "日本", "back\\slash", "-x", "*?"),
        *("tab\t", "a=b,c", "#$&", "dots..in"),
    ],
)
def test_files_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / f"{name}.onnx"
    content = apart(path, f"{name}.data")
    (tmp_path / name / f"{name}.data").write_bytes(content)
    onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    network, layers = read_network_and_layers(path)
    shown = printable(name)
    assert (network.name, layers.name, network.macs) == (shown, shown, 40 * 40)


def test_a_shape_in_another_file_is_read(tmp_path: Path) -> None:
    """PyTorch's newer exporter puts every weight there, however small."""
    nodes = [node("Reshape", ["x", "target"], ["r"]), node("MatMul", ["r", "w"], ["y"])]
    weights = [whole("target", [-1, 60]), held("w", 60, 30)]
    x, y = tensor("x", ["N", 3, 20]), tensor("y", ["N", 30])
    path = saved(tmp_path / "net.onnx", nodes, [x], [y], weights)
    inside = read_network(path)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, size_threshold=0, location="net.data")
    outside = read_network(path)
    assert (outside.macs, outside.weight_bytes) == (inside.macs, inside.weight_bytes)
    assert outside.sha256 != inside.sha256


def test_weights_of_a_branch_in_another_file_are_read(tmp_path: Path) -> None:
    def branch(name: str) -> Any:
        return helper.make_graph(
            [node("Add", ["x", name], ["z"])], name, [], [tensor("z", None)], [held(name, 4)]
        )

    condition = onnx.numpy_helper.from_array(np.array(True), "c")
    nodes = [node("If", ["c"], ["y"], then_branch=branch("a"), else_branch=branch("b"))]
    path = saved(
        tmp_path / "net.onnx", nodes, [tensor("x", ["N", 4])], [tensor("y", None)], [condition]
    )
    model = onnx.load(path)
    for attribute in model.graph.node[0].attribute:
        weight = attribute.g.initializer[0]
        (tmp_path / f"{weight.name}.data").write_bytes(weight.raw_data)
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=f"{weight.name}.data")
    path.write_bytes(model.SerializeToString())
    network = read_network(path)
    assert (network.layers, network.fixed_batch) == (1, None)
