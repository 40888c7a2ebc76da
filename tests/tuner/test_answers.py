"""Accelerators are a choice only with right answers, judged on samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.accuracy.store import quantized
from envs.errors import OptionError
from envs.graph.reading import read_network
from envs.spec import CLASSES, Measurement
from envs.spec.validity import judge, reason
from tests.commands import call
from tests.envs.accuracy.digits import Digits
from tests.tuner.opened import BOARD, FP32, INT8, QUICK, UNCALIBRATED
from tuner.device import Device, open_device, serve_options

pytestmark = pytest.mark.usefixtures("session_cache", "told")


def opened(digits: Digits, **options: Any) -> Device:
    return open_device(digits.path, **QUICK | {"samples": [str(digits.samples)]} | options)


def test_int8_without_samples_is_no_choice_and_that_is_told_once(
    digits: Digits, small_onnx: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_device([digits.path, small_onnx], **QUICK) as device:
        assert device.space.unavailable == {(0, 1), (1, 1)}
        assert device.space.unjudged == frozenset()
        assert set(device.agreements) == {(0, 0), (1, 0)}
    lines = [each for each in caplog.messages if UNCALIBRATED in each]
    assert len(lines) == 1
    assert lines[0].startswith("without cpu_int8 for digits, small: ")


def test_several_accelerators_are_told_in_one_line(
    digits: Digits, caplog: pytest.LogCaptureFixture
) -> None:
    options = BOARD | {"precisions": ["int8", "fp16"]}
    with open_device([digits.path], **options) as device:
        names = device.space.device.accelerator_names
        assert "tensor" in names
        unavailable = {names[column] for _, column in device.space.unavailable}
        assert all(
            device.space.device.accelerators[column].precision == "int8"
            for _, column in device.space.unavailable
        )
    lines = [each for each in caplog.messages if UNCALIBRATED in each]
    assert len(lines) == (1 if unavailable else 0)


def test_allowed_without_calibration_it_serves_alone(
    digits: Digits, caplog: pytest.LogCaptureFixture
) -> None:
    with open_device(digits.path, allow_uncalibrated=True, **QUICK) as device:
        assert device.space.unavailable == frozenset()
        assert device.space.unjudged == {INT8}
        assert INT8 not in device.agreements
        both = np.array([[[[1, 1], [1, 1]]]])
        (code,) = judge(device.space, both)
        assert "no other precision may serve beside them" in reason(device.space, int(code))
        assert not any(row[0, 0, 0] and row[0, 1, 0] for row in device.space.catalogue)
        outcome = device.measure({"cpu_int8": (1, 1)}, window_s=0.05)
        assert isinstance(outcome, Measurement)
        assert math.isnan(outcome.tenants[0].agreement)
    assert any("cpu_int8" in each and "digits" in each for each in caplog.messages)


def test_with_samples_both_serve_and_the_measurement_carries_the_agreement(
    digits: Digits,
) -> None:
    with opened(digits) as device:
        assert device.space.unavailable == frozenset()
        fp32, int8 = (device.agreements[pair] for pair in (FP32, INT8))
        assert (fp32.value, fp32.snr_db) == (1.0, math.inf)
        assert int8.quantity == CLASSES
        assert int8.value >= 0.99
        assert (int8.samples, int8.calibrated_on, int8.synthetic) == (512, 128, False)
        assert int8.calibration in ("minmax", "entropy", "percentile")
        outcome = device.measure({"cpu_int8": (1, 4)}, window_s=0.05)
        assert isinstance(outcome, Measurement)
        assert outcome.tenants[0].agreement == int8.value
        assert outcome.tenants[0].agreement_samples == 512
        outcome = device.measure({"cpu_int8": (1, 1), "cpu_fp32": (1, 1)}, window_s=0.05)
        assert isinstance(outcome, Measurement)
        assert outcome.tenants[0].agreement == int8.value  # the worst of what serves


def test_below_the_limit_it_is_left_out_with_its_number(
    digits: Digits, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven out of ten digits are right without calibration, which nobody may call judged."""
    network = read_network(digits.path)

    def wrong(path: Path, described: Any, cache: Path, samples: Any) -> Any:
        return quantized(path, network, cache)

    monkeypatch.setattr("envs.runtimes.onnxruntime.engines.quantized", wrong)
    with opened(digits) as device:
        value = device.agreements[INT8].value
        assert value < 0.7
        assert device.space.unavailable == {INT8}
    assert any(
        f"agree with FP32 only to {value:.4g} (equal classes, 512 samples" in each
        and "below min_agreement=0.99" in each
        for each in caplog.messages
    )
    with opened(digits, min_agreement=0) as device:
        assert device.space.unavailable == frozenset()
        outcome = device.measure({"cpu_int8": (1, 1)}, window_s=0.05)
        assert isinstance(outcome, Measurement)
        assert outcome.tenants[0].agreement == value
    with opened(digits, min_agreement=value) as device:
        assert device.space.unavailable == frozenset()
    with pytest.raises(OptionError, match=r"digits cannot be served here: its answers agree with"):
        opened(digits, accelerators=["cpu_int8"])


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (QUICK | {"precisions": ["fp32"]}, ["cpu_fp32"]),
        (QUICK | {"precisions": ["int8"]}, ["cpu_int8"]),
        (QUICK | {"precisions": ["int8", "fp32"]}, ["cpu_fp32", "cpu_int8"]),
        (BOARD | {"precisions": ["fp32"]}, ["cuda"]),
        (BOARD | {"precisions": ["fp16"]}, ["tensor", "dla0", "dla1"]),
        (BOARD | {"precisions": ["fp16"], "accelerators": ["dla0"]}, ["dla0"]),
        (BOARD | {"precisions": ["int8"], "accelerators": ["dla0", "tensor"]}, ["dla0", "tensor"]),
    ],
)
def test_precisions_choose_accelerators(
    digits: Digits, options: dict[str, Any], kept: list[str]
) -> None:
    with open_device(digits.path, samples=[str(digits.samples)], **options) as device:
        allowed = options["precisions"]
        assert list(device.space.device.accelerator_names) == kept
        assert {each.precision for each in device.space.device.accelerators} <= set(allowed)
        for (_, column), found in device.agreements.items():
            assert found.value > 0.98, kept[column]


