"""INT8 ranges from samples: caches for trtexec, quantised graphs, and what is said of them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.commands import CommandResult, call
from tests.tuner.exports.recorder import run, start
from tests.tuner.exports.typed import write_qdq, write_typed
from tuner.exports.caches import cache_bytes
from tuner.exports.calibrated import scales_of
from tuner.exports.readme import MIN_AGREEMENT


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_typed(tmp_path / "net.onnx")


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Return inputs that are all 4 or -4, so that every method finds the range 4."""
    rng = np.random.default_rng(0)
    path = tmp_path / "inputs.npz"
    np.savez(path, picture=rng.choice([-4.0, 4.0], (64, 3, 8, 8)).astype(np.float32))
    return path


def export(out: Path, network: Path, *more: object) -> CommandResult:
    return call("export", "--network", network, "--out", out, "--cache", out.parent / "c", *more)


TRTEXEC = ("--target", "trtexec", "--tensor-precision", "int8")


def scales(cache: Path) -> dict[str, float]:
    first, *lines = cache.read_text().splitlines()
    assert first == "TRT-100300-EntropyCalibration2"
    pairs = (line.rsplit(": ", 1) for line in lines)
    return {name: struct.unpack(">f", bytes.fromhex(digits))[0] for name, digits in pairs}


