"""The networks of an export come with all their weights, wherever those were kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tuner.exports import models
from tuner.exports.models import network_of


def answer(path: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return np.asarray(
        session.run(None, {given.name: np.ones((2, *given.shape[1:]), dtype=np.float32)})[0]
    )


def test_weights_beside_a_file_come_into_its_copy(small_onnx: Path, tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    onnx.save(
        onnx.load(str(small_onnx)),
        str(apart / "net.onnx"),
        save_as_external_data=True,
        location="weights.bin",
    )
    assert (apart / "weights.bin").stat().st_size > 1_000_000
    network_of(apart / "net.onnx")(tmp_path / "copy.onnx")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["apart", "copy.onnx"]
    assert (answer(tmp_path / "copy.onnx") == answer(small_onnx)).all()


def test_weights_that_fit_into_no_file_stay_beside_it(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MAX_PROTOBUF", 1000)
    network_of(small_onnx)(tmp_path / "copy.onnx")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.onnx", "copy.onnx.data"]
    assert (answer(tmp_path / "copy.onnx") == answer(small_onnx)).all()
