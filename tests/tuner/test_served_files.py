"""Files that not every accelerator runs: quantised ones, those in BF16, and broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

from envs.accuracy.store import quantized
from envs.errors import ConfigurationError, OptionError
from envs.graph.reading import read_network
from envs.spec import Measurement
from tests.commands import call
from tests.envs.accuracy.digits import Digits
from tests.envs.accuracy.graphs import convolution, model, node, random, saved
from tests.tuner.opened import BOARD, FP32, INT8, QUICK
from tuner.device import open_device

pytestmark = pytest.mark.usefixtures("session_cache", "told")


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
