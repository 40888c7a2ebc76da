"""A quantised file on a DLA: without its Q and DQ nodes before TensorRT 11, with a cache."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.commands import call
from tests.tuner.exports.recorder import run
from tests.tuner.exports.typed import write_integer, write_qdq
from tuner.exports.calibrated import scales_of
from tuner.exports.implicit import without_qdq

NODE, INFO = helper.make_node, helper.make_tensor_value_info


def answers(model: Any, x: Any) -> Any:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: x})


def model(nodes: list[Any], outputs: list[str], weights: dict[str, Any]) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [INFO("x", TensorProto.FLOAT, ["n", 4])],
        [INFO(name, TensorProto.FLOAT, ["n", 4]) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def pair(name: str, result: str) -> list[Any]:
    """Return Q and DQ behind a tensor; the scale is s."""
    return [
        NODE("QuantizeLinear", [name, "s", "z"], [f"{result}/q"]),
        NODE("DequantizeLinear", [f"{result}/q", "s", "z"], [result]),
    ]


POINT = {"s": np.float32(0.5), "z": np.int8(0)}


def test_answers_on_the_grid_of_the_scale_stay_the_same(tmp_path: Path) -> None:
    quantised = onnx.load(write_qdq(tmp_path / "net.onnx"))
    plain = without_qdq(quantised)
    assert plain is not None
    onnx.checker.check_model(plain)
    assert not {node.op_type for node in plain.graph.node} & {"QuantizeLinear", "DequantizeLinear"}
    steps = np.random.default_rng(0).integers(-100, 101, (2, 3, 8, 8)).astype(np.float32)
    x = steps * np.float32(0.03)
    first, second = answers(quantised, x), answers(plain, x)
    assert first[0] == pytest.approx(second[0], abs=1e-5)
    assert scales_of(quantised) == {"picture": pytest.approx(0.03)}


def test_a_weight_with_a_scale_for_each_channel() -> None:
    nodes = [
        NODE("DequantizeLinear", ["w", "sw", "zw"], ["wd"], axis=1),
        NODE("MatMul", ["x", "wd"], ["y"]),
    ]
    weights = {
        "w": np.eye(4, dtype=np.int8) * np.int8(2),
        "sw": np.array([0.5, 1, 2, 4], np.float32),
        "zw": np.zeros(4, np.int8),
    }
    quantised = model(nodes, ["y"], weights)
    plain = without_qdq(quantised)
    assert plain is not None
    (weight,) = plain.graph.initializer
    assert np.array_equal(numpy_helper.to_array(weight), np.diag([1, 2, 4, 8]))
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert np.array_equal(answers(plain, x)[0], x * [1, 2, 4, 8])


def test_outputs_keep_their_names_and_one_tensor_may_be_quantised_twice() -> None:
    nodes = [
        NODE("Relu", ["x"], ["r"]),
        *pair("r", "y"),
        *pair("r", "t"),
        NODE("Relu", ["t"], ["u"]),
    ]
    quantised = model(nodes, ["y", "u"], POINT)
    assert scales_of(quantised) == {"y": 0.5, "r": 0.5}
    plain = without_qdq(quantised)
    assert plain is not None
    onnx.checker.check_model(plain)
    assert [list(node.input) + list(node.output) for node in plain.graph.node] == [
        ["x", "y"],
        ["y", "u"],
    ]


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        (pair("x", "y"), ["y"]),  # the output would be the input
        (
            [
                *pair("x", "t")[:1],
                NODE("Reshape", ["t/q", "shape"], ["i"]),
                NODE("DequantizeLinear", ["i", "s", "z"], ["y"]),
            ],
            ["y"],
        ),
    ],
)
def test_what_cannot_be_translated(nodes: list[Any], outputs: list[str]) -> None:
    weights = POINT | {"shape": np.array([-1, 4], np.int64)}
    assert without_qdq(model(nodes, outputs, weights)) is None


def test_integer_operators_cannot_be_translated(tmp_path: Path) -> None:
    assert without_qdq(onnx.load(write_integer(tmp_path / "net.onnx"))) is None


@pytest.mark.parametrize("version", ["8.6", "10", "11"])
def test_a_dla_gets_what_its_version_takes(version: str, tmp_path: Path) -> None:
    path, out = write_qdq(tmp_path / "qdq.onnx"), tmp_path / "x" / "out"
    places = ("--target", "trtexec", "--configuration", "tensor=1x2", "dla0=1x2")
    result = call("export", *places, "--network", path, "--out", out, "--tensorrt", version)
    assert (result.returncode, result.stderr) == (0, "")
    tensor, dla = run(out, version="8602" if version == "8.6" else "100300")
    flags = set() if version == "11" else {"--int8", "--fp16"}
    for words in (tensor, dla):
        assert set(words) & {"--int8", "--fp16", "--bf16"} == flags
    kinds = {node.op_type for node in onnx.load(out / "networks/dla/qdq.b2.onnx").graph.node}
    assert ("QuantizeLinear" in kinds) == (version == "11")
    assert "QuantizeLinear" in {
        node.op_type for node in onnx.load(out / "networks" / "qdq.onnx").graph.node
    }
    assert not any(word.startswith("--calib") for word in tensor)
    cache = "calibration/qdq.b2.dla.cache"
    assert (f"--calib={cache}" in dla) == (version != "11")
    if version != "11":
        name, digits = (out / cache).read_text().splitlines()[1].split(": ")
        assert name == "picture"
        assert struct.unpack(">f", bytes.fromhex(digits))[0] == pytest.approx(0.03)
    described = json.loads((out / "export.json").read_text())["models"]
    told = f"the quantised nodes of '{path}'"
    assert [each["calibration"] for each in described] == ["", "" if version == "11" else told]
