"""FP16 engines whose answers would not be those of FP32: the export says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from tests.commands import call


def large(path: Path) -> Path:
    """Write a network whose activations are too large for FP16, and whose answers are not."""
    weights = {
        "scale": np.array(6e4, np.float32),
        "back": np.array(1 / 6e4, np.float32),
        "w": np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["l"]),
        helper.make_node("Mul", ["l", "back"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "large",
        [value("x", 1, ["n", 8])],
        [value("y", 1, ["n", 4])],
        [onnx.numpy_helper.from_array(each, name) for name, each in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def export(folder: Path, *more: object) -> str:
    """Export for Tensor Cores, and return what was said and what the folder's README.txt says."""
    out = folder / "out"
    result = call(
        *("export", "--target", "trtexec", "--network", large(folder / "net.onnx")),
        *("--out", out, "--cache", folder / "cache", "--overwrite", *more),
    )
    assert result.returncode == 0, result.stderr
    return result.stderr + " ".join((out / "README.txt").read_text().split())


def test_fp16_that_overflows_is_said_and_fp32_has_nothing_to_say(tmp_path: Path) -> None:
    text = export(tmp_path, "--configuration", "tensor=1x4")
    assert text.count("net_tensor gives other answers than FP32: agreement 0") == 2
    assert "Use FP32." in text
    assert "other answers" not in export(tmp_path, "--configuration", "cuda=1x4")


def test_samples_judge_fp16(tmp_path: Path) -> None:
    small = np.random.default_rng(1).uniform(-0.01, 0.01, (40, 8)).astype(np.float32)
    np.save(tmp_path / "small.npy", small)
    text = export(tmp_path, "--configuration", "tensor=1x4", "--samples", tmp_path / "small.npy")
    assert "other answers" not in text
