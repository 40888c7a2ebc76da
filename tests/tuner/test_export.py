"""The export command: from an answer, or a configuration on the command line, to a folder."""

from __future__ import annotations

import configparser
import json
from pathlib import Path

import pytest

from envs.graph.onnx_file import network_name
from tests.commands import CommandResult, call
from tests.tuner.exports.samples import NASTY, write_relu

pytestmark = pytest.mark.usefixtures("session_cache")


def export(*arguments: object) -> CommandResult:
    return call("export", *arguments)


def write_answer(path: Path, *slots: tuple[str, str, int, int], kept: bool = True) -> Path:
    """As python -m tuner.tune writes it."""
    entries = [
        dict(zip(("tenant", "accelerator", "instances", "batch"), slot, strict=True))
        for slot in slots
    ]
    more = {"throughput_ips": [100.0], "p99_ms": [9.0], "measurements": 8, "origin": "measured"}
    path.write_text(
        json.dumps({"configuration": entries, "limits_kept": kept, **more}, indent=2) + "\n"
    )
    return path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_answer_becomes_a_repository(small_onnx: Path, tmp_path: Path) -> None:
    answer = write_answer(
        tmp_path / "answer.json", ("small", "cpu_fp32", 1, 4), ("small", "cpu_int8", 2, 1)
    )
    result = export(
        "--target",
        "triton",
        "--answer",
        answer,
        "--network",
        small_onnx,
        "--out",
        tmp_path / "out",
        "--cores",
        "4",
        "--allow-uncalibrated",
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"wrote {tmp_path / 'out'}: 2 models\n")
    assert "right for speed, wrong for answers: small_cpu_int8" in result.stderr
    assert files(tmp_path / "out") == {
        *(
            "README.txt",
            "export.json",
            "models/small_cpu_fp32/config.pbtxt",
            "models/small_cpu_fp32/1/model.onnx",
        ),
        *("models/small_cpu_int8/config.pbtxt", "models/small_cpu_int8/1/model.onnx"),
    }
    manifest = json.loads((tmp_path / "out" / "export.json").read_text())
    assert manifest["target"] == "triton"
    assert [
        (each["accelerator"], each["precision"], each["instances"], each["batch"])
        for each in manifest["models"]
    ] == [
        ("cpu_fp32", "fp32", 1, 4),
        ("cpu_int8", "int8", 2, 1),
    ]


def test_a_configuration_on_the_command_line(
    small_onnx: Path, other_onnx: Path, tmp_path: Path
) -> None:
    result = export(
        *("--target", "trtexec", "--network", small_onnx, other_onnx, "--out", tmp_path / "out"),
        *("--configuration", "small:tensor=2x8", "other:dla0=1x4", "--tensorrt", "8.6"),
        "--allow-uncalibrated",
    )
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "out") == {
        "README.txt",
        "export.json",
        "build.sh",
        "networks/small.onnx",
        "networks/dla/other.b4.onnx",
    }
    script = (tmp_path / "out" / "build.sh").read_text()
    assert "TensorRT 8.6" in script
    assert "--onnx=networks/dla/other.b4.onnx" in script
    result = export(
        *("--target", "deepstream", "--network", small_onnx, "--out", tmp_path / "ds"),
        *("--configuration", "dla1=2x4", "--dla-precision", "fp16"),
    )
    assert result.returncode == 0, result.stderr
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(tmp_path / "ds" / "small_dla1_1.txt")
    assert parser["property"]["use-dla-core"] == "1"


def test_the_policy(tmp_path: Path) -> None:
    result = export("--target", "policy", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "out") == {"README.txt", "export.json", "policy.onnx"}


def test_an_answer_that_kept_no_limits_is_exported_with_a_word(
    small_onnx: Path, tmp_path: Path
) -> None:
    answer = write_answer(tmp_path / "answer.json", ("small", "cuda", 1, 1), kept=False)
    result = export(
        "--target",
        "trtexec",
        "--answer",
        answer,
        "--network",
        small_onnx,
        "--out",
        tmp_path / "out",
    )
    assert result.returncode == 0
    assert "did not keep its limits" in result.stderr


