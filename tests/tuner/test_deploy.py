"""The command that serves: its plan, what it refuses, and a short run of the real thing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import call
from tests.tuner.kept_places import places

pytestmark = pytest.mark.usefixtures("session_cache")

SIMULATED = (
    "--runtime",
    "simulated",
    "--p99-ms",
    "30",
    "--batches",
    "1",
    "4",
    "--max-instances",
    "2",
)


def test_a_dry_run_says_what_would_be_served_and_serves_nothing(
    small_onnx: Path, tmp_path: Path
) -> None:
    result = call("deploy", "--network", small_onnx, *SIMULATED, *places(tmp_path), "--dry-run")
    assert result.returncode == 0
    for line in (
        "device: Jetson AGX Orin 64 GB",
        "(simulated)",
        "goal and limits: most throughput with small p99 <= 30 ms",
        "safe default: small: ",
        "last good: none kept",
    ):
        assert line in result.stdout
    assert not (tmp_path / "kept").exists()


def test_what_a_dry_run_says_is_measured_first_is_what_the_first_period_serves(
    small_onnx: Path, tmp_path: Path
) -> None:
    """At first that is the safe default, and after a run the last good configuration."""
    given = ("--network", small_onnx, *SIMULATED, *places(tmp_path))
    for periods, same in (("12", "safe default"), ("1", "last good")):
        said = call("deploy", *given, "--dry-run").stdout.splitlines()
        lines = dict(line.split(": ", 1) for line in said)
        served = call("deploy", *given, "--periods", periods).stdout.splitlines()
        first = json.loads(served[0])["configuration"]
        assert lines["first measurement"] == lines[same] == first
        assert "the policy's first proposal, while nothing is measured" in lines


def test_some_periods_are_some_lines_and_leave_the_last_good_configuration(
    small_onnx: Path, tmp_path: Path
) -> None:
    result = call(
        "deploy", "--network", small_onnx, *SIMULATED, *places(tmp_path), "--periods", "12"
    )
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["period"] for line in lines] == list(range(1, 13))
    assert {line["origin"] for line in lines} == {"simulated"}
    assert (
        json.loads((tmp_path / "kept" / "last_good.json").read_text())["placements"]
        == lines[-1]["placements"]
    )
    assert (
        "last good: small: "
        in call(
            "deploy", "--network", small_onnx, *SIMULATED, *places(tmp_path), "--dry-run"
        ).stdout
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            ("--runtime", "warp"),
            "runtime=warp is unknown: choose from onnxruntime, tensorrt, simulated, replayed",
        ),
        (("--board", "agx_thor"), "agx_thor is unknown"),
        (("--mode", "99W"), "99W is unknown on agx_orin_64"),
        (("--p99-ms", "-3"), "a limit must be above zero"),
        (("--p99-ms", "3", "4"), "2 values for 1 tenants"),
        (("--period-s", "0"), "must be above zero"),
        (("--client", "app:main"), "cannot be found"),
        (("--client", "json:dumps"), "needs --rate-ips"),
        (("--client", "json:dumps", "--rate-ips", "5"), "only answers what a window would give"),
        (("--metrics-port", "70000"), "port 70000 of 127.0.0.1 cannot be used"),
        (("--journal", "/dev/null/journal"), "give another --journal"),
    ],
)
def test_bad_input_is_one_sentence(
    small_onnx: Path, tmp_path: Path, more: tuple[str, ...], sentence: str
) -> None:
    result = call(
        "deploy",
        "--network",
        small_onnx,
        *SIMULATED,
        *places(tmp_path),
        *more,
        "--periods",
        "1",
        "--accelerators",
        "cuda",
        "tensor",
    )
    assert result.returncode == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_network_is_needed_and_must_exist(tmp_path: Path) -> None:
    assert "network is missing" in call("deploy", *SIMULATED, *places(tmp_path)).stderr
    assert (
        "there is no file"
        in call("deploy", "--network", tmp_path / "no.onnx", *SIMULATED, *places(tmp_path)).stderr
    )


def test_a_recording_can_be_served(tmp_path: Path) -> None:
    result = call(
        "deploy",
        "--runtime",
        "replayed",
        "--trace",
        "resnet50",
        "--p99-ms",
        "400",
        *places(tmp_path),
        "--periods",
        "10",
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert {line["origin"] for line in lines} == {"replayed"}
    assert lines[-1]["kept"]
