"""Right answers of INT8 on real hardware; skipped with the reason where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from envs.accuracy.agreement import agreement
from envs.accuracy.quantization import int8_copy
from envs.accuracy.schemes import PROCESSOR
from envs.graph.reading import read_network
from envs.runtimes.serving.judging import outputs_of
from envs.runtimes.tensorrt.device import jetson_device
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.ranges import calibrate, quantize
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.runtimes.tensorrt.versions import load_bindings
from envs.spec import ConfigurationSpace, Network, workload_of
from tests.envs.runtimes.tensorrt.on_device import index_of
from tests.envs.runtimes.tensorrt.test_calibrations import detector, given
from tests.envs.runtimes.tensorrt.test_graph import run
from tests.envs.runtimes.tensorrt.test_own_types import with_anchors

ACCELERATORS = [
    pytest.param("tensor", marks=pytest.mark.gpu),
    pytest.param("dla0", marks=pytest.mark.jetson),
    pytest.param("dla1", marks=pytest.mark.jetson),
]


def cosine(path: Path, network: Network, name: str, cache: Path) -> float:
    """Return how far INT8 on an accelerator agrees with FP32 on samples that did not calibrate."""
    space = ConfigurationSpace(jetson_device(), workload_of([network]), 1, (1, 4))
    index_of(space, name)
    space = replace(space, device=space.device.with_precisions(["int8"]))
    options = BuildOptions(level=1)
    factory = TensorRTEngineFactory(
        space, [path], cache, options, samples=[given(network, 64, seed=1)]
    )
    judging = given(network, 32, seed=2)
    engine = factory.load(0, space.device.accelerator_names.index(name), 1)
    try:
        found = outputs_of(engine, network, judging, (1, 4))
    finally:
        engine.close()
        factory.close()
    (images,) = judging.arrays.values()
    expected = run(onnx.load(str(path)), images)[: len(found)]
    return agreement(expected, found, len(judging), synthetic=True).value


@pytest.mark.parametrize("name", ACCELERATORS)
def test_int8_calibrated_on_samples_agrees(
    name: str, small: tuple[Path, Network], tmp_path: Path
) -> None:
    assert cosine(*small, name, tmp_path) > 0.97


@pytest.mark.parametrize("name", ACCELERATORS)
def test_boxes_and_scores_of_a_detector_agree(name: str, tmp_path: Path) -> None:
    """With one scale for both, the scores would be lost."""
    assert cosine(*detector(tmp_path), name, tmp_path / "engines") > 0.99


@pytest.mark.parametrize("name", ACCELERATORS)
def test_a_constant_output_stands_beside_int8(name: str, tmp_path: Path) -> None:
    assert cosine(*with_anchors(tmp_path), name, tmp_path / "engines") > 0.99


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", ACCELERATORS)
def test_a_quantised_file_is_served_as_it_is(
    name: str, symmetric: bool, small: tuple[Path, Network], tmp_path: Path
) -> None:
    if not symmetric and load_bindings().strongly_typed:
        pytest.skip("this TensorRT has no zero points")
    model, network = onnx.load(str(small[0])), small[1]
    samples = given(network, 32)
    if symmetric:
        made = quantize(model, network, calibrate(model, network, samples))
    else:
        made = int8_copy(model, network, samples, PROCESSOR).model
    path = tmp_path / "quantised.onnx"
    onnx.save(made, path)
    value = cosine(path, read_network(path), name, tmp_path / "engines")
    assert np.isfinite(value)
    assert value > 0.9
