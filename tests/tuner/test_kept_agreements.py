"""Agreements that are kept and told: on boards, in recordings and by commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tuner
from envs.traces.reader import read_trace
from tests.commands import call
from tests.envs.accuracy.digits import Digits
from tests.standins.tensorrt import stand_ins
from tests.tuner.opened import BOARD, INT8, QUICK, UNCALIBRATED
from tuner.device import open_device

pytestmark = pytest.mark.usefixtures("session_cache", "told")


RECORD = ("--max-instances", 1, "--batches", 1, "--cores", 1, "--window-s", 0.05, "--attempts", 1)


def test_agreement_of_a_simulated_board_is_kept(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = BOARD | {"samples": [str(digits.samples)], "cache": str(tmp_path)}
    options |= {"accelerators": ["cuda", "tensor"], "precisions": ["fp32", "int8"]}

    def found() -> dict[tuple[int, int], Any]:
        with open_device(digits.path, **options) as device:
            return dict(device.agreements)

    first = found()
    assert first[0, 0].value == 1.0
    assert all(0.98 <= each.value <= 1 for each in first.values())
    files = sorted(tmp_path.glob("agreement-*.json"))
    contents = [path.read_bytes() for path in files]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[:30])
    assert found() == first
    assert [path.read_bytes() for path in files] == contents

    def never(*arguments: object) -> None:
        raise AssertionError("it was kept")

    monkeypatch.setattr("envs.accuracy.emulation.int8_copy", never)
    assert found() == first


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"{}", b"null", b"\xff"),
        *(b'{"value": %s, "snr_db": 9, "samples": 5}' % v for v in (b'"0.5"', b"7", b"-1", b"NaN")),
        b'{"value": true, "snr_db": 9, "samples": 5}',
        b'{"value": 0.5, "snr_db": 9, "samples": "many"}',
        b'{"value": 0.5, "snr_db": "9", "samples": 5}',
        b'{"value": 0.5, "snr_db": 9, "samples": 5, "more": 1}',
        b'{"value": 0.5}',
    ],
)
def test_a_kept_agreement_that_is_no_agreement_is_found_again(
    digits: Digits, tmp_path: Path, content: bytes
) -> None:
    options = BOARD | {"samples": [str(digits.samples)], "cache": str(tmp_path)}
    options |= {"accelerators": ["tensor"], "precisions": ["fp16"]}
    with open_device(digits.path, **options) as device:
        first = dict(device.agreements)
    (path,) = tmp_path.glob("agreement-*.json")
    path.write_bytes(content)
    with open_device(digits.path, **options) as device:
        assert dict(device.agreements) == first


def test_a_trace_has_the_agreement(digits: Digits, tmp_path: Path) -> None:
    out = tmp_path / "trace.parquet"
    result = call(
        "record", "--network", digits.path, "--samples", digits.samples, *RECORD, "--out", out
    )
    assert result.returncode == 0, result.stderr
    trace = read_trace(out)
    assert trace.space.unavailable == frozenset()
    values = [row["digits.agreement"] for row in trace.rows]
    assert values[0] == 1.0
    assert all(0.98 < each <= 1 for each in values)
    samples = [row["digits.agreement_samples"] for row in trace.rows]
    used = (trace.placements[:, 0, 1, 0] > 0).tolist()
    assert samples == [512 if int8 else 0 for int8 in used]  # the file itself needs none


def test_record_goes_on_without_int8(digits: Digits, tmp_path: Path) -> None:
    out = tmp_path / "trace.parquet"
    result = call("record", "--network", digits.path, *RECORD, "--out", out)
    assert result.returncode == 0, result.stderr
    assert UNCALIBRATED in result.stderr
    assert read_trace(out).space.unavailable == {INT8}


def test_deploy_says_and_keeps_the_agreement(digits: Digits, tmp_path: Path) -> None:
    given = ("--network", digits.path, "--samples", digits.samples, "--p99-ms", 1000)
    places = ("--folder", tmp_path / "kept", "--lock", tmp_path / "lock")
    more = ("--max-instances", 1, "--batches", 1, *places)
    result = call("deploy", *given, *more, "--cores", 1, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "agreement with FP32" in result.stdout
    assert "equal classes, 512 samples" in result.stdout
    board = ("--runtime", "simulated", "--accelerators", "tensor", "--precisions", "int8")
    result = call("deploy", *given, *more, *board, "--periods", 3)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == 3
    for line in lines:
        tenant = line["tenants"]["digits"]
        assert tenant["agreement"] > 0.98
        assert tenant["agreement_samples"] == 512


def test_optimize_takes_samples(digits: Digits) -> None:
    answer = tuner.optimize(
        digits.path,
        samples=[str(digits.samples)],
        accelerators=["cpu_int8"],
        p99_ms=1000,
        measurements=3,
        window_s=0.2,
        **QUICK,
    )
    data = answer.to_dict()
    assert data["agreement"][0] >= 0.99
    assert data["agreement_samples"] == [512]
    assert data["agreements"]["digits"]["cpu_int8"]["samples"] == 512


def test_every_runtime_judges_by_the_same_samples(digits: Digits) -> None:
    options = {"max_instances": 1, "batches": [1], "samples": [str(digits.samples)]}
    with stand_ins(), open_device(digits.path, runtime="tensorrt", **options) as device:
        assert all(each.samples == 512 for each in device.agreements.values())
        assert all(each.value >= 0.98 for each in device.agreements.values())
