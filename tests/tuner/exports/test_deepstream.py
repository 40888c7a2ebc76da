"""The files of nvinfer, read as key files."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from envs.errors import NetworkError, OptionError
from envs.spec import TensorSpec
from tests.tuner.exports.samples import PICTURE, models, network
from tuner.exports.deepstream import export_deepstream
from tuner.exports.engines import BuildOptions
from tuner.exports.folder import Files


def parsed(files: Files) -> dict[str, dict[str, str]]:
    """Return the group [property] of every nvinfer file."""
    found = {}
    for name, content in files.items():
        if name.endswith(".txt") and name != "README.txt":
            parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=True)
            parser.read_string(str(content))
            assert parser.sections() == ["property"]
            found[name] = dict(parser["property"])
    return found


def test_an_instance_is_a_file_and_its_keys_are_those_of_its_accelerator() -> None:
    files = export_deepstream(
        models(("cuda", 1, 2), ("tensor", 2, 8), ("dla0", 1, 4), ("dla1", 3, 1)), BuildOptions()
    )
    found = parsed(files)
    assert list(found) == [
        *("small_cuda_0.txt", "small_tensor_0.txt", "small_tensor_1.txt"),
        *("small_dla0_0.txt", "small_dla1_0.txt", "small_dla1_1.txt", "small_dla1_2.txt"),
    ]
    assert [each["gie-unique-id"] for each in found.values()] == [
        str(number) for number in range(1, 8)
    ]
    assert [each["network-mode"] for each in found.values()] == ["0", "2", "2", "1", "1", "1", "1"]
    assert [each["batch-size"] for each in found.values()] == ["2", "8", "8", "4", "1", "1", "1"]
    assert [each.get("enable-dla") for each in found.values()] == [
        None,
        None,
        None,
        "1",
        "1",
        "1",
        "1",
    ]
    assert [each.get("use-dla-core") for each in found.values()] == [
        None,
        None,
        None,
        "0",
        "1",
        "1",
        "1",
    ]
    script = str(files["build.sh"])
    for each in found.values():
        assert each["onnx-file"] in files
        assert f"--saveEngine={each['model-engine-file']}" in script, (
            "the engine that nvinfer opens is the one that is built"
        )
        assert (each["network-type"], each["output-tensor-meta"], each["process-mode"]) == (
            "100",
            "1",
            "1",
        )


def test_precision_and_calibration_follow_the_options(tmp_path: Path) -> None:
    cache = tmp_path / "calibration.bin"
    cache.write_bytes(b"TRT-8601-EntropyCalibration2\n")
    found = parsed(
        export_deepstream(
            models(("tensor", 1, 4), ("dla0", 1, 4)),
            BuildOptions("8.6", "int8", "fp16", calibration=(cache,)),
        )
    )
    assert found["small_tensor_0.txt"]["network-mode"] == "1"
    assert found["small_tensor_0.txt"]["int8-calib-file"] == "calibration/small.cache"
    assert found["small_dla0_0.txt"]["network-mode"] == "2"
    assert "int8-calib-file" not in found["small_dla0_0.txt"]


@pytest.mark.parametrize(
    ("shape", "order"), [((3, 224, 224), "0"), ((1, 28, 28), "0"), ((224, 224, 3), "1")]
)
def test_pictures_come_in_the_networks_order(shape: tuple[int, ...], order: str) -> None:
    found = parsed(
        export_deepstream(
            models(("tensor", 1, 4), of=network(inputs=(TensorSpec("x", shape, "float32"),))),
            BuildOptions(),
        )
    )
    assert found["small_tensor_0.txt"]["network-input-order"] == order


@pytest.mark.parametrize(
    "inputs",
    [
        (*PICTURE, TensorSpec("mask", (3, 8, 8), "float32")),
        (TensorSpec("ids", (77,), "int64"),),
        (TensorSpec("x", (5, 8, 8), "float32"),),
    ],
)
def test_what_is_no_picture_is_refused(inputs: tuple[TensorSpec, ...]) -> None:
    with pytest.raises(NetworkError, match="does not take one float32 picture"):
        export_deepstream(models(("tensor", 1, 4), of=network(inputs=inputs)), BuildOptions())


def test_limits_of_nvinfer() -> None:
    with pytest.raises(OptionError, match="the configuration uses cpu_int8: give --target triton"):
        export_deepstream(models(("cpu_int8", 1, 4)), BuildOptions())
    with pytest.raises(OptionError, match="the batch of 2048 on tensor is above 1024"):
        export_deepstream(models(("tensor", 1, 2048)), BuildOptions())