@pytest.mark.parametrize("unconfirmed", [{"complete": False}, {"confirmation": None}])
def test_an_answer_that_nothing_confirmed_is_exported_with_a_word(
    unconfirmed: dict[str, object], small_onnx: Path, tmp_path: Path
) -> None:
    answer = write_answer(tmp_path / "answer.json", ("small", "cuda", 1, 1))
    data = json.loads(answer.read_text()) | unconfirmed
    answer.write_text(json.dumps(data))
    given = ("--answer", answer, "--network", small_onnx, "--out", tmp_path / "out")
    result = export("--target", "trtexec", *given)
    assert result.returncode == 0
    assert "nothing confirmed the configuration in" in result.stderr


def test_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export("--target", "policy", "--out", out).returncode == 0
    before = (out / "export.json").stat().st_ino
    result = export("--target", "policy", "--out", out)
    assert result.returncode == 2
    assert (
        result.stderr
        == f"error: out={out} is not empty: name another folder, or give --overwrite\n"
    )
    assert (out / "export.json").stat().st_ino == before
    assert export("--target", "policy", "--out", out, "--overwrite").returncode == 0
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", [name for name in NASTY if name and "/" not in name])
@pytest.mark.parametrize("target", ["triton", "trtexec", "deepstream"])
def test_a_file_of_any_name_stays_inside_the_folder(target: str, name: str, tmp_path: Path) -> None:
    networks, outside = tmp_path / "networks", tmp_path / "outside"
    networks.mkdir()
    path = write_relu(networks / f"{name}.onnx")
    tenant = network_name(path)
    places = (tenant, "tensor", 1, 2), (tenant, "dla0", 1, 2)
    answer = write_answer(tmp_path / "answer.json", *places)
    result = export(
        *("--target", target, "--out", outside / "out", "--network", path, "--answer", answer),
        *("--dla-precision", "fp16"),
    )
    assert result.returncode == 0, result.stderr
    assert [each.name for each in outside.iterdir()] == ["out"]
    assert [each.name for each in networks.iterdir()] == [path.name]
    assert all(
        set(each) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")
        for each in files(outside / "out")
    )


NO_ANSWER = "is no answer of python -m tuner.tune"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no file"),
        ("", NO_ANSWER),
        ("[1, 2]", NO_ANSWER),
        ('{"p99_ms": [1]}', NO_ANSWER),
        ("[" * 100_000, NO_ANSWER),
        ("\x00\xff", NO_ANSWER),
        ('{"configuration": []}', "is no configuration"),
        ('{"configuration": [[1]]}', "configuration[0] must have accelerator, instances and batch"),
        (
            '{"configuration": [{"accelerator": "cuda", "instances": 1, "batch": 1, "do": "x"}]}',
            "nothing else",
        ),
        (
            '{"configuration": [{"accelerator": ["cuda"], "instances": 1, "batch": 1}]}',
            "must be names",
        ),
        (
            '{"configuration": [{"accelerator": "npu", "instances": 1, "batch": 1}]}',
            "unknown accelerator 'npu': choose from cuda, tensor, dla0, dla1",
        ),
        (
            '{"configuration": [{"accelerator": "cuda", "instances": 0, "batch": 1}]}',
            "instances=0 must be a whole number from 1 to",
        ),
        (
            '{"configuration": [{"accelerator": "cuda", "instances": true, "batch": 1}]}',
            "instances=True must be a whole number",
        ),
        (
            '{"configuration": [{"accelerator": "cuda", "instances": 1, "batch": 1e9}]}',
            "batch=1000000000.0 must be a whole number",
        ),
        (
            '{"configuration": [{"tenant": "../../x", "accelerator": "cuda", "instances": 1,'
            ' "batch": 1}]}',
            "serves the tenant '../../x', and --network",
        ),
        (
            '{"configuration": [{"accelerator": "dla0", "instances": 9, "batch": 1}]}',
            "dla0 at most 3 instances",
        ),
    ],
)
def test_what_is_no_answer_gets_one_sentence(
    content: str | None, sentence: str, small_onnx: Path, tmp_path: Path
) -> None:
    answer = tmp_path / "answer.json"
    if content is not None:
        answer.write_text(content, encoding="latin-1")
    result = export(
        "--target",
        "trtexec",
        "--answer",
        answer,
        "--network",
        small_onnx,
        "--out",
        tmp_path / "out",
    )
    assert result.returncode == 2, result.stderr
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert not (tmp_path / "out").exists()
