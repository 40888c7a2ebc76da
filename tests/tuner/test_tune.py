"""The tune command, live on a real network."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stable_baselines3 import PPO

from tests.standins.tensorrt import stand_ins
from tests.tuner.tune import CPU, QUICK, SMALL, tune
from tuner.folders import shipped
from tuner.policy.bundle import load_bundle

pytestmark = pytest.mark.usefixtures("session_cache")

ROOT = Path(__file__).parents[2]


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
        "50000",
        "--out",
        str(out),
    ]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
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
    assert answer["p99_ms"][0] <= 50000
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
    result = tune(
        "--network", small_onnx, other_onnx, "--p99-ms", 50000, 40000, "--out", out, *SMALL
    )
    assert result.returncode == 0, result.stderr
    assert "small p99 <= 50000 ms, other p99 <= 40000 ms" in result.stdout
    ratio = r"times the default \(weighted throughput; |it is the default"
    assert re.search(ratio, result.stdout)
    answer = json.loads(out.read_text())
    assert {slot["tenant"] for slot in answer["configuration"]} == {"small", "other"}
    assert len(answer["throughput_ips"]) == len(answer["p99_ms"]) == 2
    assert answer["limits_kept"]
    assert answer["searched"] <= 8


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
        timeout=600,
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
