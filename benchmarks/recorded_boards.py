"""Make traces to replay out of published measurements of boards.

`benchmarks/data/recorded_boards.csv` holds the measurements as their sources have them: a line for
each engine of a run, with its licence and its source. A trace gets the runs that one space can
express: one board, power mode and network, one precision on each accelerator, an idle board. Runs
of the same configuration count as their mean. What a trace leaves out is printed here and kept in
its metadata. A number that was not published is NaN.

  python -m benchmarks.recorded_boards                  write all of them into envs/traces/data
  python -m benchmarks.recorded_boards --out FOLDER     write them somewhere else
  python -m tuner.evaluate trace=agx_orin_resnet50      compare tuners on one of them
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from envs.catalog.boards import RAILS
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.simulator.machine import device_of
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Measurement,
    Origin,
    TenantMeasurement,
    workload_of,
)
from envs.traces.reader import BUILT_IN
from envs.traces.schema import FORMAT, Row, row_of
from envs.traces.writer import write_parquet
from tuner.console import exit_code, table
from tuner.options import ServeOptions

RUNS = Path(__file__).parent / "data" / "recorded_boards.csv"

#: The columns of the rails of an AGX Orin, in the order of `RAILS`.
RAIL_COLUMNS = ("rail_gpu_soc_w", "rail_cpu_cv_w", "rail_sys_5v_w")

#: Numbers of a whole run, which each of its lines repeats.
OF_RUN = ("power_w", *RAIL_COLUMNS, "memory_mib", "window_s")

Line = dict[str, str]


@dataclass(frozen=True)
class Recording:
    """A trace to make: which runs it takes, and the space that they are part of.

    Attributes:
        board, power_mode: of the catalogue.
        network: a reference network.
        precision: of the engines of each accelerator; others are left out.
        latency: the column that stands in for p99, the best-documented one.
        max_instances: of the space; its batch sizes are those that every command offers.
        remarks: what else a reader must know.
        dla_fallback: True if the engines of the DLAs leave layers to the GPU.
    """

    board: str
    power_mode: str
    network: str
    precision: dict[str, str]
    latency: str
    max_instances: int
    remarks: tuple[str, ...] = ()
    dla_fallback: bool = False

    def space(self) -> ConfigurationSpace:
        """Return the space of the network on the board."""
        network = described(reference_network(self.network))
        return ConfigurationSpace(
            device_of(self.board, self.power_mode),
            workload_of([network]),
            self.max_instances,
            tuple(ServeOptions().batches),
        )


def _contexts(network: str, precision: str, latency: str, *remarks: str) -> Recording:
    """Return a recording of TensorRT contexts in one process on an Orin Nano."""
    accelerators = {"tensor": precision}
    told = ("an instance is an execution context; all of them share one process", *remarks)
    return Recording("orin_nano_8", "MAXN_SUPER", network, accelerators, latency, 6, told)


RECORDINGS = {
    "agx_orin_resnet50": Recording(
        "agx_orin_64",
        "MAXN",
        "resnet50",
        {"tensor": "int8", "cuda": "fp32", "dla0": "int8", "dla1": "int8"},
        "slowest_p50_ms",
        ServeOptions().max_instances,
        (
            "two layers of each DLA engine run on the GPU, and wait there for their turn",
            "the source says FP32, and not whether TF32 on Tensor Cores was off",
            "power is the sum of the rails in the steady state",
        ),
        dla_fallback=True,
    ),
    "orin_nano_yolo11n_pose_fp16": _contexts("yolo11n_pose_640", "fp16", "mean_ms"),
    "orin_nano_yolo11n_pose_int8": _contexts(
        "yolo11n_pose_640", "int8", "mean_ms", "the INT8 engine was built without calibration"
    ),
    "orin_nano_yolov8s_pose_int8": _contexts("yolov8s_pose_640", "int8", "p95_ms"),
    "orin_nano_yolov8m_pose_int8": _contexts("yolov8m_pose_640", "int8", "p95_ms"),
}


def read_runs(path: Path = RUNS) -> list[list[Line]]:
    """Return the runs, a list of lines each: one line for each engine."""
    with path.open(encoding="utf-8", newline="") as file:
        return [list(lines) for _, lines in groupby(csv.DictReader(file), lambda line: line["run"])]


def reason_against(recording: Recording, run: Sequence[Line]) -> str:
    """Say why a run of the recording's board, mode and network is no part of it, or nothing."""
    for line in run:
        if line["state"] != "idle board":
            return f"measured with {line['state']}"
        if line["precision"] != recording.precision.get(line["engine"]):
            return f"{line['precision']} on {line['engine']}"
    return ""


