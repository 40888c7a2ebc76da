"""Engines of the stand-in TensorRT are judged on the user's samples before they serve."""

from __future__ import annotations

import gc
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.runtimes.tensorrt.engine import TensorRTEngine
from envs.spec import Measurement
from tests.standins.tensorrt import StandIns, stand_ins
from tuner.device import open_device

pytestmark = pytest.mark.usefixtures("own_cache")

CLASSES, COUNT = 8, 200
METHODS = {"minmax", "entropy", "percentile"}
INT8 = {"precisions": ["fp32", "int8"], "max_instances": 1}


def network(folder: Path, batch: object = "batch") -> Path:
    """Make logits of x [batch, 9]: the eight last numbers, so that the class is the largest."""
    helper = onnx.helper
    weights = np.vstack([np.zeros((1, CLASSES)), np.eye(CLASSES)]).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "largest",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [batch, CLASSES + 1])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [batch, CLASSES])],
        initializer=[onnx.numpy_helper.from_array(weights, "w")],
    )
    path = folder / "largest.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def samples(folder: Path, first: float) -> str:
    """Save samples whose classes are 16 of 255 steps apart, and whose first number is `first`."""
    rng = np.random.default_rng(0)
    rows = np.array([rng.permutation(CLASSES) for _ in range(COUNT)]) * 16.0
    x = np.hstack([np.full((COUNT, 1), first), rows]).astype(np.float32)
    path = folder / "samples.npz"
    np.savez(path, x=x)
    return str(path)


def opened(path: Path, given: str, **options: Any) -> Any:
    return open_device(path, runtime="tensorrt", samples=[given], **INT8 | options)


@pytest.mark.parametrize(("version", "cores"), [("8.6.1", 2), ("10.3.0", 2), ("11.4.0", 2)])
def test_int8_calibrated_on_given_samples_keeps_the_limit_and_serves(
    version: str, cores: int, tmp_path: Path
) -> None:
    with (
        stand_ins(version, cores) as modules,
        opened(network(tmp_path), samples(tmp_path, 0.0), batches=[1, 4]) as device,
    ):
        assert device.space.unavailable == frozenset()
        for column, name in enumerate(device.space.device.accelerator_names):
            found = device.agreements[0, column]
            assert (found.value, found.samples, found.synthetic) == (1.0, COUNT // 2, False)
            assert found.quantity == "equal classes"
            calibrated = (found.calibration in METHODS, found.calibrated_on)
            assert calibrated == ((False, 0) if name == "cuda" else (True, COUNT // 2))
        assert modules.driver.live == 0, "what was judged leaves no memory behind"
        outcome = device.measure({"tensor": (1, 4)}, window_s=0.1)
        assert isinstance(outcome, Measurement)
        assert outcome.tenants[0].agreement == 1.0
        assert outcome.tenants[0].agreement_samples == COUNT // 2


@pytest.mark.parametrize("version", ["10.3.0", "11.4.0"])
def test_int8_that_one_scale_cannot_hold_is_left_out_with_its_number(
    version: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One input of 60,000 makes a step of 472: the other numbers, below 113, are all zero."""
    given = samples(tmp_path, 6e4)
    with (
        caplog.at_level(logging.WARNING),
        stand_ins(version),
        opened(network(tmp_path), given, batches=[1]) as device,
    ):
        told = [each.getMessage() for each in caplog.records if "without" in each.getMessage()]
        assert len(told) == 1
        assert "without tensor, dla0, dla1 for largest: its answers agree with FP32 only" in told[0]
        value = float(told[0].split("only to ")[1].split(" ")[0])
        assert value == pytest.approx(1 / CLASSES, abs=0.1)
        assert device.space.unavailable == {(0, 1), (0, 2), (0, 3)}
        factory = device.runtime._factory
        assert {plan.spec.label for plan in factory.plans.loaded.values()} == {"cuda"}
        assert isinstance(device.measure({"cuda": (1, 1)}, window_s=0.1), Measurement)


def fault(self: TensorRTEngine, inputs: Any) -> None:
    raise RuntimeError("an illegal memory access was encountered")


def nan(self: TensorRTEngine) -> Any:
    return [np.full((1, CLASSES), np.nan, np.float32)]


@pytest.mark.parametrize(
    ("name", "broken", "sentence"),
    [
        ("launch", fault, "it cannot run one batch: an illegal memory access"),
        ("result", nan, "its answers agree with FP32 only to 0 "),
    ],
)
def test_an_engine_that_cannot_be_judged_is_left_out_and_others_go_on(
    name: str,
    broken: Any,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = getattr(TensorRTEngine, name)

    def on_tensor(self: TensorRTEngine, *inputs: Any) -> Any:
        spec = next(iter(self._lanes.values()))._plan.spec
        return (broken if spec.label == "tensor" else real)(self, *inputs)

    monkeypatch.setattr(TensorRTEngine, name, on_tensor)
    given = samples(tmp_path, 0.0)
    with (
        caplog.at_level(logging.WARNING),
        stand_ins() as modules,
        opened(network(tmp_path), given, batches=[1]) as device,
    ):
        assert device.space.unavailable == {(0, 1)}
        assert set(device.agreements) >= {(0, 0), (0, 2), (0, 3)}
        assert modules.driver.live == 0
    (record,) = [each for each in caplog.records if "without tensor" in each.getMessage()]
    assert "for largest: " in record.getMessage()
    assert re.search(sentence, record.getMessage())


@pytest.mark.parametrize(("batch", "batches"), [("batch", [4]), ("batch", [4, 8]), (4, [4])])
def test_engines_are_judged_at_the_smallest_batch_that_there_is(
    batch: object, batches: list[int], tmp_path: Path
) -> None:
    """102 judged samples do not fill the last batch of four."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.random((204, CLASSES + 1), dtype=np.float32))
    with (
        stand_ins() as modules,
        opened(network(tmp_path, batch), str(tmp_path / "x.npy"), batches=batches) as device,
    ):
        assert {each.samples for each in device.agreements.values()} == {102}
        built = len(modules.tensorrt.world.configs)
        assert built == 3, "cuda, tensor, and one for both DLAs; others when they are asked for"
        assert modules.driver.live == 0


def test_dla_loadables_are_unloaded_after_they_were_judged(tmp_path: Path) -> None:
    def loaded(modules: StandIns) -> int:
        gc.collect()
        return sum(context._engine._core >= 0 for context in modules.tensorrt.world.contexts)

    given = samples(tmp_path, 0.0)
    with stand_ins() as modules, opened(network(tmp_path), given, batches=[1]) as device:
        assert loaded(modules) == 2
        factory = device.runtime._factory
        assert {plan.spec.label for plan in factory.plans.loaded.values()} == {"cuda", "tensor"}
