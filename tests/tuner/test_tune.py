"""The tune command, live on a real network."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from stable_baselines3 import PPO

from envs.runtimes.protocol import Transition
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, ConfigurationFailed, Failure, FailureKind
from tests.commands import CommandResult, call
from tests.standins.tensorrt import stand_ins
from tuner.folders import shipped
from tuner.policy.bundle import load_bundle

ROOT = Path(__file__).parents[2]
QUICK = ("--window-s", "0.1")
SMALL = ("--max-instances", 2, "--batches", 1, 4)


@pytest.fixture(autouse=True)
def quantised(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantised copies are kept for the whole session."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


def tune(*arguments: object) -> CommandResult:
    return call("tune", *QUICK, *arguments)


def test_the_shipped_policy_answers_within_eight_measurements(
    small_onnx: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answer.json"
    command = [
        sys.executable,
        "-m",
        "tuner.tune",
        *QUICK,
        "--network",
        str(small_onnx),
        "--p99-ms",
        "500",
        "--out",
        str(out),
    ]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
    assert "answer: small: cpu_" in result.stdout
    assert re.search(r"times the default|it is the default", result.stdout)
    assert re.search(r"confirmed by \d+ windows.*, measured on ", result.stdout)
    answer = json.loads(out.read_text())
    assert answer["limits_kept"]
    assert answer["complete"]
    assert 1 <= answer["searched"] <= 8
    assert answer["origin"] == "measured"
    assert answer["configuration"][0]["tenant"] == "small"
    assert answer["p99_ms"][0] <= 500
    assert answer["throughput_ips"][0] > 0


BOARD = ("--runtime", "simulated", "--board", "orin_nano_8")


@pytest.mark.parametrize(
    ("arguments", "origin"),
    [
        (("--network", "NET", *BOARD, "--mode", "15W", "--power-w", 9, *SMALL), "simulated"),
        (("--runtime", "replayed", "--trace", "resnet50", "--p99-ms", 400), "replayed"),
        (
            ("--network", "NET", "--runtime", "tensorrt", "--board", "agx_orin_64", *SMALL),
            "measured",
        ),
    ],
    ids=["simulated", "replayed", "tensorrt"],
)
def test_every_runtime_is_tuned_and_its_origin_is_said(
    arguments: tuple[object, ...], origin: str, small_onnx: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answer.json"
    given = [small_onnx if each == "NET" else each for each in arguments]
    with stand_ins():
        result = tune(*given, "--measurements", 4, "--out", out)
    assert result.returncode == 0, result.stderr
    assert f"({origin}): most throughput" in result.stdout
    assert re.search(rf"confirmed by \d+ windows?.*, {origin} on ", result.stdout)
    for unit in ("throughput [inferences/s]", "[ms]", "power [W]"):
        assert unit in result.stdout
    assert json.loads(out.read_text())["origin"] == origin


def test_building_is_said_and_what_is_left_out(small_onnx: Path) -> None:
    with stand_ins(dla_cores=0):
        result = tune(
            *("--network", small_onnx, "--runtime", "tensorrt", "--board", "agx_orin_64", *SMALL),
            *("--measurements", 3, "--cache", small_onnx.parent / "none_yet"),
        )
    assert result.returncode == 0, result.stderr
    guess, first, *lines = result.stderr.splitlines()
    assert guess.startswith("guessed the power mode, which nothing names here: a GPU with 16 ")
    assert guess.endswith("give --mode if that is wrong")
    assert first == "without DLAs: the builder of this TensorRT counts none"
    assert lines[0].startswith("building small on cuda, fp32")
    assert lines[1].startswith("building small on tensor, fp16")


def test_three_networks_share_this_computer(small_onnx: Path, other_onnx: Path) -> None:
    result = tune("--network", small_onnx, other_onnx, small_onnx, "--measurements", 3)
    assert result.returncode == 0, result.stderr
    assert "  small_2: " in result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("without cpu_int8 for small, other, small_2: INT8 needs samples")


def test_the_shipped_policy_is_whole() -> None:
    bundle = load_bundle(shipped("checkpoints") / "reference.bundle")
    assert bundle.budget == 8
    assert bundle.provenance["origin"] == "simulated"
    assert bundle.provenance["draw"]["split"] == "train"
    assert bundle.provenance["draw"]["boards"] is None


def test_two_tenants_share_the_computer(small_onnx: Path, other_onnx: Path, tmp_path: Path) -> None:
    """A single policy serves them as well; by default a tenant counts by the work it is."""
    out = tmp_path / "answer.json"
    result = tune("--network", small_onnx, other_onnx, "--p99-ms", 500, 400, "--out", out, *SMALL)
    assert result.returncode == 0, result.stderr
    assert "small p99 <= 500 ms, other p99 <= 400 ms" in result.stdout
    ratio = r"times the default \(weighted throughput; |it is the default"
    assert re.search(ratio, result.stdout)
    answer = json.loads(out.read_text())
    assert {slot["tenant"] for slot in answer["configuration"]} == {"small", "other"}
    assert len(answer["throughput_ips"]) == len(answer["p99_ms"]) == 2
    assert answer["limits_kept"]
    assert answer["searched"] <= 8


def test_a_limit_that_nothing_meets(small_onnx: Path) -> None:
    result = tune("--network", small_onnx, "--p99-ms", 0.001, "--measurements", 4, *SMALL)
    assert result.returncode == 3
    assert "answer: small" in result.stdout
    assert "the least violating one is given above" in result.stderr


def test_another_policy_can_be_given(
    policy: tuple[PPO, Path], small_onnx: Path, tmp_path: Path
) -> None:
    result = tune(
        "--network", small_onnx, "--bundle", policy[1], "--measurements", 3, *SMALL, "--pairs", 0
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"^  [123] measurements?,", result.stdout, re.MULTILINE)
    broken = tmp_path / "broken.bundle"
    broken.write_bytes(policy[1].read_bytes()[:1000])
    result = tune("--network", small_onnx, "--bundle", broken)
    assert result.returncode == 2
    assert "broken.bundle is damaged or no policy bundle" in result.stderr


def constant(path: Path) -> Path:
    tensor = helper.make_tensor("c", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=tensor)],
        "g",
        [],
        [helper.make_tensor_value_info("y", 1, [1])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def dynamic(path: Path) -> Path:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [value("x", 1, ["n", "w"])],
        [value("y", 1, ["n", "w"])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def fixed(path: Path) -> Path:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [value("x", 1, [3, 4])],
        [value("y", 1, [3, 4])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def test_what_cannot_be_tuned_gets_one_sentence(small_onnx: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.onnx"
    truncated.write_bytes(small_onnx.read_bytes()[:5000])
    cases: list[tuple[tuple[object, ...], str]] = [
        (("--network", truncated), "truncated.onnx"),
        (("--network", constant(tmp_path / "constant.onnx")), "no input"),
        (("--network", dynamic(tmp_path / "dynamic.onnx")), "dynamic"),
        (
            ("--network", fixed(tmp_path / "fixed.onnx")),
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


CPU = ("--accelerators", "cpu_fp32", "--max-instances", 2, "--batches", 1, 4)


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_leaves_the_table_and_the_best_so_far(
    small_onnx: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "answer.json"
    command = [
        *(sys.executable, "-u", "-c", INTERRUPTED.replace("SIGNAL", number.name)),
        *("--network", str(small_onnx)),
        *("--window-s", "0.1", "--measurements", "8", "--out", str(out), *map(str, CPU)),
    ]
    result = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 130, result.stderr
    assert result.stderr == "interrupted; what was completed is kept\n"
    assert " 3  cpu_fp32 " in result.stdout
    assert " 4  cpu_fp32 " not in result.stdout
    assert "best so far: small: cpu_fp32 " in result.stdout
    assert "stopped before it was confirmed" in result.stdout
    answer = json.loads(out.read_text())
    assert (answer["complete"], answer["measurements"]) == (False, 3)
    assert answer["configuration"][0]["accelerator"] == "cpu_fp32"


#: The command, which gets a real signal in the middle of its fourth window.
INTERRUPTED = """
import os, signal, sys, threading
from envs.runtimes.serving.runtime import ServingRuntime
from tuner.tune import main

signal.signal(signal.SIGINT, signal.default_int_handler)
measure, windows = ServingRuntime.measure, []

def interrupted(runtime, window_s):
    windows.append(1)
    if len(windows) == 4:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGNAL)).start()
        window_s = 30.0
    return measure(runtime, window_s)

ServingRuntime.measure = interrupted
sys.exit(main(sys.argv[1:]))
"""
