"""INT8 for TensorRT: calibrations, quantised copies, and the ranges of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.accuracy.half import to_fp16
from envs.errors import NetworkError
from envs.graph.reading import read_network
from envs.runtimes.tensorrt.graph import for_dla, with_batch
from envs.runtimes.tensorrt.ranges import QDQ_OPSET, Calibration, calibrate, quantize
from envs.spec import Network
from tests.envs.runtimes.tensorrt.test_graph import NODE, run, tail, values


def quantised_copy(path: Path, network: Network, samples: int = 1) -> Any:
    model = onnx.load(str(path))
    return quantize(model, network, calibrate(model, network, samples))


def test_a_channel_that_is_dead_keeps_a_scale_above_zero(tmp_path: Path) -> None:
    """Its weights are so small that their scale is zero in FP16, which TensorRT refuses."""
    kernel = values(8, 4, 1, 1)
    kernel[3] *= 1e-9
    path = tmp_path / "dead.onnx"
    onnx.save(tail([NODE("Conv", ["x", "w"], ["y"])], {"w": kernel}, (8, 5, 5)), path)
    half = to_fp16(quantised_copy(path, read_network(path)))
    scales = {node.input[1] for node in half.graph.node if node.op_type == "DequantizeLinear"}
    found = {
        weight.name: onnx.numpy_helper.to_array(weight)
        for weight in half.graph.initializer
        if weight.name in scales
    }
    assert any(len(np.atleast_1d(each)) == 8 for each in found.values())
    assert all((each > 0).all() for each in found.values())


@pytest.fixture(scope="module")
def quantised(small: tuple[Path, Network]) -> tuple[Any, Any]:
    return onnx.load(str(small[0])), quantised_copy(*small, samples=2)


def test_int8_copy_is_as_tensorrt_reads_it(quantised: tuple[Any, Any]) -> None:
    """Every zero point is 0; weights and activations are INT8, and no bias is quantised."""
    _, int8 = quantised
    weights = {weight.name: onnx.numpy_helper.to_array(weight) for weight in int8.graph.initializer}
    ends = [
        node for node in int8.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    ]
    assert len(ends) > 20
    for node in ends:
        assert weights[node.input[2]].dtype == np.int8
        assert not weights[node.input[2]].any()
    dequantised = {
        node.input[0]
        for node in ends
        if node.op_type == "DequantizeLinear" and node.input[0] in weights
    }
    assert {weights[name].dtype for name in dequantised} == {np.dtype(np.int8)}
    assert next(each.version for each in int8.opset_import if each.domain == "") >= QDQ_OPSET


def test_int8_copy_is_close_and_so_is_its_half_copy(quantised: tuple[Any, Any]) -> None:
    model, int8 = quantised
    images = values(2, 3, 64, 64)
    (exact,), (rounded,) = run(model, images), run(int8, images)
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.9
    half = to_fp16(int8)
    onnx.checker.check_model(half, full_check=True)
    assert (
        np.corrcoef(run(half, images)[0].ravel(), rounded.ravel())[0, 1] > 0.95
    )  # a rounding may fall to the next of 255 steps


def test_quantised_file_is_refused(quantised: tuple[Any, Any], small: tuple[Path, Network]) -> None:
    with pytest.raises(NetworkError, match="is quantised already"):
        calibrate(quantised[1], small[1], 1)


def test_ranges_cover_every_tensor_and_hold_what_the_samples_give(
    small: tuple[Path, Network],
) -> None:
    model = onnx.load(str(small[0]))
    found = calibrate(model, small[1], 3)
    assert (found.method, found.samples) == ("uncalibrated", 3)
    assert {"input", "logits"} <= set(found.ranges)
    assert all(limit > 0 for limit in found.ranges.values())
    assert 3 < found.ranges["input"] < 7  # the largest of 37,000 unit normal numbers
    assert calibrate(model, small[1], 3) == found
    assert Calibration.from_dict(found.to_dict()) == found


def test_ranges_of_a_graph_with_a_fixed_batch_hold_for_another_batch(
    small: tuple[Path, Network],
) -> None:
    """As for a DLA, whose graphs have a batch each and share one calibration."""
    model = onnx.load(str(small[0]))
    found = calibrate(for_dla(model, 1).model, small[1], 2)
    prepared = for_dla(model, 4).model
    images = values(4, 3, 64, 64)
    (exact,), (rounded,) = (
        run(each, images) for each in (prepared, quantize(prepared, small[1], found))
    )
    assert rounded.shape == exact.shape
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.9


def test_a_network_exported_with_a_batch_quantises(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    path = tmp_path / "fixed.onnx"
    onnx.save(with_batch(onnx.load(str(small[0])), 4).model, path)
    int8 = quantised_copy(path, read_network(path))
    assert run(int8, values(4, 3, 64, 64))[0].shape == (4, 10)
