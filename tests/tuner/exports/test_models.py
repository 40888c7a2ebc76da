"""The networks of an export come with all their weights, wherever those were kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from envs.graph.reading import read_network
from envs.spec import workload_of
from tuner.exports import models
from tuner.exports.answers import Slot, placed
from tuner.exports.engines import BuildOptions
from tuner.exports.folder import write_folder
from tuner.exports.models import network_of
from tuner.exports.triton import export_triton


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


def test_an_export_needs_nothing_of_the_folder_that_it_came_from(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    model = onnx.load(str(small_onnx))
    onnx.save(
        model, str(apart / "net.onnx"), save_as_external_data=True, location="w", size_threshold=0
    )
    slots = [Slot(None, "cpu_fp32", 1, 2), Slot(None, "tensor", 1, 2), Slot(None, "dla0", 1, 2)]
    space, configuration = placed(slots, workload_of([read_network(apart / "net.onnx")]))
    found = models.models_of(space, configuration, [apart / "net.onnx"])
    for limit, beside in ((models.MAX_PROTOBUF, 0), (1000, 2)):
        monkeypatch.setattr(models, "MAX_PROTOBUF", limit)
        out = tmp_path / f"out{beside}"
        write_folder(out, export_triton(found, BuildOptions(), 5.0, 1, tmp_path), {})
        assert len([*out.rglob("*.data")]) == beside
        moved = out.rename(tmp_path / f"moved{beside}")
        hidden = apart.rename(tmp_path / "gone")
        for name in ("models/net_cpu_fp32/1/model.onnx", "networks/net.onnx"):
            assert (answer(moved / name) == answer(small_onnx)).all()
        onnxruntime.InferenceSession(moved / "networks" / "dla" / "net.b2.onnx")
        hidden.rename(apart)
        assert {path.stat().st_mode & 0o044 for path in moved.rglob("*") if path.is_file()} == {
            0o044
        }
