"""What the tune command cannot tune: bad networks, and windows that all fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from envs.runtimes.protocol import Transition
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, ConfigurationFailed, Failure, FailureKind
from tests.envs.graph.small_graphs import saved, tensor
from tests.tuner.tune import CPU, SMALL, tune

pytestmark = pytest.mark.usefixtures("session_cache")


def test_a_limit_that_nothing_meets(small_onnx: Path) -> None:
    result = tune("--network", small_onnx, "--p99-ms", 0.001, "--measurements", 4, *SMALL)
    assert result.returncode == 3
    assert "answer: small" in result.stdout
    assert "the least violating one is given above" in result.stderr


def constant(path: Path) -> Path:
    held = helper.make_tensor("c", TensorProto.FLOAT, [1], [1.0])
    nodes = [helper.make_node("Constant", [], ["y"], value=held)]
    return saved(path, nodes, [], [tensor("y", [1])], [], opset=17)


def relu(path: Path, shape: list[int | str]) -> Path:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    return saved(path, nodes, [tensor("x", shape)], [tensor("y", shape)], [], opset=17)


def test_what_cannot_be_tuned_gets_one_sentence(small_onnx: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.onnx"
    truncated.write_bytes(small_onnx.read_bytes()[:5000])
    cases: list[tuple[tuple[object, ...], str]] = [
        (("--network", truncated), "truncated.onnx"),
        (("--network", constant(tmp_path / "constant.onnx")), "no input"),
        (("--network", relu(tmp_path / "dynamic.onnx", ["n", "w"])), "dynamic"),
        (
            ("--network", relu(tmp_path / "fixed.onnx", [3, 4])),
            "the batch is not the only one",
        ),
        (("--network", small_onnx, "--p99-ms", 1, 2), "2 values for 1 tenants"),
        (
            ("--network", small_onnx, small_onnx, "--p99-ms", 1, 2, 3),
            "3 values for 2 tenants",
        ),
        (("--network", small_onnx, "--measurements", 1), "measurements=1"),
        (("--network", small_onnx, "--pairs", 21), "pairs=21 must lie in 0..20"),
        (("--network", small_onnx, "--window-s", 0), "window_s=0.0 must be above zero"),
        (("--network", small_onnx, "--power-w", 10), "a power limit of 10 W cannot be kept"),
        (("--network", small_onnx, "--p99-ms", "soon"), "--p99-ms: invalid float value: 'soon'"),
    ]
    for arguments, sentence in cases:
        result = tune(*arguments)
        if "power" in sentence and result.returncode == 0:
            continue  # a computer with RAPL keeps power limits
        assert result.returncode == 2, (arguments, result.stderr)
        assert result.stderr.count("\n") == 1, result.stderr
        assert sentence in result.stderr


def refused(
    monkeypatch: pytest.MonkeyPatch, reason: str, wanted: Callable[[Configuration], bool]
) -> None:
    """Let configurations fail as a runtime fails that cannot load them."""
    apply = ServingRuntime.apply

    def failing(runtime: ServingRuntime, configuration: Configuration) -> Transition:
        if wanted(configuration):
            raise ConfigurationFailed(Failure(FailureKind.BUILD_FAILED, reason))
        return apply(runtime, configuration)

    monkeypatch.setattr(ServingRuntime, "apply", failing)


def test_the_reason_of_each_failed_window_stands_below_the_table(
    small_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(monkeypatch, "no kernel for Foo", lambda each: each.array()[0, 0].tolist() != [1, 1])
    result = tune("--network", small_onnx, "--measurements", 5, *CPU)
    assert result.returncode == 0, result.stderr
    assert "windows of cpu_fp32 " in result.stdout
    assert result.stdout.count("failed (build_failed): no kernel for Foo") == 1
    assert "it is the default configuration" in result.stdout
    assert "times the default" not in result.stdout


def test_where_nothing_could_be_measured_the_error_says_why(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(monkeypatch, "unsupported IR version 99", lambda each: True)
    out = tmp_path / "answer.json"
    result = tune("--network", small_onnx, "--measurements", 4, *CPU, "--out", out)
    assert result.returncode == 2
    assert result.stderr.startswith("error: nothing could be measured, every window failed: ")
    assert result.stderr.endswith("(build_failed): unsupported IR version 99\n")
    assert "meets the limits" not in result.stderr
    assert "answer:" not in result.stdout
    assert not out.exists()


def test_out_is_tried_before_anything_is_measured(small_onnx: Path, tmp_path: Path) -> None:
    folder, pipe = tmp_path / "folder", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    for out, sentence in (
        (folder, f"cannot write {folder}: it is a folder; name a file in it"),
        (folder / "no" / "answer.json", f"there is no folder {folder / 'no'}; make it"),
        (small_onnx / "answer.json", f"there is no folder {small_onnx}; make it"),
        (pipe, f"cannot write {pipe}: it is no plain file; choose another --out"),
        (Path("/proc/answer.json"), "cannot write /proc/answer.json: "),
    ):
        result = tune("--network", small_onnx, "--out", out, *CPU)
        assert result.returncode == 2, result.stdout
        assert result.stdout == ""
        assert sentence in result.stderr
        assert result.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []
