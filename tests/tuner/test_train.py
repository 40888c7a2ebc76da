"""The train command: from a trace or the device model to a bundle and a report; resumed."""

from __future__ import annotations

import functools
import json
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from envs.belief.features import FEATURES
from envs.simulator.known_devices import model_for
from envs.traces.reader import Trace
from tests.commands import CommandResult, call
from tests.worlds import space, write_trace
from tuner.agents.agent_options import TWIN, AgentOptions, on_twin
from tuner.agents.learning_curve import read_curve
from tuner.policy.bundle import load_bundle

ROOT = Path(__file__).parents[2]
SMALL = (
    *("agent.envs=64", "agent.batch_size=448", "agent.hidden=16"),
    *("evaluation.objectives=2", "evaluation.seeds=1", "evaluation.tuners=[random]"),
)


class Closed(logging.Handler):
    """Knows whether it was closed, as every handler is when logging is configured anew."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


def on_trace(trace: Trace, run: Path, steps: int, *more: str) -> list[str]:
    return [
        f"trace={trace.path}",
        "problems=4",
        f"run_dir={run}",
        f"agent.steps={steps}",
        *SMALL,
        *more,
    ]


def train(*arguments: str) -> CommandResult:
    return call("train", *arguments)


def test_train_on_a_trace_ends_in_a_report_and_a_bundle_whose_paths_it_prints(
    trace: Trace, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = train(*on_trace(trace, run, 2000))
    assert result.returncode == 0, result.stderr
    assert f"report: {run / 'report.html'}" in result.stdout
    assert f"policy bundle: {run / 'policy.bundle'}" in result.stdout
    assert "replayed" in result.stdout
    for name in (
        "report.html",
        "summary.csv",
        "runs.csv",
        "provenance.json",
        "checkpoint.zip",
        "config.yaml",
        "learning_curve.csv",
    ):
        assert (run / name).is_file(), name
    assert list((run / "tensorboard").rglob("events.*"))
    report = (run / "report.html").read_text()
    assert "How did the policy learn, and what does it look at?" in report
    assert "gain lost when a feature is shuffled" in report
    bundle = load_bundle(run / "policy.bundle")
    assert bundle.features == FEATURES
    assert bundle.provenance["steps"] >= 2000
    assert bundle.provenance["origin"] == "replayed"
    assert bundle.provenance["trace"]["name"] == trace.path.name

    repeated = tmp_path / "repeated"
    handler = Closed()
    again = train("--config-dir", str(run), "--config-name", "config", f"run_dir={repeated}")
    assert again.returncode == 0, again.stderr
    assert not handler.closed  # Hydra configured no logging: other packages keep their streams
    other = load_bundle(repeated / "policy.bundle")
    for name, array in bundle.weights.items():
        assert (array == other.weights[name]).all(), "the same run, to the bit"


def test_train_in_the_model_of_a_board_and_go_on(tmp_path: Path) -> None:
    drawn = (
        "draw.boards=[orin_nano_8]",
        "draw.small_spaces=1",
        "draw.plain=0.2",
        "problems=20",
        f"run_dir={tmp_path}",
        *SMALL,
    )
    result = train(*drawn, "agent.steps=4000")
    assert result.returncode == 0, result.stderr
    assert "training on 20 problems in the device model (simulated): orin_nano_8" in result.stdout
    assert (tmp_path / "report.html").is_file()
    first = load_bundle(tmp_path / "policy.bundle")
    assert first.provenance["origin"] == "simulated"
    assert first.provenance["draw"]["boards"] == ["orin_nano_8"]
    assert first.provenance["problems"] == 20
    assert 4000 <= first.provenance["steps"] < 6000
    assert json.loads((tmp_path / "provenance.json").read_text()) == first.provenance

    longer = train(*drawn, "agent.steps=8000")
    assert longer.returncode == 0, longer.stderr
    second = load_bundle(tmp_path / "policy.bundle")
    assert 8000 <= second.provenance["steps"] < 10_000
    assert not (first.weights["first.weight"] == second.weights["first.weight"]).all()

    other = train(*drawn, "agent.steps=8000", "draw.plain=0.5")
    assert other.returncode == 2
    assert "holds a training with another world, seed or agent" in other.stderr


def test_train_on_a_twin_reports_on_held_out_rows_and_ends_in_a_bundle_that_knows_the_device(
    tmp_path: Path,
) -> None:
    recording = write_trace(tmp_path / "half.parquet", space(), keep=0.4)
    run = tmp_path / "run"
    result = train(*on_trace(recording, run, 2000, "twin=true"))
    assert result.returncode == 0, result.stderr
    count = len(recording.rows)
    said = (
        "SIMULATED by the device model over all 99 configurations of the space,"
        f" conditioned on {count} of the {count} recorded ones"
    )
    assert f"training on a twin of half.parquet: {said}; median error on" in result.stdout
    assert "within the 90 % interval" in result.stdout
    assert "variance removed" in result.stdout
    told = json.loads((run / "twin.json").read_text())
    assert [each["quantity"] for each in told["held_out"]] == ["throughput", "p99"]
    assert said in (run / "report.html").read_text()
    bundle = load_bundle(run / "policy.bundle")
    assert bundle.provenance["origin"] == "simulated"
    assert bundle.provenance["twin"] == told
    assert bundle.provenance["agent"]["start"] == "reference"
    assert bundle.provenance["agent"]["learning_rate"] == 1e-4
    assert bundle.twin is not None
    assert bundle.twin.informed(model_for(recording.space)).unknowns is bundle.twin.unknowns

    again = train(*on_trace(recording, run, 4000, "twin=true"))
    assert again.returncode == 0, again.stderr
    assert load_bundle(run / "policy.bundle").provenance["steps"] >= 4000
    plain = train(*on_trace(recording, run, 4000))
    assert plain.returncode == 2
    assert "holds a training with another world, seed or agent" in plain.stderr


@pytest.mark.parametrize("more", [(), ("trace=resnet50", "runtime=replayed")])
def test_a_twin_needs_a_recording_and_no_runtime(more: tuple[str, ...], tmp_path: Path) -> None:
    result = train("twin=true", f"run_dir={tmp_path}", *more)
    assert result.returncode == 2
    assert "twin=true needs a recording and no runtime" in result.stderr
    assert not list(tmp_path.iterdir())


def test_layers_of_another_network_make_no_twin(trace: Trace, small_onnx: Path) -> None:
    result = train(f"trace={trace.path}", "twin=true", f"network=[{small_onnx}]")
    assert result.returncode == 2
    assert "was recorded with small" in result.stderr or "was recorded with net0" in result.stderr


def test_what_was_left_at_its_default_is_set_for_a_twin() -> None:
    assert on_twin(AgentOptions(hidden=16)) == AgentOptions(hidden=16, **TWIN)
    assert on_twin(AgentOptions(steps=500)).steps == 500
    assert on_twin(AgentOptions(start="my.bundle")).start == "my.bundle"
    assert on_twin(AgentOptions(start="scratch")) == AgentOptions(start="scratch")


def test_ctrl_c_keeps_what_was_learned_and_the_same_command_goes_on(
    trace: Trace, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "tuner.train", *on_trace(trace, run, 100_000_000)]
    # Background jobs of a shell ignore Ctrl-C, and so do their children: the command gets the
    # handler of a terminal.
    terminal = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=terminal,
    ) as process:
        curve, deadline = run / "learning_curve.csv", time.monotonic() + 240
        while not (curve.exists() and len(curve.read_text().splitlines()) > 1):
            assert time.monotonic() < deadline, "no update of the policy"
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        result = process.stderr.read()
    assert process.returncode == 130, result
    assert "interrupted" in result
    assert "Traceback" not in result
    steps = load_bundle(run / "policy.bundle").provenance["steps"]
    assert steps > 0
    assert (run / "checkpoint.zip").is_file()
    assert not list(run.glob(".*.part"))
    resumed = train(*on_trace(trace, run, steps + 2000))
    assert resumed.returncode == 0, resumed.stderr
    assert load_bundle(run / "policy.bundle").provenance["steps"] >= steps + 2000
    rows = read_curve(run / "learning_curve.csv")
    steps_between = np.diff(rows[:, 0])  # an update is 64 x 28 steps; a cut one counts with it
    assert ((steps_between >= 1792) & (steps_between <= 2 * 1792)).all()
    assert (np.diff(rows[:, 4]) >= 0).all()


def test_a_run_of_another_trace_seed_or_agent_is_refused(
    trace: Trace, two_tenant_trace: Trace, tmp_path: Path
) -> None:
    assert train(*on_trace(trace, tmp_path, 500)).returncode == 0
    before = (tmp_path / "policy.bundle").read_bytes()
    for arguments in (
        on_trace(two_tenant_trace, tmp_path, 2000),
        on_trace(trace, tmp_path, 2000, "agent.gamma=0.5"),
        on_trace(trace, tmp_path, 2000, "seed=5"),
    ):
        result = train(*arguments)
        assert result.returncode == 2
        assert "holds a training with another world, seed or agent" in result.stderr
        assert result.stderr.count("\n") == 1
    assert (tmp_path / "policy.bundle").read_bytes() == before


@pytest.mark.parametrize("blocks", [0, 40])
def test_a_full_disk_during_training_gets_one_sentence(
    trace: Trace, tmp_path: Path, blocks: int
) -> None:
    """A file-size limit is the disk that a process meets: writing beyond it fails."""
    command = [sys.executable, "-m", "tuner.train", *on_trace(trace, tmp_path / "run", 500)]
    limited = ["bash", "-c", f'trap "" XFSZ; ulimit -f {blocks}; exec "$@"', "bash", *command]
    result = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert result.returncode == 2, result.stderr
    assert "error: cannot write" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_damaged_checkpoint_is_named(trace: Trace, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.zip").write_bytes(content)
    result = train(*on_trace(trace, tmp_path, 500))
    assert result.returncode == 2
    assert "checkpoint.zip cannot be resumed here" in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "checkpoint.zip").read_bytes() == content


def test_a_missing_extra_is_one_sentence() -> None:
    code = (
        "import runpy, sys; sys.modules['stable_baselines3'] = None;"
        " runpy.run_module('tuner.train', run_name='__main__')"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 2
    assert told.stderr == (
        "error: stable_baselines3 is not installed: pip install 'orin-tuner[train]'\n"
    )
