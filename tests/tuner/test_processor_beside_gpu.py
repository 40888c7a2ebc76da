"""The processor's cores serve beside the GPU: stand-ins of TensorRT, and the real ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import OptionError
from envs.runtimes.onnxruntime.engines import OnnxEngine
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.tensorrt.engine import TensorRTEngine
from envs.spec import Measurement
from tests.standins.tensorrt import stand_ins
from tests.tuner.test_tensorrt_answers import CLASSES, network, samples
from tuner.control.ladder import rungs_of
from tuner.device import Device, open_device

pytestmark = pytest.mark.usefixtures("own_cache")

ALL = ["cuda", "tensor", "dla0", "dla1", "cpu_fp32", "cpu_int8"]


def opened(folder: Path, accelerators: list[str] = ALL, **options: Any) -> Device:
    given = {"runtime": "tensorrt", "max_instances": 2, "batches": [1, 4]} | options
    chosen = accelerators or None
    return open_device(network(folder), accelerators=chosen, samples=samples(folder, 0.0), **given)


def wrong_answers(device: Device, count: int) -> int:
    """Count the requests whose answer is not the numbers that were sent."""
    rng = np.random.default_rng(7)
    sent = [rng.integers(0, 113, CLASSES + 1).astype(np.float32) for _ in range(count)]
    assert isinstance(device.runtime, ServingRuntime)
    futures = [device.runtime.submit(0, [each]) for each in sent]
    answers = [future.result(timeout=60)["y"] for future in futures]
    # The step of INT8 is 112/127 on these samples.
    pairs = zip(answers, sent, strict=True)
    return sum(not np.allclose(answer, each[1:], atol=1.5) for answer, each in pairs)


def test_one_runtime_serves_lanes_of_tensorrt_and_sessions_of_onnx_runtime(
    tmp_path: Path,
) -> None:
    with stand_ins() as modules, opened(tmp_path) as device:
        assert list(device.space.device.accelerator_names) == ALL
        assert set(device.agreements) == {(0, column) for column in range(6)}
        assert all(each.value == 1.0 for each in device.agreements.values())
        both = device.configuration({"tensor": (2, 4), "dla1": (1, 1), "cpu_fp32": (2, 1)})
        outcome = device.measure(both, window_s=0.2)
        assert isinstance(outcome, Measurement)
        assert len(outcome.threads) == 5
        kinds = [
            (type(each._engine).__name__, each.slot.accelerator)  # type: ignore[attr-defined]
            for each in device.runtime._admission.instances  # type: ignore[attr-defined]
        ]
        names = {
            ALL.index("tensor"): TensorRTEngine.__name__,
            ALL.index("dla1"): TensorRTEngine.__name__,
            ALL.index("cpu_fp32"): OnnxEngine.__name__,
        }
        assert sorted(kinds) == sorted((names[column], column) for column in (1, 1, 3, 4, 4))
        assert wrong_answers(device, 100) == 0
    assert modules.driver.live == 0


@pytest.mark.parametrize("name", ["tensor", "cpu_fp32", "cpu_int8"])
def test_each_kind_gives_right_answers_and_hands_over_to_the_other(
    name: str, tmp_path: Path
) -> None:
    with stand_ins(), opened(tmp_path, ["cuda", "tensor", "cpu_fp32", "cpu_int8"]) as device:
        for serving in ({"cuda": (1, 1)}, {name: (1, 4)}, {"cuda": (1, 1), name: (2, 1)}):
            device.runtime.apply(device.configuration(serving))
            assert wrong_answers(device, 20) == 0


def test_the_processor_of_a_board_serves_only_where_it_is_named(tmp_path: Path) -> None:
    with stand_ins(), opened(tmp_path, []) as device:
        assert list(device.space.device.accelerator_names) == ALL[:4]
        assert device.reserve is None


def test_a_named_processor_is_a_choice_and_the_last_resort_at_once(tmp_path: Path) -> None:
    with stand_ins(), opened(tmp_path, ["tensor", "cpu_fp32"], reserve=True) as device:
        assert list(device.space.device.accelerator_names) == ["tensor", "cpu_fp32"]
        assert device.space.unavailable == frozenset()
        assert device.reserve == device.configuration({"cpu_fp32": (1, 1)})
        assert [device.space.describe(each) for each in rungs_of(device.space)] == [
            "largest: tensor 1x1",
            "largest: cpu_fp32 1x1",
        ]
        assert device.model.positions == 6
    with stand_ins(), opened(tmp_path, ["tensor"], reserve=True) as device:
        assert device.space.unavailable == {(0, 1)}
        assert device.model.positions == 4


def test_the_processor_alone_is_no_choice_of_tensorrt(tmp_path: Path) -> None:
    with stand_ins(), pytest.raises(OptionError, match="runtime=onnxruntime"):
        opened(tmp_path, ["cpu_fp32"])


@pytest.mark.parametrize("runtime", ["tensorrt", "onnxruntime"])
def test_no_runtime_opens_an_edge_tpu(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="edgetpu0: an Edge TPU is modelled only"):
        opened(tmp_path, ["edgetpu0"], runtime=runtime)


def test_a_simulated_board_has_the_accelerators_that_are_named(tmp_path: Path) -> None:
    options = {"runtime": "simulated", "board": "xavier_nx", "mode": "15W"}
    named = ["tensor", "cpu_fp32", "edgetpu0"]
    with opened(tmp_path, named, **options) as device:
        # Nobody has published what this network takes on an Edge TPU.
        assert device.space.unavailable == {(0, 2)}
        outcome = device.measure({"tensor": (1, 1), "cpu_fp32": (1, 1)})
        assert isinstance(outcome, Measurement)
        assert device.model.positions == 7
