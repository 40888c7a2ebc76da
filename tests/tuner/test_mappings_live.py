"""Mappings and OpenVINO as places of this computer: opened, judged and measured live."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from envs.errors import DependencyError
from envs.graph.partition import partition_of
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Measurement
from tests.envs.accuracy.digits import Digits, make
from tests.standins.tensorrt import stand_ins
from tuner.device import open_device

MAPPED = "cpu_fp32_to_1_cpu_int8"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return make(tmp_path_factory.mktemp("digits"))


def test_every_place_serves_and_its_answers_are_judged(digits: Digits, tmp_path: Path) -> None:
    assert len(partition_of(digits.path).groups) > 1
    wholes = ["cpu_fp32", "cpu_int8", "openvino_fp32", "openvino_int8"]
    names = [*wholes, MAPPED]
    with open_device(
        digits.path,
        samples=digits.samples,
        accelerators=wholes,
        mappings=MAPPED,
        min_agreement=0.9,
        cache=str(tmp_path),
        serving=ServingOptions(warmup_s=0.05),
    ) as device:
        assert device.space.device.accelerator_names == tuple(names)
        agreements = {names[column]: each for (_, column), each in device.agreements.items()}
        assert agreements["cpu_fp32"].value == 1
        assert agreements["openvino_fp32"].value == 1
        assert agreements["openvino_fp32"].snr_db > 60
        for name in (MAPPED, "openvino_int8"):
            assert 0.9 < agreements[name].value <= 1
            assert 10 < agreements[name].snr_db < 60
            assert agreements[name].calibrated_on > 0
        for name in names:
            measured = device.measure({name: (1, 4)}, 0.2)
            assert isinstance(measured, Measurement), name
            assert measured.tenants[0].agreement == agreements[name].value


def test_openvino_that_is_missing_is_told_first(
    digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DependencyError, match=r"openvino is not installed: .*\[openvino\]"):
        open_device(digits.path, accelerators=["openvino_fp32"])


@pytest.mark.parametrize("engines", ["one", "parts"])
def test_tensorrt_serves_mappings_over_its_stand_ins(
    engines: str, digits: Digits, tmp_path: Path
) -> None:
    with (
        stand_ins() as modules,
        open_device(
            digits.path,
            runtime="tensorrt",
            samples=digits.samples,
            accelerators=["tensor", "dla0"],
            mappings="tensor_to_1_dla0_to_3_tensor",
            mapping_engines=engines,
            batches=[1, 4],
            max_instances=2,
            min_agreement=0.9,
            cache=str(tmp_path),
            serving=ServingOptions(warmup_s=0.05),
        ) as device,
    ):
        mapped = device.agreements[0, 2]
        assert 0.9 < mapped.value <= 1
        assert 10 < mapped.snr_db < 60
        assert mapped.calibrated_on > 0
        measured = device.measure({"tensor_to_1_dla0_to_3_tensor": (2, 4), "tensor": (1, 1)}, 0.2)
        assert isinstance(measured, Measurement)
        pictures = digits.pictures[:20]
        assert isinstance(device.runtime, ServingRuntime)
        device.runtime.apply(device.configuration({"tensor_to_1_dla0_to_3_tensor": (2, 4)}))
        answers = [device.runtime.submit(0, [each]) for each in pictures]
        classes = [int(each.result(timeout=60)["scores"].argmax()) for each in answers]
        assert np.mean(np.array(classes) == digits.classes[:20]) > 0.8
    assert modules.driver.live == 0
