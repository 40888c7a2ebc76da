"""The record command on a real network, killed and interrupted as people and kernels do."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from envs.runtimes.protocol import Transition
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Configuration, ConfigurationFailed, Failure, FailureKind, Measurement
from envs.traces.reader import read_trace
from tests.commands import call
from tests.standins.tensorrt import stand_ins

ROOT = Path(__file__).parents[2]


def command(small_onnx: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "tuner.record", "--network", str(small_onnx), "--out", str(out)),
        *("--max-instances", "4", "--batches", "1", "2", "4", "8", "--cores", "1"),
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
        timeout=600,
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
        timeout=600,
    )
    assert again.returncode == 2
    assert "exists already and is complete" in again.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_leaves_a_partial_trace_that_works(
    small_onnx: Path, tmp_path: Path, environment: dict[str, str], number: signal.Signals
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
        process.send_signal(number)
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
TRACE = ("--runtime", "replayed", "--trace", "resnet50", "--plan", "random", "--count", 9)


@pytest.mark.parametrize(
    ("arguments", "origin", "rows"),
    [
        (("--network", "NET", *SMALL, "--runtime", "simulated"), "simulated", 8),
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
    more = ("--count", rows, "--attempts", 1, "--window-s", 0.05, "--warmup-s", 0.02)
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
    result = call("record", *given, "--out", out, "--plan", "lhs", "--count", 20)
    assert result.returncode == 0, result.stderr
    assert len(read_trace(out).rows) == 20


def log_of_the_input(path: Path) -> Path:
    """Write a network whose ranges cannot be found with invented samples: they give NaN."""
    value, shape = helper.make_tensor_value_info, ["n", 8]
    weights = numpy_helper.from_array(np.eye(8, dtype=np.float32), "w")
    nodes = [
        helper.make_node("Log", ["x"], ["logs"]),
        helper.make_node("MatMul", ["logs", "w"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [value("x", 1, shape)], [value("y", 1, shape)], [weights])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


LIVE = ("--max-instances", 2, "--batches", 1, "--window-s", 0.02, "--attempts", 1)


def test_an_accelerator_without_a_copy_is_left_out_and_the_rest_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "t.parquet"
    result = call(
        "record", "--network", log_of_the_input(tmp_path / "log.onnx"), *LIVE, "--out", out
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith("without cpu_int8 for log: ")
    trace = read_trace(out)
    assert len(trace.rows) == 2
    assert not trace.batch.failed.any()


def test_failed_windows_are_counted_and_their_reasons_named(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, apply = tmp_path / "t.parquet", ServingRuntime.apply
    everything = False

    def failing(runtime: ServingRuntime, configuration: Configuration) -> Transition:
        if everything or configuration.array()[0, 0, 0] == 2:
            raise ConfigurationFailed(Failure(FailureKind.OUT_OF_MEMORY, "2 GiB wanted"))
        return apply(runtime, configuration)

    monkeypatch.setattr(ServingRuntime, "apply", failing)
    given = ("--network", small_onnx, *LIVE, "--accelerators", "cpu_fp32")
    result = call("record", *given, "--out", out)
    assert result.returncode == 0, result.stderr
    summary = result.stdout.splitlines()[-2:]
    assert "2 configurations (measured), 1 failed" in summary[0]
    assert summary[1] == "1 window of cpu_fp32 2x1 failed (out_of_memory): 2 GiB wanted"
    everything = True
    result = call("record", *given, "--out", tmp_path / "nothing.parquet")
    assert result.returncode == 2
    assert result.stdout.splitlines()[-1] == (
        "2 windows of cpu_fp32 1x1, cpu_fp32 2x1 failed (out_of_memory): 2 GiB wanted"
    )
    assert "nothing could be measured" in result.stderr
