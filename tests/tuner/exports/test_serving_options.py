"""Exports of networks with dynamic inputs, and of networks whose batches are no batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.commands import CommandResult, call
from tests.tuner.exports.recorder import run
from tests.tuner.exports.typed import write_typed

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
INFO, NODE = helper.make_tensor_value_info, helper.make_node


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], ir: int = 8) -> Path:
    weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weight])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=ir), str(path))
    return path


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """Return a network with a free height and width, and a scalar that scales its answer."""
    nodes = [
        NODE("Conv", ["picture", "w"], ["c"]),
        NODE("GlobalAveragePool", ["c"], ["p"]),
        NODE("Flatten", ["p"], ["f"]),
        NODE("Cast", ["gain"], ["g"], to=FLOAT),
        NODE("Mul", ["f", "g"], ["y"]),
    ]
    inputs = [INFO("picture", FLOAT, ["n", 3, "h", "w_"]), INFO("gain", INT64, [])]
    return save(tmp_path / "detector.onnx", nodes, inputs, [INFO("y", FLOAT, ["n", 4])])


def export(out: Path, network: Path, *more: object) -> CommandResult:
    return call("export", "--network", network, "--out", out, "--cache", out.parent / "c", *more)


def test_sizes_and_values_that_are_given_by_name(detector: Path, tmp_path: Path) -> None:
    out = tmp_path / "x" / "out"
    places = ("--target", "trtexec", "--configuration", "tensor=1x4", "dla0=1x2")
    given = ("--shape", "picture:1x3x16x24", "--fix", "gain:3", "--dla-precision", "fp16")
    assert export(out, detector, *places).returncode == 2
    result = export(out, detector, *places, *given)
    assert result.returncode == 0, result.stderr
    tensor, _ = run(out)
    assert [word for word in tensor if "Shapes" in word] == [
        "--minShapes=picture:1x3x16x24",
        "--optShapes=picture:4x3x16x24",
        "--maxShapes=picture:4x3x16x24",
    ]
    for name in ("networks/detector.onnx", "networks/dla/detector.b2.onnx"):
        session = onnxruntime.InferenceSession(out / name, providers=["CPUExecutionProvider"])
        assert [each.name for each in session.get_inputs()] == ["picture"]
        answer = session.run(None, {"picture": np.ones((2, 3, 16, 24), np.float32)})[0]
        assert np.allclose(np.asarray(answer).reshape(2, 4), 9), "three ones, three times"


def test_a_network_whose_batches_are_no_batches(tmp_path: Path) -> None:
    nodes = [
        NODE("Conv", ["picture", "w"], ["c"]),
        NODE("ReduceMax", ["c"], ["m"], axes=[0], keepdims=1),
        NODE("Sub", ["c", "m"], ["y"]),
    ]
    ends = [INFO("picture", FLOAT, ["n", 3, 8, 8])], [INFO("y", FLOAT, ["n", 4, 8, 8])]
    path = save(tmp_path / "net.onnx", nodes, *ends)
    for target in ("trtexec", "triton", "deepstream"):
        out = tmp_path / "x" / target
        result = export(out, path, "--target", target, "--configuration", "tensor=1x4")
        assert result.returncode == 2
        assert "answers depend on what else is in the batch (ReduceMax" in result.stderr
        result = export(out, path, "--target", target, "--configuration", "tensor=1x1")
        assert (result.returncode, result.stderr) == (0, "")


def test_a_file_that_only_the_board_can_load(tmp_path: Path) -> None:
    ends = [INFO("picture", FLOAT, ["n", 3, 8, 8])], [INFO("y", FLOAT, ["n", 4, 8, 8])]
    path = save(
        tmp_path / "net.onnx", [NODE("Conv", ["picture", "w"], ["y"])], *ends, onnx.IR_VERSION
    )
    result = export(tmp_path / "a", path, "--target", "trtexec", "--configuration", "tensor=1x4")
    assert result.returncode == 0
    if not result.stderr:
        pytest.skip("this ONNX Runtime is as new as this onnx")
    assert "nobody checked that batches" in result.stderr
    result = export(tmp_path / "b", path, "--target", "triton", "--configuration", "cpu_fp32=1x1")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "Unsupported model IR version" in result.stderr


@pytest.mark.parametrize("accelerator", ["tensor", "dla0"])
def test_old_files_are_calibrated_without_their_weights_among_the_inputs(
    accelerator: str, tmp_path: Path
) -> None:
    path, out = write_typed(tmp_path / "old.onnx", opset=7, ir=3), tmp_path / "x" / "out"
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((8, 3, 8, 8), dtype=np.float32))
    places = ("--target", "trtexec", "--tensor-precision", "int8")
    given = ("--configuration", f"{accelerator}=1x2", "--samples", tmp_path / "x.npy")
    result = export(out, path, *places, *given)
    assert result.returncode == 0, result.stderr
    (words,) = run(out)
    assert not any(":" in word and "w:" in word for word in words if "Shapes" in word)
    (cache,) = (out / "calibration").iterdir()
    assert f"--calib=calibration/{cache.name}" in words
    assert "\npicture: " in cache.read_text()


def test_a_fixed_batch_is_calibrated_at_that_batch(tmp_path: Path) -> None:
    ends = [INFO("picture", FLOAT, [4, 3, 8, 8])], [INFO("y", FLOAT, [4, 4, 8, 8])]
    path = save(tmp_path / "net.onnx", [NODE("Conv", ["picture", "w"], ["y"])], *ends)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((9, 3, 8, 8), dtype=np.float32))
    out = tmp_path / "x" / "out"
    places = ("--target", "trtexec", "--tensor-precision", "int8", "--samples", tmp_path / "x.npy")
    result = export(out, path, *places, "--configuration", "tensor=2x4")
    assert result.returncode == 0, result.stderr
    (words,) = run(out)
    assert not any("Shapes" in word for word in words), "trtexec refuses shapes of a fixed file"
    assert "--calib=calibration/net.cache" in words
