"""Training with a runtime in the loop: simulated, replayed and live."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs.traces.reader import Trace
from tests.commands import CommandResult, call
from tuner.folders import reference_bundle
from tuner.policy.bundle import load_bundle

FEW = ("agent=fine_tune", "agent.steps=28", "agent.envs=1", "agent.episodes_per_update=2")
SMALL = (*FEW, "agent.batch_size=14", "problems=2")
BOARD = ("runtime=simulated", "board=agx_orin_64")


def train(run: Path, *arguments: str) -> CommandResult:
    return call("train", f"run_dir={run}", *SMALL, *arguments)


def test_a_simulated_board_fine_tunes_the_reference_policy_and_goes_on(
    small_onnx: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    told = train(run, *BOARD, f"network=[{small_onnx}]")
    assert told.returncode == 0, told.stderr
    assert "(simulated)" in told.stdout
    assert "28 steps of about" in told.stdout
    bundle, reference = load_bundle(run / "policy.bundle"), load_bundle(reference_bundle())
    assert bundle.provenance["runtime"] == "simulated"
    assert bundle.provenance["origin"] == "simulated"
    assert bundle.provenance["steps"] == 28
    for name, weights in bundle.weights.items():  # it started there, and learned a little
        assert 0 < np.abs(weights - reference.weights[name]).max() < 0.1, name
    longer = train(run, *BOARD, f"network=[{small_onnx}]", "agent.steps=42")
    assert longer.returncode == 0, longer.stderr
    assert load_bundle(run / "policy.bundle").provenance["steps"] == 42
    other = train(run, *BOARD, f"network=[{small_onnx}]", "mode=15W")
    assert other.returncode == 2
    assert "holds a training with another world, seed or agent" in other.stderr


def test_goal_and_least_rate_are_those_that_are_learned_for(
    small_onnx: Path, tmp_path: Path
) -> None:
    given = (*BOARD, f"network=[{small_onnx}]", "accelerators=[cuda,tensor]", "goal=energy")
    told = train(tmp_path / "run", *given, "rate_ips=[100]")
    assert told.returncode == 0, told.stderr
    refused = train(tmp_path / "other", *given, "rate_ips=[100]", "min_rate_ips=120")
    assert refused.returncode == 2
    assert "min_rate_ips=120 of small is more than the 100 requests/s" in refused.stderr


def test_this_computer_answers_every_step(small_onnx: Path, tmp_path: Path) -> None:
    told = train(
        tmp_path / "run",
        "runtime=onnxruntime",
        f"network=[{small_onnx}]",
        *("p99_ms=200", "window_s=0.1", "max_instances=2", "batches=[1,2]", "agent.steps=14"),
    )
    assert told.returncode == 0, told.stderr
    assert "(measured)" in told.stdout
    assert load_bundle(tmp_path / "run" / "policy.bundle").provenance["origin"] == "measured"


def test_a_recording_can_be_the_runtime(trace: Trace, tmp_path: Path) -> None:
    told = train(tmp_path / "run", "runtime=replayed", f"trace={trace.path}")
    assert told.returncode == 0, told.stderr
    assert "(replayed)" in told.stdout


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("agent.steps=1000000000000",), "days on this device: choose agent=fine_tune"),
        (("runtime=warp",), "runtime=warp is unknown"),
        (("runtime=model",), "network belongs to a device: give runtime=onnxruntime"),
        (("power_w=-1",), "power_w is -1"),
        (("goal=speed",), "goal=speed is unknown: choose from throughput, energy, latency"),
        (("agent.start=nowhere.bundle",), "there is no policy bundle nowhere.bundle"),
    ],
)
def test_wrong_options_get_one_sentence(
    small_onnx: Path, tmp_path: Path, more: tuple[str, ...], sentence: str
) -> None:
    board = (*BOARD, "accelerators=[cuda,tensor]")
    told = train(tmp_path / "run", *board, f"network=[{small_onnx}]", *more)
    assert told.returncode == 2
    assert sentence in told.stderr
    assert told.stderr.count("\n") == 1
