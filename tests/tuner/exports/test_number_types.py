"""What is built follows the number types in the file: flags, modes, types, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from envs.errors import NetworkError
from envs.graph.reading import read_network
from envs.spec import workload_of
from tests.tuner.exports.typed import write_integer, write_mixed, write_qdq, write_typed
from tuner.exports.answers import Slot, placed
from tuner.exports.calibrated import translated
from tuner.exports.deepstream import export_deepstream
from tuner.exports.engines import BuildOptions
from tuner.exports.models import Model, models_of
from tuner.exports.triton import config_of, export_triton
from tuner.exports.trtexec import arguments, export_trtexec

#: Flags of precision that trtexec has.
FLAGS = {"--fp16", "--bf16", "--int8", "--fp8", "--best", "--stronglyTyped"}

FILES: dict[str, Callable[[Path], Path]] = {
    "float32": write_typed,
    "float16": lambda path: write_typed(path, "float16"),
    "bfloat16": lambda path: write_typed(path, "bfloat16", 22, 10),
    "with_half": write_mixed,
    "with_bf16": lambda path: write_mixed(path, TensorProto.BFLOAT16),
    "qdq": write_qdq,
}


def models(path: Path, *accelerators: str, batch: int = 2) -> list[Model]:
    slots = [Slot(None, accelerator, 1, batch) for accelerator in accelerators]
    return models_of(*placed(slots, workload_of([read_network(path)])), [path])


def flags(path: Path, accelerator: str, build: BuildOptions) -> set[str]:
    (model,) = models(path, accelerator)
    script = str(export_trtexec([model], build)["build.sh"])
    told = arguments(model, build, "engines/x.plan")
    assert all(word in script for word in told[:-1])
    return set(told) & FLAGS


@pytest.mark.parametrize(
    ("name", "cuda", "tensor", "int8"),
    [
        ("float32", set(), {"--fp16"}, {"--int8", "--fp16"}),
        ("float16", {"--fp16"}, {"--fp16"}, {"--int8", "--fp16"}),
        ("bfloat16", {"--bf16"}, {"--bf16"}, {"--int8", "--bf16"}),
        ("with_half", {"--fp16"}, {"--fp16"}, {"--int8", "--fp16"}),
        ("with_bf16", {"--bf16"}, {"--fp16", "--bf16"}, {"--int8", "--fp16", "--bf16"}),
    ],
)
def test_flags_are_those_of_the_file(
    name: str, cuda: set[str], tensor: set[str], int8: set[str], tmp_path: Path
) -> None:
    path = FILES[name](tmp_path / f"{name}.onnx")
    assert flags(path, "cuda", BuildOptions("10")) == cuda
    assert flags(path, "tensor", BuildOptions("10")) == tensor
    assert flags(path, "tensor", BuildOptions("10", tensor_precision="int8")) == int8
    assert "--noTF32" in arguments(*models(path, "cuda"), BuildOptions("10"), "x")
    for accelerator in ("cuda", "tensor"):
        assert flags(path, accelerator, BuildOptions("11")) == set()


@pytest.mark.parametrize("version", ["8.6", "10"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("accelerator", ["tensor", "dla0"])
def test_a_quantised_file_is_int8_whatever_else_is_asked_for(
    version: str, precision: str, accelerator: str, tmp_path: Path
) -> None:
    path = write_qdq(tmp_path / "net.onnx")
    build = BuildOptions(version, precision, precision)
    assert flags(path, accelerator, build) == {"--int8", "--fp16"}
    (model,) = models(path, accelerator)
    assert build.precision(model) == "int8"
    assert not build.needs_ranges(model), "it has its own"


@pytest.mark.parametrize("name", ["float16", "bfloat16", "qdq"])
@pytest.mark.parametrize("accelerator", ["tensor", "dla0"])
def test_version_11_takes_a_file_that_holds_its_precision_as_it_is(
    name: str, accelerator: str, tmp_path: Path
) -> None:
    if name == "bfloat16" and accelerator == "dla0":
        pytest.skip("no DLA has BF16")
    (model,) = models(FILES[name](tmp_path / "net.onnx"), accelerator)
    files = export_trtexec([model], BuildOptions("11", dla_precision="fp16"))
    assert "modelopt" not in str(files["build.sh"]) + str(files["README.txt"])
    assert not any(each.startswith("prepared") for each in files)


@pytest.mark.parametrize("name", ["float32", "with_half"])
def test_version_11_converts_what_is_fp32_for_tensor_cores(name: str, tmp_path: Path) -> None:
    path = FILES[name](tmp_path / "net.onnx")
    script = str(export_trtexec(models(path, "cuda", "tensor"), BuildOptions("11"))["build.sh"])
    assert "--onnx=networks/net.onnx" in script
    assert "modelopt.onnx.autocast --onnx_path=networks/net.onnx" in script


@pytest.mark.parametrize(
    ("name", "accelerator", "version", "sentence"),
    [
        ("qdq", "cuda", "10", "it is an INT8 network, and cuda computes in FP32: use tensor"),
        ("bfloat16", "cuda", "8.6", "it holds BF16, which TensorRT 8.6 does not have"),
        ("with_bf16", "tensor", "8.6", "it holds BF16, which TensorRT 8.6 does not have"),
        ("bfloat16", "dla0", "10", "it holds BF16, and dla0 computes in FP16 and INT8"),
    ],
)
def test_an_accelerator_that_cannot_run_the_file_is_refused(
    name: str, accelerator: str, version: str, sentence: str, tmp_path: Path
) -> None:
    found = models(FILES[name](tmp_path / "net.onnx"), accelerator)
    for export in (export_trtexec, export_deepstream):
        with pytest.raises(NetworkError, match=sentence):
            export(found, BuildOptions(version))
    with pytest.raises(NetworkError, match=sentence):
        export_triton(found, BuildOptions(version), 5.0, 1, tmp_path)


@pytest.mark.parametrize("point", [np.uint8(0), np.uint8(128), np.int8(3)])
def test_zero_points_that_tensorrt_does_not_take(point: Any, tmp_path: Path) -> None:
    found = models(write_qdq(tmp_path / "net.onnx", point), "tensor")
    with pytest.raises(NetworkError, match="quantise it to symmetric INT8"):
        export_trtexec(found, BuildOptions("11"))
    # Earlier versions get the file without its quantised nodes, and a cache.
    ranges = translated(found)
    files = export_trtexec(found, BuildOptions("10", calibrated=ranges))
    assert b"\npicture: " in bytes(files["calibration/net.cache"])  # type: ignore[arg-type]
    assert "--calib=calibration/net.cache" in str(files["build.sh"])
    write = files["networks/net.onnx"]
    assert callable(write)
    write(tmp_path / "plain.onnx")
    kinds = {node.op_type for node in onnx.load(tmp_path / "plain.onnx").graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}


def test_operators_that_tensorrt_does_not_have(tmp_path: Path) -> None:
    path = write_integer(tmp_path / "net.onnx")
    with pytest.raises(NetworkError, match="TensorRT has no QLinearConv: quantise it with Quant"):
        export_trtexec(models(path, "tensor"), BuildOptions())
    export_triton(models(path, "cpu_int8"), BuildOptions(), 5.0, 1, tmp_path)


@pytest.mark.parametrize("write", [write_qdq, write_integer])
def test_triton_serves_a_quantised_file_as_it_is(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = write(tmp_path / "net.onnx")
    with pytest.raises(NetworkError, match="cpu_fp32 computes in FP32"):
        export_triton(models(path, "cpu_fp32"), BuildOptions(), 5.0, 1, tmp_path / "cache")
    files = export_triton(models(path, "cpu_int8"), BuildOptions(), 5.0, 1, tmp_path / "cache")
    copy = files["models/net_cpu_int8/1/model.onnx"]
    assert callable(copy)
    copy(tmp_path / "copy.onnx")
    assert not (tmp_path / "cache").exists(), "nothing was quantised"
    given = {"picture": np.random.default_rng(1).random((2, 3, 8, 8), dtype=np.float32)}
    first, second = (
        onnxruntime.InferenceSession(each, providers=["CPUExecutionProvider"]).run(None, given)[0]
        for each in (path, tmp_path / "copy.onnx")
    )
    assert np.array_equal(np.asarray(first), np.asarray(second))


def test_types_and_modes_of_the_servers(tmp_path: Path) -> None:
    (model,) = models(write_typed(tmp_path / "half.onnx", "float16"), "tensor")
    config = config_of(model, BuildOptions(), 5.0, 1)
    assert [each["data_type"] for each in (*config["input"], *config["output"])] == [
        "TYPE_FP16"
    ] * 2
    (model,) = models(FILES["bfloat16"](tmp_path / "brain.onnx"), "cuda")
    assert config_of(model, BuildOptions(), 5.0, 1)["input"][0]["data_type"] == "TYPE_BF16"
    found = models(write_mixed(tmp_path / "mixed.onnx"), "cuda")
    assert "network-mode=2" in str(export_deepstream(found, BuildOptions())["mixed_cuda_0.txt"])
    found = models(write_qdq(tmp_path / "qdq.onnx"), "tensor", "dla1")
    files = export_deepstream(found, BuildOptions())
    for name in ("qdq_tensor_0.txt", "qdq_dla1_0.txt"):
        assert "network-mode=1" in str(files[name])
        assert "int8-calib-file" not in str(files[name])
    found = models(write_mixed(tmp_path / "brain.onnx", TensorProto.BFLOAT16), "cuda")
    with pytest.raises(NetworkError, match="BF16, for which nvinfer has no network-mode"):
        export_deepstream(found, BuildOptions())


def test_a_half_network_reaches_a_dla_in_half(tmp_path: Path) -> None:
    (model,) = models(write_typed(tmp_path / "half.onnx", "float16"), "dla0")
    write = export_trtexec([model], BuildOptions(dla_precision="fp16"))["networks/dla/half.b2.onnx"]
    assert callable(write)
    write(tmp_path / "dla.onnx")
    graph = onnx.load(tmp_path / "dla.onnx").graph
    assert {each.data_type for each in graph.initializer} <= {
        TensorProto.FLOAT16,
        TensorProto.INT64,
    }
    assert flags(model.path, "dla0", BuildOptions(dla_precision="fp16")) == {"--fp16"}


@pytest.mark.parametrize(("opset", "ir"), [(7, 3), (9, 3), (11, 6)])
def test_old_files_list_no_weight_among_the_shapes(opset: int, ir: int, tmp_path: Path) -> None:
    path = write_typed(tmp_path / "old.onnx", opset=opset, ir=ir)
    tensor, dla = models(path, "tensor", "dla0")
    told = [each for each in arguments(tensor, BuildOptions(), "x") if "Shapes" in each]
    assert told == [
        "--minShapes=picture:1x3x8x8",
        "--optShapes=picture:2x3x8x8",
        "--maxShapes=picture:2x3x8x8",
    ]
    write = export_trtexec([dla], BuildOptions())["networks/dla/old.b2.onnx"]
    assert callable(write)
    write(tmp_path / "dla.onnx")
    given = {"picture": np.random.default_rng(1).random((2, 3, 8, 8), dtype=np.float32)}
    plain, prepared = (
        np.asarray(
            onnxruntime.InferenceSession(each, providers=["CPUExecutionProvider"]).run(None, given)[
                0
            ]
        )
        for each in (path, tmp_path / "dla.onnx")
    )
    assert prepared.reshape(plain.shape) == pytest.approx(plain, abs=1e-5)
