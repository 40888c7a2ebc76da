"""Accelerators are a choice only with right answers: in every runtime, command and from Python."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

import tuner
from envs.accuracy.store import quantized
from envs.errors import ConfigurationError, OptionError
from envs.graph.reading import read_network
from envs.spec import CLASSES, Measurement
from envs.spec.validity import judge, reason
from envs.traces.reader import read_trace
from tests.commands import call
from tests.envs.accuracy.digits import Digits
from tests.envs.accuracy.graphs import convolution, model, node, random, saved
from tests.standins.tensorrt import stand_ins
from tuner.device import Device, open_device, serve_options

pytestmark = pytest.mark.usefixtures("session_cache")

QUICK: dict[str, Any] = {"max_instances": 1, "batches": [1, 4], "cores": 1}
BOARD: dict[str, Any] = {"runtime": "simulated", "max_instances": 1, "batches": [1, 4]}
RECORD = ("--max-instances", 1, "--batches", 1, "--cores", 1, "--window-s", 0.05, "--attempts", 1)

FP32, INT8 = (0, 0), (0, 1)
UNCALIBRATED = "INT8 needs samples to calibrate on: give --samples FILE, or --allow-uncalibrated"


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


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


def unknown(folder: Path) -> Path:
    made = convolution()
    made.graph.node[1].domain = "my.own"
    made.opset_import.append(onnx.helper.make_opsetid("my.own", 1))
    for name, shape in (("c", ["n", 8, 8, 8]), ("r", ["n", 8, 8, 8]), ("p", ["n", 8, 1, 1])):
        info = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        made.graph.value_info.append(info)
    path = folder / "unknown.onnx"
    onnx.save(made, str(path))
    return path


@pytest.mark.parametrize("runtime", ["onnxruntime", "simulated"])
@pytest.mark.parametrize("kind", ["too new", "unknown"])
def test_what_cannot_be_loaded_ends_with_the_reason_before_any_window(
    tmp_path: Path, runtime: str, kind: str
) -> None:
    path = unknown(tmp_path) if kind == "unknown" else tmp_path / "new.onnx"
    if kind == "too new":
        onnx.save(convolution(ir=14), str(path))
    given = ("--runtime", runtime, "--network", path, "--p99-ms", 50)
    for result in (
        call("tune", *given),
        call("record", *given[:4], "--out", tmp_path / "trace.parquet"),
        call("deploy", *given, "--dry-run", "--folder", tmp_path / "kept"),
    ):
        assert result.returncode == 2, result.stderr
        last = result.stderr.splitlines()[-1]
        assert ("IR version: 14" if kind == "too new" else "my.own") in last
        assert "ms" not in result.stdout
    assert not (tmp_path / "trace.parquet").exists()


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


def test_a_quantised_file_is_an_int8_network(
    digits: Digits, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = read_network(digits.path)
    path = quantized(digits.path, network, tmp_path).path
    with open_device(path, **QUICK) as device:
        assert device.space.unavailable == {FP32}
        assert device.agreements[INT8].value == 1.0
        outcome = device.measure({"cpu_int8": (1, 4)}, window_s=0.05)
        assert isinstance(outcome, Measurement)
        assert outcome.tenants[0].agreement == 1.0
    assert any(
        "without cpu_fp32" in each and "an INT8 network already" in each for each in caplog.messages
    )
    with pytest.raises(OptionError, match="is an INT8 network already"):
        open_device(path, accelerators=["cpu_fp32"], **QUICK)
    with open_device(path, **BOARD) as board:
        names = board.space.device.accelerator_names
        assert "cuda" in {names[column] for _, column in board.space.unavailable}


def test_a_network_whose_samples_see_each_other_is_served_one_by_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, _ = saved(
        tmp_path,
        model(
            [
                node("MatMul", "x v", "h"),
                node("ReduceMean", "h", "m", axes=[0], keepdims=1),
                node("Sub", "h m", "y"),
            ],
            {"x": ["n", 16]},
            {"y": ["n", 5]},
            {"v": random(16, 5)},
        ),
        "coupled",
    )
    with open_device(path, **QUICK) as device:
        assert {int(row[..., 1].max()) for row in device.space.catalogue} == {1}
        assert device.space.workload.tenants[0].network.fixed_batch == 1
    lines = [each for each in caplog.messages if "served at batch 1 only" in each]
    assert len(lines) == 1
    assert "ReduceMean 'ReduceMean_m' mixes them" in lines[0]
    with pytest.raises(ConfigurationError, match="'coupled': 1"):
        open_device(path, **QUICK | {"batches": [2, 4]})


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


@pytest.mark.parametrize("opset", [13, 19])
def test_a_quantised_file_of_any_opset_runs_on_tensor_cores(
    tmp_path: Path, opset: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Before opset 19 its scales are FP32, so that no copy of it is FP16."""
    scale, zero = np.float32(0.05), np.int8(0)
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("DequantizeLinear", "w s z", "v"),
        node("MatMul", "d v", "y"),
    ]
    weights = {"s": scale, "z": zero, "w": np.arange(-24, 24, dtype=np.int8).reshape(8, 6)}
    made = model(nodes, {"x": ["n", 8]}, {"y": ["n", 6]}, weights, opset=opset)
    path, _ = saved(tmp_path, made, "qdq")
    with open_device(path, **BOARD) as board:
        names = board.space.device.accelerator_names
        assert {names[column] for _, column in board.space.unavailable} == {"cuda"}
    assert not any("cannot load" in each for each in caplog.messages)


def test_operators_that_compute_in_int8_run_on_processors_alone(
    digits: Digits, tmp_path: Path
) -> None:
    path = tmp_path / "dynamic.onnx"
    quantize_dynamic(digits.path, path, weight_type=QuantType.QInt8)
    with open_device(path, **QUICK | {"batches": [1]}) as device:
        assert device.space.unavailable == {FP32}
    with pytest.raises(OptionError, match="TensorRT has no ConvInteger"):
        open_device(path, **BOARD)


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


def test_a_file_in_bf16_runs_on_boards_and_as_int8(digits: Digits, tmp_path: Path) -> None:
    """ONNX Runtime has no MatMul in BF16 for processors."""
    kind = onnx.TensorProto.BFLOAT16
    nodes = [
        node("Cast", "x", "h", to=kind),
        node("MatMul", "h w", "p"),
        node("Cast", "p", "y", to=onnx.TensorProto.FLOAT),
    ]
    made = model(nodes, {"x": ["n", 8]}, {"y": ["n", 6]})
    weight = onnx.helper.make_tensor("w", kind, [8, 6], random(8, 6).ravel())
    made.graph.initializer.append(weight)
    path, _ = saved(tmp_path, made, "bf16")
    np.save(tmp_path / "x.npy", random(64, 8))
    with open_device(path, **BOARD) as board:
        assert (0, board.space.device.accelerator_names.index("tensor")) in board.agreements
    with pytest.raises(OptionError, match=r"cannot load .*MatMul"):
        open_device(path, **QUICK)
    with open_device(path, **QUICK, samples=str(tmp_path / "x.npy"), min_agreement=0.5) as device:
        assert device.space.unavailable == {FP32}
        assert isinstance(device.measure({"cpu_int8": (1, 4)}, window_s=0.05), Measurement)