def test_a_cache_holds_the_ranges_of_the_samples(
    network: Path, samples: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x" / "out"
    places = ("--configuration", "tensor=1x4", "dla0=1x2", "dla1=2x2")
    result = export(out, network, *TRTEXEC, *places, "--samples", samples)
    assert result.returncode == 0, result.stderr
    names = {"net.cache": "networks/net.onnx", "net.b2.dla.cache": "networks/dla/net.b2.onnx"}
    for cache, source in names.items():
        found = scales(out / "calibration" / cache)
        assert found["picture"] == pytest.approx(4 / 127, rel=1e-6)
        graph = onnx.load(out / source).graph
        tensors = {name for node in graph.node for name in (*node.input, *node.output)}
        assert set(found) <= tensors, "the builder looks scales up by the names in the file"
        assert {"picture", "c", "r", "logits"} <= set(found)
    told = run(out)
    assert [[word for word in words if word.startswith("--calib=")] for words in told] == [
        ["--calib=calibration/net.cache"],
        ["--calib=calibration/net.b2.dla.cache"],
        ["--calib=calibration/net.b2.dla.cache"],
    ]
    manifest = json.loads((out / "export.json").read_text())
    for each in manifest["models"]:
        assert f"on 32 samples of '{samples}', agreement with FP32" in each["calibration"]
    assert "invented data" not in (out / "README.txt").read_text() + json.dumps(manifest)


@pytest.mark.parametrize(("version", "first"), [("8602", "TRT-8602"), ("100700", "TRT-100700")])
def test_a_cache_gets_the_version_of_the_board(
    version: str, first: str, network: Path, samples: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x" / "out"
    places = ("--configuration", "dla0=1x2")
    assert export(out, network, *TRTEXEC, *places, "--samples", samples).returncode == 0
    run(out, version=version)
    cache = out / "calibration" / "net.b2.dla.cache"
    assert cache.read_text().startswith(f"{first}-EntropyCalibration2\npicture: ")


def test_the_users_cache_of_another_version_stops_the_script(network: Path, tmp_path: Path) -> None:
    cache, out = tmp_path / "my.cache", tmp_path / "x" / "out"
    cache.write_text("TRT-100300-EntropyCalibration2\npicture: 3d010204\n")
    places = ("--configuration", "dla0=1x2")
    assert export(out, network, *TRTEXEC, *places, "--calibration", cache).returncode == 0
    assert "--calib=calibration/net.cache" in run(out)[0]
    assert (out / "calibration" / "net.cache").read_text() == cache.read_text()
    told, record = start(out, None, "100700")
    assert told.returncode == 1
    assert not record.exists()
    assert b"net.cache is of another version of TensorRT than 100700" in told.stderr


def test_version_11_gets_a_quantised_graph_and_no_converter(
    network: Path, samples: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x" / "out"
    places = ("--configuration", "tensor=1x4", "dla0=1x2", "--tensorrt", "11")
    result = export(out, network, *TRTEXEC, *places, "--samples", samples)
    assert result.returncode == 0, result.stderr
    assert "modelopt" not in (out / "build.sh").read_text() + (out / "README.txt").read_text()
    sources = [words[0].removeprefix("--onnx=") for words in run(out)]
    assert sources == ["prepared/net.int8.onnx", "prepared/net.dla-b2-int8.onnx"]
    given = np.load(samples)["picture"][:2]
    (expected,) = onnxruntime.InferenceSession(network).run(None, {"picture": given})
    for source in sources:
        graph = onnx.load(out / source).graph
        assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in graph.node}
        points = [each for each in graph.initializer if each.data_type == TensorProto.UINT8]
        assert not points, "TensorRT takes symmetric INT8 alone"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(out / source, options)
        found = np.asarray(session.run(None, {"picture": given})[0]).reshape(2, 10)
        assert found == pytest.approx(np.asarray(expected), abs=0.1 * float(np.abs(expected).max()))


def test_triton_serves_a_graph_that_was_calibrated_on_the_samples(
    network: Path, samples: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    places = ("--target", "triton", "--configuration", "cpu_int8=1x2", "tensor=1x2")
    result = export(out, network, *places, "--samples", samples)
    assert result.returncode == 0, result.stderr
    graph = onnx.load(out / "models" / "net_cpu_int8" / "1" / "model.onnx").graph
    values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    first = next(node for node in graph.node if node.input[0] == "picture")
    assert first.op_type == "QuantizeLinear"
    assert values[first.input[1]] == pytest.approx(8 / 255, rel=1e-3)
    assert "INT8 ranges:" in (out / "README.txt").read_text()
    assert "--calib" not in (out / "build.sh").read_text()


@pytest.mark.parametrize(
    ("places", "remedy"),
    [
        (("--target", "trtexec", "--configuration", "dla0=1x2"), "--dla-precision fp16"),
        (("--target", "deepstream", "--configuration", "dla0=1x2"), "--dla-precision fp16"),
        ((*TRTEXEC, "--configuration", "tensor=1x2"), "give --samples FILE"),
        (("--target", "triton", "--configuration", "cpu_int8=1x2"), "give --samples FILE"),
    ],
)
def test_int8_without_samples_needs_the_users_word(
    places: tuple[str, ...], remedy: str, network: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = export(out, network, *places)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert "is INT8 and nothing calibrates it" in result.stderr
    assert remedy in result.stderr
    assert not out.exists()
    result = export(out, network, *places, "--allow-uncalibrated")
    assert result.returncode == 0, result.stderr
    warning = "calibrated on invented data: right for speed, wrong for answers"
    assert warning in result.stderr
    assert warning in " ".join((out / "README.txt").read_text().split())
    manifest = json.loads((out / "export.json").read_text())
    assert [each["calibration"] for each in manifest["models"]] == ["invented data"]
    assert warning in manifest["warnings"][0]


def test_a_users_quantised_file_needs_no_samples(tmp_path: Path) -> None:
    path, out = write_qdq(tmp_path / "qdq.onnx"), tmp_path / "out"
    places = ("--target", "trtexec", "--configuration", "tensor=1x4", "dla0=1x2")
    result = export(out, path, *places)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads((out / "export.json").read_text())["warnings"] == []


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--samples", "nowhere.npz"), "samples: there is no file nowhere.npz"),
        (("--samples", "SAMPLES", "SAMPLES"), "samples has 2 files for 1 networks"),
        (("--samples", "WRONG"), "must hold one array [n, 3, 8, 8] for the input 'picture'"),
        (("--samples", "SAMPLES", "--calibration", "CACHE"), "calibration and samples are both"),
    ],
)
def test_samples_that_do_not_fit(
    more: tuple[str, ...], sentence: str, network: Path, samples: Path, tmp_path: Path
) -> None:
    (tmp_path / "my.cache").write_text("TRT-100300-EntropyCalibration2\n")
    np.savez(tmp_path / "wrong.npz", a=np.zeros((9, 3, 8, 9), np.float32))
    files = {"SAMPLES": samples, "CACHE": tmp_path / "my.cache", "WRONG": tmp_path / "wrong.npz"}
    words = [files.get(word, word) for word in more]
    result = export(tmp_path / "out", network, *TRTEXEC, "--configuration", "tensor=1x4", *words)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert sentence in result.stderr


def test_samples_that_nothing_is_calibrated_on_are_told(
    network: Path, samples: Path, tmp_path: Path
) -> None:
    places = ("--target", "trtexec", "--configuration", "cuda=1x4", "--samples", samples)
    result = export(tmp_path / "out", network, *places)
    assert result.returncode == 0
    assert "no model of this configuration needs that" in result.stderr
    for key in ("--samples", "--calibration"):
        result = export(tmp_path / "policy", network, "--target", "policy", key, samples)
        assert f"{key[2:]} has no meaning for target=policy" in result.stderr


def test_answers_that_int8_cannot_keep_are_told(tmp_path: Path) -> None:
    # The first column decides and is tiny beside the second, which all samples share.
    weights = [
        numpy_helper.from_array(np.array([[1, -1], [0, 0]], np.float32), "w"),
        numpy_helper.from_array(np.eye(2, dtype=np.float32), "v"),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    path = tmp_path / "net.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    rng = np.random.default_rng(0)
    x = np.stack([rng.choice([-0.1, 0.1], 64), np.full(64, 1000.0)], axis=1)
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    out = tmp_path / "out"
    places = ("--configuration", "tensor=1x4", "--samples", tmp_path / "x.npy")
    result = export(out, path, *TRTEXEC, *places)
    assert result.returncode == 0, result.stderr
    assert "net_tensor gives other answers than FP32: agreement" in result.stderr
    (described,) = json.loads((out / "export.json").read_text())["models"]
    agreed = float(described["calibration"].split("FP32 ")[1].split()[0])
    assert agreed < MIN_AGREEMENT


def test_tensors_around_a_pool_and_a_concatenation_share_a_scale() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("MaxPool", ["a"], ["p"], kernel_shape=[2, 2]),
        helper.make_node("Concat", ["p", "b"], ["y"], axis=1),
        helper.make_node("Relu", ["y"], ["r"]),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [], []))
    ranges = {"a": 127 * 0.1, "b": 127 * 0.4, "p": 127 * 0.2, "y": 127 * 0.3, "r": 127 * 9.0}
    found = scales_of(model, ranges)
    assert found == pytest.approx({"a": 0.4, "b": 0.4, "p": 0.4, "y": 0.4, "r": 9.0})


def test_the_bytes_of_a_cache() -> None:
    # 1.0 is 3f800000 (IEEE 754).
    assert cache_bytes({"in put": 1.0}, 8602) == (
        b"TRT-8602-EntropyCalibration2\nin put: 3f800000\n"
    )


@pytest.mark.parametrize("version", ["10", "11"])
def test_a_half_network_is_calibrated_as_well(version: str, samples: Path, tmp_path: Path) -> None:
    path, out = write_typed(tmp_path / "half.onnx", "float16"), tmp_path / "x" / "out"
    places = ("--configuration", "tensor=1x4", "dla0=1x2", "--tensorrt", version)
    result = export(out, path, *TRTEXEC, *places, "--samples", samples)
    assert result.returncode == 0, result.stderr
    tensor, dla = run(out)
    if version == "10":
        assert {"--int8", "--fp16", "--calib=calibration/half.cache"} <= set(tensor)
        found = scales(out / "calibration" / "half.cache")
        assert found["picture"] == pytest.approx(4 / 127, rel=1e-3)
        assert not any(name.endswith("/float") for name in found)
        return
    for words in (tensor, dla):
        graph = onnx.load(out / words[0].removeprefix("--onnx=")).graph
        ends = (*graph.input, *graph.output)
        assert {each.type.tensor_type.elem_type for each in ends} == {TensorProto.FLOAT16}
        assert "QuantizeLinear" in {node.op_type for node in graph.node}
        assert not [each for each in graph.initializer if each.data_type == TensorProto.FLOAT]