@pytest.mark.parametrize("precisions", [["fp8"], [], ["int8", "int8"], ["INT8"]])
@pytest.mark.parametrize("options", [QUICK, BOARD], ids=["onnxruntime", "simulated"])
def test_wrong_precisions_are_refused_before_a_network_is_read(
    options: dict[str, Any], precisions: list[str], tmp_path: Path
) -> None:
    (tmp_path / "net.onnx").write_bytes(b"not read")
    with pytest.raises(OptionError, match=r"must name some of fp32, fp16, int8, each once"):
        open_device(tmp_path / "net.onnx", **options | {"precisions": precisions})


def test_precisions_that_leave_nothing(digits: Digits) -> None:
    with pytest.raises(OptionError, match="leaves no accelerator"):
        open_device(digits.path, **QUICK | {"precisions": ["fp16"]})
    with pytest.raises(OptionError, match="leaves no accelerator"):
        open_device(digits.path, **BOARD | {"precisions": ["int8"], "accelerators": ["cuda"]})


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (["a.npz", "a.npz"], "samples has 2 files for 1 networks: give one for each"),
        ([], "samples has 0 files for 1 networks"),
        (["missing.npz"], "samples: there is no file .*missing.npz"),
    ],
)
def test_samples_that_do_not_go_with_the_networks(
    digits: Digits, tmp_path: Path, samples: list[str], words: str
) -> None:
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(OptionError, match=words):
        opened(digits, samples=[str(tmp_path / each) for each in samples])


def test_samples_of_another_network_are_refused(
    digits: Digits, small_onnx: Path, tmp_path: Path
) -> None:
    result = call("tune", "--network", small_onnx, "--samples", digits.samples, "--p99-ms", 50)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: samples=")
    assert "must hold one array [n, 3, 48, 48]" in result.stderr


def test_few_samples_are_named(
    digits: Digits, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = dict(np.load(digits.samples))
    for count in (12, 200):
        np.savez(tmp_path / f"{count}.npz", **{name: each[:count] for name, each in held.items()})
        with open_device(digits.path, **QUICK, samples=[str(tmp_path / f"{count}.npz")]) as device:
            assert INT8 in device.agreements
    lines = [each for each in caplog.messages if "too few" in each]
    assert lines == [
        "digits is judged by 6 samples, too few to tell an agreement of 0.99 from 1: give 200"
    ]


def test_one_file_or_name_is_a_list_of_one(digits: Digits) -> None:
    for samples in (str(digits.samples), digits.samples, [digits.samples], (str(digits.samples),)):
        serve = serve_options(digits.path, samples=samples, precisions="int8", shape="x:1x1x8x8")
        assert serve.samples == [str(digits.samples)]
        assert (serve.precisions, serve.shape, serve.fix) == (["int8"], ["x:1x1x8x8"], None)
    with opened(digits, samples=digits.samples, accelerators="cpu_int8") as device:
        assert set(device.agreements) == {(0, 0)}
