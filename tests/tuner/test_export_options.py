"""Wrong options of the export command get one sentence; its help teaches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.commands import CommandResult, call


def export(*arguments: object) -> CommandResult:
    return call("export", *arguments)


TRITON, TRTEXEC = (
    ("--target", target, "--out", "OUT", "--network", "NET") for target in ("triton", "trtexec")
)
CUDA = ("--configuration", "cuda=1x1")
NO_NETWORK = ("--target", "triton", "--out", "OUT")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "target is missing: choose from triton, deepstream, trtexec, policy"),
        (["--target", "vllm"], "target=vllm is unknown: choose from triton"),
        (["--target", "triton"], "out is missing"),
        (NO_NETWORK, "give either answer"),
        ([*TRITON, "--answer", "a.json", *CUDA], "give either answer"),
        ([*NO_NETWORK, *CUDA], "network is missing"),
        ([*NO_NETWORK, *CUDA, "--network", "nowhere.onnx"], "there is no file nowhere.onnx"),
        ([*TRITON, "--configuration", "3"], "must be ACCELERATOR=INSTANCESxBATCH"),
        ([*TRITON, "--configuration", "cuda=1x2x3"], "must be ACCELERATOR=INSTANCESxBATCH"),
        ([*TRITON, "NET", *CUDA], "must say which tenant runs on cuda"),
        ([*TRITON, "NET", "--configuration", "small:cuda=1x1"], "no instance"),
        ([*TRITON, *CUDA, "cuda=1x1"], "has 'small' twice on cuda: give the instances together"),
        (
            [*TRTEXEC, "--configuration", "cpu_int8=1x1"],
            "uses cpu_int8: give --target triton",
        ),
        ([*TRTEXEC, *CUDA, "--tensorrt", "9"], "tensorrt=9 must be one of 8.6, 10, 11"),
        (
            [*TRTEXEC, *CUDA, "--tensor-precision", "fp32"],
            "tensor_precision=fp32 must be one of fp16, int8",
        ),
        ([*TRTEXEC, *CUDA, "--calibration", "nowhere"], "calibration: there is no file nowhere"),
        (
            [*TRTEXEC, *CUDA, "--calibration", "a", "b"],
            "calibration has 2 files for 1 networks",
        ),
        ([*TRITON, *CUDA, "--max-wait-ms", "-1"], "max_wait_ms=-1.0 must lie in 0..60000"),
        ([*TRITON, *CUDA, "--cores", "0"], "cores=0 must be at least 1"),
        (
            ["--target", "policy", "--out", "OUT", "--bundle", "nowhere.bundle"],
            "there is no policy bundle nowhere.bundle",
        ),
        (["--target", "policy", "--out", "NET"], "is a file: name a folder"),
        (["--target", "policy", "--out", "OUT", "--colour", "red"], "there is no flag --colour"),
        (["target=policy"], "target=policy: write --target policy"),
    ],
)
def test_a_wrong_option_gets_one_sentence(
    arguments: Sequence[str], sentence: str, small_onnx: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = export(
        *(each.replace("OUT", str(out)).replace("NET", str(small_onnx)) for each in arguments)
    )
    assert result.returncode == 2, result.stderr
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_teaches() -> None:
    result = export("--help")
    assert result.returncode == 0
    for words in (
        "python -m tuner.export --target triton",
        "--target policy",
        "--overwrite",
        "--configuration A=NxB",
    ):
        assert words in result.stdout
