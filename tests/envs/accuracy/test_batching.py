"""Networks that mix the samples of a batch are found, and the node is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

from envs.accuracy.judging import examine
from tests.envs.accuracy.graphs import given, model, node, random, saved
from tests.envs.accuracy.ordinary import ORDINARY, ROW, same_shape

MIXING = {
    "ReduceMean_m": same_shape(
        node("ReduceMean", "x", "m", axes=[0], keepdims=1), node("Sub", "x m", "y")
    ),
    "ReduceMax_m": same_shape(node("ReduceMax", "x", "m", keepdims=0), node("Div", "x m", "y")),
    "Softmax_y": same_shape(node("Softmax", "x", "y", axis=0)),
    "CumSum_s": same_shape(node("CumSum", "x a", "s"), node("Relu", "s", "y"), a=np.array(0)),
    "MatMul_g": same_shape(
        node("Transpose", "x", "t", perm=[1, 0]),
        node("MatMul", "t x", "g"),
        node("MatMul", "x g", "y"),
    ),
}


@pytest.mark.parametrize("name", MIXING)
def test_the_node_that_mixes_samples_is_named(tmp_path: Path, name: str) -> None:
    path, network = saved(tmp_path, MIXING[name])
    examined = examine(path, network, None)
    assert examined.network.fixed_batch == 1
    assert f"{name!r} mixes them" in examined.single_because
    assert examined.single_because.startswith("answers depend on what else is in the batch")


def test_samples_of_the_user_are_what_is_put_together(tmp_path: Path) -> None:
    """The largest number of a batch is 1 for invented bytes nearly always, but not for these."""
    path, network = saved(tmp_path, MIXING["ReduceMax_m"])
    ramp = np.linspace(1, 2, 48, dtype=np.float32).reshape(8, 6)
    assert examine(path, network, given(x=ramp)).network.fixed_batch == 1


def test_dynamic_quantisation_finds_one_scale_for_a_whole_batch(tmp_path: Path) -> None:
    plain = model(
        [node("MatMul", "x v", "h"), node("Relu", "h", "r"), node("MatMul", "r u", "y")],
        ROW,
        {"y": ["n", 4]},
        {"v": random(6, 32), "u": random(32, 4, seed=1)},
    )
    path, _ = saved(tmp_path, plain)
    quantize_dynamic(str(path), str(tmp_path / "q.onnx"), weight_type=QuantType.QInt8)
    path, network = saved(tmp_path, onnx.load(str(tmp_path / "q.onnx")), "dynamic")
    examined = examine(path, network, None)
    assert examined.network.fixed_batch == 1
    assert "DynamicQuantizeLinear" in examined.single_because
    assert "one scale for all samples" in examined.single_because


@pytest.mark.parametrize("operator", ["RandomNormalLike", "RandomUniformLike"])
def test_random_answers_are_told_as_such(tmp_path: Path, operator: str) -> None:
    path, network = saved(tmp_path, same_shape(node(operator, "x", "r"), node("Add", "x r", "y")))
    examined = examine(path, network, None)
    assert examined.network.fixed_batch == 1
    assert examined.single_because.startswith("answers are random")


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_networks_keep_their_batches(tmp_path: Path, name: str) -> None:
    path, network = saved(tmp_path, ORDINARY[name])
    examined = examine(path, network, None)
    assert (examined.network.fixed_batch, examined.single_because) == (None, "")
    assert examined.judging.synthetic
    assert examined.calibrating is None