def write_recording(name: str, folder: Path, runs: Sequence[Sequence[Line]]) -> dict[str, Any]:
    """Write a trace, and return its metadata."""
    recording = RECORDINGS[name]
    space = recording.space()
    of_this = [run for run in runs if _is_of(recording, run[0])]
    same: dict[Configuration, list[Sequence[Line]]] = defaultdict(list)
    for run in of_this:
        if not reason_against(recording, run):
            same[_configuration(space, run)].append(run)
    rows = [_row(space, configuration, repeats) for configuration, repeats in same.items()]
    kept = [line for repeats in same.values() for run in repeats for line in run]
    metadata = {
        "format": FORMAT,
        "space": space.to_dict(),
        "partial": True,
        "machine": space.device.to_dict(),
        "precision": recording.precision,
        "dla_fallback": recording.dla_fallback,
        "latency_quantity": recording.latency,
        "command": "python -m benchmarks.recorded_boards",
        "published": {
            "origin": _once(f"{_repository(line)}, {line['licence']}" for line in kept),
            "software": _once(line["software"] for line in kept),
            "calibration": _once(line["calibration"] for line in kept if line["calibration"]),
            "remarks": list(recording.remarks),
            "repeats": "a configuration that was measured several times counts as the mean",
            "runs": {
                space.describe(configuration): [_told(run) for run in repeats]
                for configuration, repeats in same.items()
            },
            "left_out": _left_out(recording, of_this),
            "not_measured": _not_measured(space, rows),
        },
    }
    write_parquet(folder / f"{name}.parquet", space, metadata, rows)
    return metadata


def _left_out(recording: Recording, runs: Sequence[Sequence[Line]]) -> list[str]:
    """Return which runs are no part of a recording, by the reason."""
    numbers: dict[str, list[str]] = defaultdict(list)
    for run in runs:
        numbers[reason_against(recording, run)].append(run[0]["run"])
    return [f"{reason}: run {', '.join(those)}" for reason, those in numbers.items() if reason]


def _is_of(recording: Recording, line: Line) -> bool:
    where = (line["board"], line["power_mode"], line["network"])
    return where == (recording.board, recording.power_mode, recording.network)


def _configuration(space: ConfigurationSpace, run: Sequence[Line]) -> Configuration:
    placements = np.zeros((*space.shape, 2), dtype=np.int16)
    for line in run:
        accelerator = space.device.accelerator_names.index(line["engine"])
        placements[0, accelerator] = int(line["instances"]), int(line["batch"])
    return Configuration.of(placements)


def _row(
    space: ConfigurationSpace, configuration: Configuration, repeats: Sequence[Sequence[Line]]
) -> Row:
    """Return the row of a configuration, the means of its runs; NaN where none has a number."""
    name, unknown = space.workload.names[0], math.nan
    whole = {column: _mean(run[0][column] for run in repeats) for column in OF_RUN}

    def latency_ms(column: str) -> float:
        """Return a latency of the network, which is that of its engine where it has one alone."""
        alone = len(repeats[0]) == 1
        return _mean(run[0][column] for run in repeats) if alone else unknown

    images_ips = _mean(sum(float(line["images_per_s"]) for line in run) for run in repeats)
    p50_ms, p95_ms = latency_ms("latency_median_ms"), latency_ms("latency_p95_ms")
    outcome = Measurement(
        (TenantMeasurement(images_ips, p50_ms, p95_ms, unknown, unknown, unknown, unknown),),
        window_s=whole["window_s"],
        origin=Origin.MEASURED,
        power_w=whole["power_w"],
        memory_mib=whole["memory_mib"],
        sensor="published" if whole["power_w"] > 0 else "none",
        rails_w={
            rail: whole[column]
            for rail, column in zip(RAILS, RAIL_COLUMNS, strict=True)
            if whole[column] > 0
        },
    )
    row = row_of(space, configuration, outcome, len(repeats), unknown)
    slowest = (max(_number(line["latency_median_ms"]) for line in run) for run in repeats)
    extra = {"mean_ms": latency_ms("latency_mean_ms"), "slowest_p50_ms": _mean(slowest)}
    return row | {f"{name}.{key}": value for key, value in extra.items() if value > 0}


def _told(run: Sequence[Line]) -> dict[str, Any]:
    """Return a run as its source has it, for the metadata: its numbers, by engine and together."""
    by_engine = ("images_per_s", "latency_mean_ms", "latency_median_ms", "latency_p95_ms")
    engines = {
        line["engine"]: {key: float(line[key]) for key in by_engine if line[key]} for line in run
    }
    together = {key: float(run[0][key]) for key in OF_RUN if run[0][key]}
    return {"run": int(run[0]["run"]), **engines, **together, "source": run[0]["source"]}


def _not_measured(space: ConfigurationSpace, rows: Sequence[Row]) -> list[str]:
    """Return the columns of a trace that hold no number, and those that some rows lack."""
    told = []
    for column in sorted(key for key, value in rows[0].items() if isinstance(value, float)):
        missing = [math.isnan(row.get(column, math.nan)) for row in rows]
        if all(missing):
            told.append(column)
        elif any(missing):
            told.append(f"{column} of {sum(missing)} of {len(rows)} configurations")
    return told


def _repository(line: Line) -> str:
    return line["source"].partition("@")[0]


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _number(text: str | float) -> float:
    return float(text) if text != "" else math.nan


def _mean(values: Iterable[str | float]) -> float:
    """Return the mean of the numbers that were published, NaN where there is none."""
    known = [number for number in map(_number, values) if not math.isnan(number)]
    return sum(known) / len(known) if known else math.nan


def main() -> int:
    """Write every trace, and print what it holds and what it leaves out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=BUILT_IN, help="folder (default: %(default)s)")
    folder = parser.parse_args().out
    runs = read_runs()
    rows = []
    for name in RECORDINGS:
        published = write_recording(name, folder, runs)["published"]
        count = sum(map(len, published["runs"].values()))
        left_out = "; ".join(published["left_out"]) or "nothing"
        rows.append([name, str(len(published["runs"])), str(count), left_out])
    table(["trace", "configurations", "runs", "left out"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
