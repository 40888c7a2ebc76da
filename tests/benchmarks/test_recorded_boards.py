"""The traces that are made from published measurements of boards."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from benchmarks.recorded_boards import RECORDINGS, read_runs, write_recording
from envs.spec import Configuration, Measurement
from envs.traces.reader import BUILT_IN, Trace, find_trace, read_trace
from envs.traces.schema import METADATA_KEY

ROOT = Path(__file__).parents[2]


def measured(trace: Trace, **instances: int) -> Measurement:
    """Return the outcome of so many instances by accelerator, at batch 1."""
    names = trace.space.device.accelerator_names
    placements = [[(instances[name], 1) if name in instances else (0, 0) for name in names]]
    outcome = trace.outcome(Configuration.of(placements))
    assert isinstance(outcome, Measurement)
    return outcome


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_command_writes_the_files_that_are_there(name: str, tmp_path: Path) -> None:
    write_recording(name, tmp_path, read_runs())
    new, old = (
        pyarrow.parquet.read_table(each / f"{name}.parquet") for each in (tmp_path, BUILT_IN)
    )
    assert new.schema.equals(old.schema)
    assert repr(new.to_pylist()) == repr(old.to_pylist())  # NaN equals itself as text
    assert new.schema.metadata[METADATA_KEY] == old.schema.metadata[METADATA_KEY]


def test_repeated_runs_count_as_their_mean() -> None:
    trace = read_trace(find_trace("agx_orin_resnet50"))
    gpu = measured(trace, tensor=1)
    assert gpu.tenants[0].throughput_ips == pytest.approx((980.736 + 983.875 + 984.725) / 3)
    assert gpu.power_w == pytest.approx((29.605 + 29.596 + 29.7) / 3)
    runs = trace.metadata["published"]["runs"]["resnet50: tensor 1x1"]
    assert [run["tensor"]["images_per_s"] for run in runs] == [980.736, 983.875, 984.725]
    assert all("@" in run["source"] for run in runs), "a commit"


def test_engines_side_by_side_add_up_and_the_slowest_stands_in_for_the_tail() -> None:
    trace = read_trace(find_trace("agx_orin_resnet50"))
    both = measured(trace, tensor=1, dla0=1)
    assert both.throughput_ips[0] == pytest.approx(858.733 + 210.748)
    assert both.p99_ms[0] == 4.74609
    assert both.latency_quantity == "median of the slowest engine"
    assert math.isnan(both.tenants[0].p50_ms), "the median of both together was not published"
    assert both.rails_w == {"VDD_GPU_SOC": 20.616, "VDD_CPU_CV": 1.982, "VIN_SYS_5V0": 7.122}
    assert sum(both.rails_w.values()) == pytest.approx(both.power_w)
    dlas = measured(trace, dla0=1, dla1=1)
    assert dlas.throughput_ips[0] == pytest.approx(1351.527)
    assert (
        dlas.throughput_ips[0]
        > both.throughput_ips[0]
        > measured(trace, tensor=1).throughput_ips[0]
    )


def test_a_precision_that_one_accelerator_cannot_have_is_left_out_by_name() -> None:
    trace = read_trace(find_trace("agx_orin_resnet50"))
    assert trace.metadata["published"]["left_out"] == [
        "fp16 on tensor: run 9",
        "fp16 on dla0: run 11",
    ]
    assert len(trace.rows) == 6
    nano = read_trace(find_trace("orin_nano_yolo11n_pose_fp16"))
    assert nano.engines == {"precision": "fp16", "dla_native": True}
    assert "measured with other services running" in nano.metadata["published"]["left_out"][0]


def test_contexts_have_the_latency_that_was_published() -> None:
    trace = read_trace(find_trace("orin_nano_yolov8m_pose_int8"))
    four = measured(trace, tensor=4)
    assert four.throughput_ips[0] == 130.201
    assert (four.p99_ms[0], four.latency_quantity) == (31.6562, "p95")
    assert math.isnan(four.power_w)
    assert "power_w of 2 of 3 configurations" in trace.metadata["published"]["not_measured"]
    mean = measured(read_trace(find_trace("orin_nano_yolo11n_pose_int8")), tensor=3)
    assert (mean.p99_ms[0], mean.latency_quantity) == (7.71517, "mean latency")


def test_help_teaches_and_the_table_names_what_is_left_out(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.recorded_boards"]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert "python -m tuner.evaluate trace=agx_orin_resnet50" in run("--help")
    assert "fp16 on dla0: run 11" in run("--out", str(tmp_path))
    assert {path.stem for path in tmp_path.iterdir()} == set(RECORDINGS)


def test_a_folder_that_cannot_be_written_ends_in_one_sentence(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.touch()
    command = [sys.executable, "-m", "benchmarks.recorded_boards", "--out", str(taken)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cannot write {taken}/")
    assert done.stderr.count("\n") == 1
