"""INT8 copies of detectors, attention, recurrent layers, embeddings, trees and FP16 networks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from envs.accuracy.quantization import Int8Copy
from envs.accuracy.reference import answers_of, session_of
from envs.accuracy.samples import invented
from envs.accuracy.schemes import PROCESSOR, TENSORRT, Scheme
from envs.accuracy.store import quantized
from envs.errors import NetworkError
from envs.graph.onnx_file import read_whole
from tests.envs.accuracy.copies import COUNT, FIVE, ROW, copy_of, int8_layers
from tests.envs.accuracy.graphs import given, model, node, random, saved


def operators(found: Int8Copy) -> Counter[str]:
    return Counter(each.op_type for each in found.model.graph.node)


def detector() -> Any:
    """Return a head [n, 12, 400]: four channels of boxes up to 640 pixels, eight scores below 1."""
    return model(
        [
            node("Conv", "x w", "c"),
            node("Relu", "c", "r"),
            node("Conv", "r wb", "b0"),
            node("Sigmoid", "b0", "b1"),
            node("Mul", "b1 pixels", "b2"),
            node("Conv", "r ws", "s0"),
            node("Sigmoid", "s0", "s1"),
            node("Concat", "b2 s1", "o", axis=1),
            node("Reshape", "o shape", "y"),
        ],
        {"x": ["n", 3, 20, 20]},
        {"y": ["n", 12, 400]},
        {
            "w": random(8, 3, 1, 1),
            "wb": random(4, 8, 1, 1, seed=1),
            "ws": random(8, 8, 1, 1, seed=2),
            "pixels": np.float32([640]),
            "shape": np.array([0, 12, -1]),
        },
    )


@pytest.mark.parametrize("scheme", [PROCESSOR, TENSORRT], ids=lambda each: each.name)
def test_the_end_of_a_detector_stays_in_floating_point(tmp_path: Path, scheme: Scheme) -> None:
    found = copy_of(tmp_path, detector(), scheme=scheme)
    assert found.agreement.value > 0.99
    assert {"Conv_c", "Conv_s0"} <= int8_layers(found)
    assert not {"Concat_o", "Reshape_y"} & int8_layers(found)
    path, network = saved(tmp_path, detector())
    inputs = invented(network, 4, seed=9)
    exact, rounded = (
        answers_of(session_of(each.SerializeToString(), "net"), network, inputs)[0]
        for each in (read_whole(path), found.model)
    )
    scores = [each[:, 4:].ravel() for each in (exact, rounded)]
    assert np.abs(scores[0] - scores[1]).max() < 0.15
    assert np.corrcoef(*scores)[0, 1] > 0.99


@pytest.mark.parametrize("mask", [-np.inf, np.finfo(np.float32).min, -10_000])
@pytest.mark.parametrize("scheme", [PROCESSOR, TENSORRT], ids=lambda each: each.name)
def test_attention_with_a_mask_and_products_of_activations(
    tmp_path: Path, mask: float, scheme: Scheme
) -> None:
    """One scale that reaches to the mask would leave the scores no step at all."""
    made = model(
        [
            node("MatMul", "x q", "a"),
            node("MatMul", "x k", "b"),
            node("Transpose", "b", "t", perm=[0, 2, 1]),
            node("MatMul", "a t", "s"),
            node("Add", "s mask", "m"),
            node("Softmax", "m", "p", axis=-1),
            node("MatMul", "p x", "y"),
        ],
        {"x": ["n", 6, 8]},
        {"y": ["n", 6, 8]},
        {
            "q": random(8, 8),
            "k": random(8, 8, seed=1),
            "mask": np.triu(np.full((6, 6), mask, np.float32), 1),
        },
    )
    found = copy_of(tmp_path, made, scheme=scheme)
    assert found.agreement.value > 0.99
    assert {"MatMul_a", "MatMul_b", "MatMul_s", "MatMul_y"} <= int8_layers(found)
    rounded = {each.input[0] for each in found.model.graph.node if each.op_type == "QuantizeLinear"}
    assert "s" in rounded
    assert "m" not in rounded


def test_recurrent_layers_keep_their_numbers(tmp_path: Path) -> None:
    made = model(
        [
            node("Transpose", "x", "t", perm=[1, 0, 2]),
            node("LSTM", "t w r", "h last cell", hidden_size=8),
            node("Squeeze", "last axis", "s"),
            node("MatMul", "s v", "y"),
        ],
        {"x": ["n", 6, 4]},
        FIVE,
        {
            "w": random(1, 32, 4),
            "r": random(1, 32, 8, seed=1, scale=0.3),
            "v": random(8, 5),
            "axis": np.array([0]),
        },
    )
    found = copy_of(tmp_path, made)
    assert found.agreement.snr_db > 25
    assert "MatMul_y" in int8_layers(found)
    assert "LSTM_h_last_cell" not in int8_layers(found) or operators(found)["LSTM"] == 1


def test_embeddings_of_whole_numbers(tmp_path: Path) -> None:
    made = model(
        [
            node("Gather", "e ids", "g"),
            node("ReduceMean", "g", "m", axes=[1], keepdims=0),
            node("MatMul", "m v", "y"),
        ],
        {"ids": ["n", 6]},
        FIVE,
        {"e": random(50, 8), "v": random(8, 5, seed=1)},
        kinds={"ids": TensorProto.INT64},
    )
    ids = np.random.default_rng(0).integers(0, 50, (COUNT, 6))
    assert copy_of(tmp_path, made, given(ids=ids)).agreement.snr_db > 25


def test_a_network_in_fp16(tmp_path: Path) -> None:
    made = model(
        [node("MatMul", "x v", "y")],
        ROW,
        FIVE,
        {"v": random(16, 5).astype(np.float16)},
        kinds=dict.fromkeys("xy", TensorProto.FLOAT16),
    )
    assert copy_of(tmp_path, made).agreement.snr_db > 25


NOTHING = {
    "relu": model([node("Relu", "x", "y")], ROW, {"y": ["n", 16]}),
    "double": model(
        [node("MatMul", "x v", "y")],
        ROW,
        FIVE,
        {"v": random(16, 5).astype(np.float64)},
        kinds=dict.fromkeys("xy", TensorProto.DOUBLE),
    ),
    "sum": model([node("Add", "x v", "y")], ROW, {"y": ["n", 16]}, {"v": random(16)}),
}


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("scheme", [PROCESSOR, TENSORRT], ids=lambda each: each.name)
def test_a_copy_without_a_layer_in_int8_is_none(tmp_path: Path, name: str, scheme: Scheme) -> None:
    """It would be the FP32 network, which agrees best with itself."""
    with pytest.raises(NetworkError, match="no layer that the quantiser can compute in INT8"):
        copy_of(tmp_path, NOTHING[name], scheme=scheme)


def trees() -> Any:
    """Return a decision tree with one node and two leaves."""
    made = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        name="trees",
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_featureids=[0, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_truenodeids=[1, 0, 0],
        nodes_missing_value_tracks_true=[0, 0, 0],
        nodes_hitrates=[1.0, 1.0, 1.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_nodeids=[0, 1, 2],
        nodes_treeids=[0, 0, 0],
        nodes_values=[0.0, 0.0, 0.0],
        target_ids=[0, 0],
        target_nodeids=[1, 2],
        target_treeids=[0, 0],
        target_weights=[1.0, -1.0],
    )
    result = model([made], ROW, {"y": ["n", 1]})
    result.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return result


def test_trees_have_no_int8_copy(tmp_path: Path) -> None:
    path, network = saved(tmp_path, trees())
    with pytest.raises(NetworkError, match="no layer that the quantiser can compute in INT8"):
        quantized(path, network, tmp_path / "cache", given(x=random(COUNT, 16)))
