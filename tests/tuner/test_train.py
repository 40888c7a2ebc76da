"""The train command: from a trace to a bundle and a report, interrupted and resumed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs.traces.reader import Trace
from tuner.policy.bundle import load_bundle

ROOT = Path(__file__).parents[2]
SMALL = (
    "agent.envs=64",
    "agent.batch_size=448",
    "agent.hidden=32",
    "evaluation.objectives=4",
    "evaluation.seeds=1",
    "evaluation.tuners=[random]",
)


def command(trace: Trace, run: Path, steps: int, *more: str) -> list[str]:
    return [sys.executable, "-m", "tuner.train", f"trace={trace.path}", f"run_dir={run}", f"agent.steps={steps}", *SMALL, *more]


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(arguments), cwd=ROOT, capture_output=True, text=True, timeout=200)


def test_train_ends_in_a_report_and_a_bundle_whose_paths_it_prints(trace: Trace, tmp_path: Path) -> None:
    run = tmp_path / "run"
    told = train(*command(trace, run, 4000))
    assert told.returncode == 0, told.stderr
    assert f"report: {run / 'report.html'}" in told.stdout
    assert f"policy bundle: {run / 'policy.bundle'}" in told.stdout
    assert "replayed" in told.stdout
    for name in ("report.html", "summary.csv", "runs.csv", "provenance.json", "checkpoint.zip", "config.yaml"):
        assert (run / name).is_file(), name
    assert list((run / "tensorboard").rglob("events.*"))
    bundle = load_bundle(run / "policy.bundle")
    assert bundle.provenance["steps"] >= 4000
    assert bundle.provenance["origin"] == "replayed"

    repeated = tmp_path / "repeated"
    again = train(sys.executable, "-m", "tuner.train", "--config-dir", str(run), "--config-name", "config", f"run_dir={repeated}")
    assert again.returncode == 0, again.stderr
    other = load_bundle(repeated / "policy.bundle")
    for name, array in bundle.weights.items():
        assert (array == other.weights[name]).all(), "the same run, to the bit"


def test_ctrl_c_keeps_what_was_learned_and_the_same_command_goes_on(trace: Trace, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen(command(trace, run, 100_000_000), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 90
        while not list(run.rglob("events.*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        told = process.stderr.read()
    assert process.returncode == 130, told
    assert "interrupted" in told
    assert "Traceback" not in told
    steps = load_bundle(run / "policy.bundle").provenance["steps"]
    assert steps > 0
    assert (run / "checkpoint.zip").is_file()
    resumed = train(*command(trace, run, steps + 2000))
    assert resumed.returncode == 0, resumed.stderr
    assert load_bundle(run / "policy.bundle").provenance["steps"] >= steps + 2000


def test_a_run_of_another_trace_or_agent_is_refused(trace: Trace, two_tenant_trace: Trace, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(*command(trace, run, 1000)).returncode == 0
    for told in (train(*command(two_tenant_trace, run, 2000)), train(*command(trace, run, 2000, "agent.gamma=0.5"))):
        assert told.returncode == 2
        assert "holds a training with another trace, seed or agent" in told.stderr
        assert "Traceback" not in told.stderr


@pytest.mark.parametrize("blocks", [0, 40])
def test_a_full_disk_during_training_gets_one_sentence(trace: Trace, tmp_path: Path, blocks: int) -> None:
    """A file-size limit is the disk that a process meets: writing beyond it fails."""
    run = tmp_path / "run"
    limited = ["bash", "-c", f'trap "" XFSZ; ulimit -f {blocks}; exec "$@"', "bash", *command(trace, run, 1000)]
    told = train(*limited)
    assert told.returncode == 2, told.stderr
    assert "error: cannot write" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_damaged_checkpoint_is_named(trace: Trace, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.zip").write_bytes(content)
    told = train(*command(trace, tmp_path, 1000))
    assert told.returncode == 2
    assert "checkpoint.zip cannot be resumed here" in told.stderr
    assert "Traceback" not in told.stderr
