"""What all commands share: options as people write them, and errors as one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tuner.cli import as_overrides

ROOT = Path(__file__).parents[2]


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=cwd, timeout=200)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--p99-ms", "50"], ["p99_ms=50"]),
        (["--p99-ms=50"], ["p99_ms=50"]),
        (["--network", "a/b-c.onnx", "seed=1"], ["network=a/b-c.onnx", "seed=1"]),
        (["--network", "my net.onnx"], ["network='my net.onnx'"]),
        (["--network", "[a.onnx,b.onnx]"], ["network=[a.onnx,b.onnx]"]),
        (["--agent.steps", "5"], ["agent.steps=5"]),
        (["--help"], ["--help"]),
        (["--cfg", "job"], ["--cfg", "job"]),
        (["--config-name", "x", "-m", "a=1,2"], ["--config-name", "x", "-m", "a=1,2"]),
    ],
)
def test_both_ways_of_writing_an_option(given: list[str], expected: list[str]) -> None:
    assert as_overrides(given) == expected


@pytest.mark.parametrize("command", ["tuner.train", "tuner.record", "tuner.evaluate", "tuner.tune", "tuner.networks"])
def test_help_teaches(command: str) -> None:
    told = run(command, "--help")
    assert told.returncode == 0
    assert f"python -m {command}" in told.stdout
    assert len(told.stdout.splitlines()) > 8


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tuner.record", "workload.networks=[nowhere.onnx]"], "there is no file nowhere.onnx"),
        (["tuner.record", "workload.networks=[]"], "workload.networks is empty"),
        (["tuner.record", "device.accelerators=[npu]"], "unknown accelerator 'npu'"),
        (["tuner.record", "device.cores=0"], "device.cores=0"),
        (["tuner.train", "trace=nowhere"], "there is no trace 'nowhere'"),
        (["tuner.train", "agent.steps=0"], "agent.steps=0"),
        (["tuner.train", "agent.budget=many"], "'many' of type 'str' could not be converted to Integer"),
        (["tuner.train", "agents.budget=3"], "agents"),
        (["tuner.train", "agent=dqn"], "agent/dqn"),
        (["tuner.train", "seed=-1"], "seed=-1"),
        (["tuner.train", "agent.batch_size=1"], "agent.batch_size=1"),
        (["tuner.record", "record.attempts=0"], "record.attempts=0"),
        (["tuner.record", "device.accelerators=[]"], "device.accelerators=[]"),
        (["tuner.record", "device.accelerators=[cpu_fp32,cpu_fp32]"], "each once"),
        (["tuner.evaluate", "evaluation.seeds=0"], "evaluation.seeds=0"),
        (["tuner.evaluate", "live.networks=[nowhere.onnx]"], "there is no file nowhere.onnx"),
        (["tuner.evaluate", "bundle=nowhere.bundle"], "there is no policy bundle nowhere.bundle"),
        (["tuner.evaluate", "evaluation.tuners=[magic]", "evaluation.objectives=1", "evaluation.seeds=1"], "search='magic' is unknown"),
        (["tuner.tune"], "network is missing"),
        (["tuner.tune", "--network", "nowhere.onnx", "--p99-ms", "-5"], "must be above zero"),
        (["tuner.tune", "--network", "nowhere.onnx", "--measurements", "2"], "measurements=2"),
        (["tuner.networks", "resnet51"], "resnet51"),
    ],
)
def test_a_wrong_option_gets_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    told = run(*arguments, *([f"run_dir={tmp_path}"] if arguments[0] == "tuner.train" else []))
    assert told.returncode == 2, told.stderr
    assert sentence in told.stderr
    assert told.stderr.count("\n") == 1 or arguments[0] == "tuner.networks"
