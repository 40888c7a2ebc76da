"""Commands write into the given folders alone, also for names that are paths or commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs.errors import NetworkError, TraceError, printable
from envs.graph.reading import read_network
from envs.runtimes.recording import RecordOptions
from envs.runtimes.serving.measuring import ServingOptions
from envs.spec import Workload
from envs.traces.reader import read_trace
from envs.traces.writer import TraceWriter
from tests.commands import call
from tests.security.attacks import refused, untouched
from tests.worlds import space
from tuner.options import ServeOptions
from tuner.record import RecordCommand, record_trace

#: A file called ...onnx is a network called `..`.
NAMES = [
    "..",
    "-rf",
    "=1+1",
    "$(touch ran)",
    "`touch ran`",
    "; touch ran #",
    "' \"",
    "a b",
    "{x}",
    "${oc.env:HOME}",
    "%s%n",
    "é∞",
    "n" * 180,
    ".",
]
CONTROLS = ["two\nlines", "\x1b]0;owned\x07", "\u202egnp"]


@pytest.fixture
def place(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder that is watched; the working folder, cache and output folder are inside."""
    for name in ("work", "networks", "out"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path
    assert list((tmp_path / "work").iterdir()) == []


def named(place: Path, small_onnx: Path, name: str) -> Path:
    path = place / "networks" / f"{name}.onnx"
    shutil.copyfile(small_onnx, path)
    return path


def allowed(place: Path) -> tuple[Path, ...]:
    return place / "out", place / "cache"


@pytest.mark.parametrize("name", [*NAMES, *CONTROLS], ids=ascii)
def test_deploy_writes_into_its_folder_alone(place: Path, small_onnx: Path, name: str) -> None:
    path, out = named(place, small_onnx, name), place / "out"
    given = [
        "--runtime",
        "simulated",
        "--board",
        "orin_nano_8",
        "--network",
        path,
        "--max-instances",
        1,
        "--batches",
        1,
        "--p99-ms",
        50,
        "--period-s",
        0.01,
    ]
    given += [
        "--folder",
        out / "state",
        "--journal",
        out / "journal",
        "--lock",
        out / "lock",
        "--periods",
        1,
    ]
    with untouched(place, allowed(place)):
        result = call("deploy", *given)
    assert result.returncode == 0, result.stderr
    assert {each.name for each in out.iterdir()} <= {"state", "journal", "lock"}
    (line,) = (out / "journal").read_text().splitlines()
    assert printable(path.stem) in json.loads(line)["tenants"]
    assert line.isascii()


@pytest.mark.parametrize("name", ["..", "$(touch ran)", "n" * 180])
def test_record_tune_and_export_write_into_their_folders_alone(
    place: Path, small_onnx: Path, name: str
) -> None:
    path, out = named(place, small_onnx, name), place / "out"
    small = ("--max-instances", 1, "--batches", 1, "--warmup-s", 0.02, "--cores", 1)
    quick = ("--window-s", 0.05, "--attempts", 1)
    with untouched(place, allowed(place)):
        result = call("record", *small, *quick, "--network", path, "--out", out / "t.parquet")
        assert result.returncode == 0, result.stderr
        result = call(
            "tune",
            *small,
            "--network",
            path,
            "--p99-ms",
            1000,
            "--window-s",
            0.05,
            "--out",
            out / "answer.json",
            "--measurements",
            3,
        )
        assert result.returncode in (0, 3), result.stderr
        given = (
            f"--network={path}",
            f"--answer={out / 'answer.json'}",
            f"--out={out / 'export'}",
            "--cores=1",
        )
        result = call("export", "--target", "triton", *given)
        assert result.returncode == 0, result.stderr
    assert {each.name for each in out.iterdir()} == {"t.parquet", "answer.json", "export"}
    assert read_trace(out / "t.parquet").space.workload.names == (path.stem,)
    assert all(each.name.isascii() and each.name.isprintable() for each in out.rglob("*"))
    assert all(
        each.parent == place / "cache" / "orin-tuner" for each in (place / "cache").rglob("*.onnx")
    )


def test_a_file_whose_name_is_not_text_is_refused(place: Path, small_onnx: Path) -> None:
    path = named(place, small_onnx, "\udcff")
    with untouched(place, (place / "out" / "lock",)):
        with refused("is not UTF-8: rename it", NetworkError):
            read_network(path)
        result = call(
            "deploy", "--runtime", "simulated", "--network", path, "--lock", place / "out" / "lock"
        )
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "is not UTF-8: rename it" in result.stderr


@pytest.mark.parametrize("name", CONTROLS, ids=ascii)
def test_a_recording_has_printable_names(place: Path, small_onnx: Path, name: str) -> None:
    path = named(place, small_onnx, name)
    with untouched(place, allowed(place)):
        serve = ServeOptions(
            [str(path)], max_instances=1, batches=[1], serving=ServingOptions(warmup_s=0.02)
        )
        quick = RecordOptions(window_s=0.05, attempts=1)
        record_trace(RecordCommand(place / "out" / "t.parquet", serve, record=quick))
    assert read_trace(place / "out" / "t.parquet").space.workload.names == (printable(name),)


@pytest.mark.parametrize("name", CONTROLS, ids=ascii)
def test_a_name_that_a_trace_cannot_hold_is_refused_before_the_first_measurement(
    tmp_path: Path, name: str
) -> None:
    own = space()
    tenants = tuple(replace(each, name=name) for each in own.workload.tenants)
    with (
        untouched(tmp_path),
        refused("is not printable text: rename the network's file", TraceError),
        TraceWriter(tmp_path / "t.parquet", replace(own, workload=Workload(tenants)), {}),
    ):
        pass


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("networks", ["../../escaped", "--out", "OUT"]),
        ("networks", ["squeezenet1_1\n", "--out", "OUT"]),
        ("evaluate", ["trace=../../../../etc/passwd", "out=OUT"]),
        ("train", ["trace=../networks/evil", "run_dir=OUT"]),
        ("deploy", ["--runtime", "replayed", "--trace", "../../x\n\x1b[2J", "--lock", "OUT/lock"]),
        ("deploy", ["--runtime", "../../x\n", "--lock", "OUT/lock"]),
        ("export", ["--target", "../../x", "--out", "OUT"]),
        ("tune", ["--network", "../../x.onnx", "--p99-ms", "5"]),
        ("record", ["--network", "../../x.onnx", "--out", "OUT/t.parquet"]),
    ],
)
def test_options_that_are_paths_are_refused(
    place: Path, command: str, arguments: list[Any]
) -> None:
    given = [str(each).replace("OUT", str(place / "out")) for each in arguments]
    with untouched(place, (place / "out" / "lock",)):
        result = call(command, *given)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr[:-1].isprintable()
