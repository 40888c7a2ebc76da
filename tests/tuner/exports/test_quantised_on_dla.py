"""A quantised file on a DLA: without its Q and DQ nodes before TensorRT 11, with a cache."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import onnx
import pytest

from tests.commands import call
from tests.tuner.exports.recorder import run
from tests.tuner.exports.typed import write_qdq


@pytest.mark.parametrize("version", ["8.6", "10", "11"])
def test_a_dla_gets_what_its_version_takes(version: str, tmp_path: Path) -> None:
    path, out = write_qdq(tmp_path / "qdq.onnx"), tmp_path / "x" / "out"
    places = ("--target", "trtexec", "--configuration", "tensor=1x2", "dla0=1x2")
    result = call("export", *places, "--network", path, "--out", out, "--tensorrt", version)
    assert (result.returncode, result.stderr) == (0, "")
    tensor, dla = run(out, version="8602" if version == "8.6" else "100300")
    flags = set() if version == "11" else {"--int8", "--fp16"}
    for words in (tensor, dla):
        assert set(words) & {"--int8", "--fp16", "--bf16"} == flags
    kinds = {node.op_type for node in onnx.load(out / "networks/dla/qdq.b2.onnx").graph.node}
    assert ("QuantizeLinear" in kinds) == (version == "11")
    assert "QuantizeLinear" in {
        node.op_type for node in onnx.load(out / "networks" / "qdq.onnx").graph.node
    }
    assert not any(word.startswith("--calib") for word in tensor)
    cache = "calibration/qdq.b2.dla.cache"
    assert (f"--calib={cache}" in dla) == (version != "11")
    if version != "11":
        name, digits = (out / cache).read_text().splitlines()[1].split(": ")
        assert name == "picture"
        assert struct.unpack(">f", bytes.fromhex(digits))[0] == pytest.approx(0.03)
    described = json.loads((out / "export.json").read_text())["models"]
    told = f"the quantised nodes of '{path}'"
    assert [each["calibration"] for each in described] == ["", "" if version == "11" else told]
