"""The record command on a real network, killed and interrupted as people and kernels do."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs.spec import Configuration, Measurement
from envs.traces.reader import read_trace
from tests.commands import call
from tests.standins.tensorrt import stand_ins

ROOT = Path(__file__).parents[2]


def command(small_onnx: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "tuner.record", "--network", str(small_onnx), "--out", str(out)),
        *("--max-instances", "2", "--batches", "1", "4", "--cores", "1"),
        *("--window-s", "0.05", "--attempts", "1", "--warmup-s", "0.02"),
    ]


@pytest.fixture
def environment(cache: Path) -> dict[str, str]:
    return os.environ | {"XDG_CACHE_HOME": str(cache)}


def test_killed_again_and_again_it_ends_with_every_row_once(
    small_onnx: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    out = tmp_path / "killed.parquet"
    journal = tmp_path / "killed.parquet.journal"
    for rows in (1, 6, 13):  # kill it shortly after so many
        with subprocess.Popen(
            command(small_onnx, out), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if journal.exists() and journal.read_bytes().count(b"\n") > rows:
                    break
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not out.exists()
    last = subprocess.run(
        command(small_onnx, out),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert last.returncode == 0, last.stderr
    assert not journal.exists()
    trace = read_trace(out)
    assert [Configuration.of(row) for row in trace.placements] == [
        Configuration.of(row) for row in trace.space.catalogue
    ]
    assert trace.metadata["complete"]
    assert trace.metadata["versions"]["onnxruntime"]
    assert "tuner.record" in trace.metadata["command"]
    first = trace.outcome(Configuration.of(trace.placements[0]))
    assert isinstance(first, Measurement)
    assert first.sensor in ("none", "rapl")
    again = subprocess.run(
        command(small_onnx, out),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert again.returncode == 2
    assert "exists already and is complete" in again.stderr


def test_ctrl_c_leaves_a_partial_trace_that_works(
    small_onnx: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    out = tmp_path / "part.parquet"
    journal = tmp_path / "part.parquet.journal"
    # Background jobs of a shell ignore Ctrl-C: the command gets the handler a terminal gives.
    terminal = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        command(small_onnx, out),
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=terminal,
    ) as process:
        while process.poll() is None and not (
            journal.exists() and journal.read_bytes().count(b"\n") > 3
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        result = process.stderr.read()
    assert process.returncode == 130
    assert "run the same command again to go on" in result
    assert "Traceback" not in result
    trace = read_trace(out)
    # The signal may come between the journal's line and the row that is kept in memory.
    assert 2 <= len(trace.rows) < len(trace.space.catalogue)
    assert not trace.metadata["complete"]


SMALL = ("--max-instances", 1, "--batches", 1, 4)
TRACE = ("--runtime", "replayed", "--trace", "resnet50", "--plan", "random", "--samples", 9)


@pytest.mark.parametrize(
    ("arguments", "origin", "rows"),
    [
        (("--network", "NET", *SMALL, "--runtime", "simulated"), "simulated", 80),
        (TRACE, "replayed", 9),
        (("--network", "NET", *SMALL, "--runtime", "tensorrt", "--plan", "random"), "measured", 5),
    ],
    ids=["simulated", "replayed", "tensorrt"],
)
def test_every_runtime_is_recorded_and_its_origin_is_said(
    arguments: tuple[object, ...],
    origin: str,
    rows: int,
    small_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "t.parquet"
    given = [small_onnx if each == "NET" else each for each in arguments]
    more = ("--samples", rows, "--attempts", 1, "--window-s", 0.05, "--warmup-s", 0.02)
    with stand_ins():
        result = call("record", *given, *more, "--out", out)
    assert result.returncode == 0, result.stderr
    assert f"({origin}); 0 are there already" in result.stdout
    trace = read_trace(out)
    assert len(trace.rows) == rows
    assert trace.metadata["origin"] == origin
    assert not trace.batch.failed.any()


def test_a_recording_of_the_model_says_so_when_it_is_replayed(
    small_onnx: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.parquet"
    result = call("record", "--network", small_onnx, *SMALL, "--runtime", "simulated", "--out", out)
    assert result.returncode == 0, result.stderr
    result = call("tune", "--runtime", "replayed", "--trace", out, "--measurements", 3)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "t.parquet was recorded in the device model: nothing was measured\n"


def test_a_large_space_is_recorded_by_samples(
    small_onnx: Path, other_onnx: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.parquet"
    given = ("--network", small_onnx, other_onnx, small_onnx, "--runtime", "simulated")
    result = call("record", *given, "--out", out)
    assert result.returncode == 2
    assert "choose some of them with --plan lhs" in result.stderr
    result = call("record", *given, "--out", out, "--plan", "lhs", "--samples", 20)
    assert result.returncode == 0, result.stderr
    assert len(read_trace(out).rows) == 20
