"""INT8 copies of what people export: they load, run and agree, or one sentence says why not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.accuracy import quantization
from envs.accuracy.quantization import Int8Copy, int8_copy
from envs.accuracy.reference import answers_of, session_of
from envs.accuracy.samples import Samples, invented, read_samples
from envs.accuracy.schemes import PROCESSOR, TENSORRT, Scheme
from envs.accuracy.store import quantized
from envs.errors import NetworkError
from envs.graph.onnx_file import read_whole
from envs.graph.reading import read_network
from tests.envs.accuracy.digits import Digits, right
from tests.envs.accuracy.graphs import convolution, given, model, node, random, saved

COUNT = 16
ROW, FIVE = {"x": ["n", 16]}, {"y": ["n", 5]}


def copy_of(
    folder: Path, made: Any, samples: Samples | None = None, scheme: Scheme = PROCESSOR
) -> Int8Copy:
    """Return the INT8 copy of a model that was written and read."""
    path, network = saved(folder, made)
    if samples is None:
        samples = given(**invented(network, COUNT).arrays)
    found = int8_copy(read_whole(path), network, samples, scheme)
    onnx.checker.check_model(found.model, full_check=True)
    answers_of(session_of(found.model.SerializeToString(), "copy"), network, samples)
    return found


def operators(found: Int8Copy) -> Counter[str]:
    return Counter(each.op_type for each in found.model.graph.node)


def int8_layers(found: Int8Copy) -> set[str]:
    """Return the names of nodes that read quantised numbers."""
    read = {
        name
        for each in found.model.graph.node
        if each.op_type == "DequantizeLinear"
        for name in each.output
    }
    return {each.name for each in found.model.graph.node if read & set(each.input)}


@pytest.mark.parametrize(("opset", "ir"), [(7, 3), (9, 4), (11, 6), (13, 7), (17, 8)])
@pytest.mark.parametrize("scheme", [PROCESSOR, TENSORRT], ids=lambda each: each.name)
def test_old_opsets_and_weights_among_the_inputs(
    tmp_path: Path, opset: int, ir: int, scheme: Scheme
) -> None:
    made = convolution(opset, ir, weights_are_inputs=ir == 3)
    found = copy_of(tmp_path, made, scheme=scheme)
    assert found.agreement.snr_db > 25
    assert {"Conv_c", "Gemm_y"} <= int8_layers(found)


def test_what_cannot_be_converted_has_one_scale_for_a_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("no adapter")

    monkeypatch.setattr(onnx.version_converter, "convert_version", refuse)
    found = copy_of(tmp_path, convolution(11, 6))
    assert found.agreement.snr_db > 20
    scales = {
        each.input[1] for each in found.model.graph.node if each.op_type == "DequantizeLinear"
    }
    sizes = {w.name: numpy_helper.to_array(w).size for w in found.model.graph.initializer}
    assert {sizes[name] for name in scales} == {1}


@pytest.mark.parametrize("linked", [False, True])
def test_weights_outside_the_file(tmp_path: Path, linked: bool) -> None:
    (tmp_path / "store").mkdir()
    path = tmp_path / "net.onnx"
    onnx.save_model(
        convolution(), str(path), save_as_external_data=True, location="net.data", size_threshold=0
    )
    if linked:
        (tmp_path / "net.data").rename(tmp_path / "store" / "net.data")
        (tmp_path / "net.data").symlink_to(tmp_path / "store" / "net.data")
    served = quantized(path, read_network(path), tmp_path / "cache")
    for place in (tmp_path / "store" / "net.data", tmp_path / "net.data"):
        place.unlink(missing_ok=True)
    assert onnxruntime.InferenceSession(str(served.path)).get_inputs()[0].name == "x"


@pytest.mark.parametrize("bias", [random(5), random(1, 5), np.float32(0.5), np.ones(1, np.float32)])
@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("opset", [9, 17])
def test_every_bias_of_a_gemm(tmp_path: Path, bias: Any, turned: int, opset: int) -> None:
    made = model(
        [node("Gemm", "x v b", "y", transB=turned)],
        ROW,
        FIVE,
        {"v": random(5, 16) if turned else random(16, 5), "b": bias},
        opset,
    )
    found = copy_of(tmp_path, made)
    assert found.agreement.snr_db > 25
    assert "Gemm_y" in int8_layers(found)


LOGARITHM = model(
    [
        node("Log", "x", "l"),
        node("Sqrt", "x", "s"),
        node("Add", "l s", "a"),
        node("MatMul", "a v", "y"),
    ],
    ROW,
    FIVE,
    {"v": random(16, 5)},
)


def test_logarithms_calibrate_on_positive_numbers(tmp_path: Path) -> None:
    path, network = saved(tmp_path, LOGARITHM)
    with pytest.raises(NetworkError, match="NaN or infinite numbers for invented inputs"):
        int8_copy(read_whole(path), network, invented(network, COUNT), PROCESSOR)
    served = quantized(path, network, tmp_path / "cache")
    assert served.calibration == "uncalibrated"
    numbers = np.random.default_rng(0).uniform(0.1, 9, (COUNT, 16)).astype(np.float32)
    assert copy_of(tmp_path, LOGARITHM, given(x=numbers)).agreement.snr_db > 25
    with pytest.raises(
        NetworkError, match=r"for the samples in given\.npz, which cannot calibrate"
    ):
        copy_of(tmp_path, LOGARITHM, given(x=np.zeros((COUNT, 16), np.float32)))


def test_logarithms_of_nothing_that_is_invented(tmp_path: Path) -> None:
    below = model(
        [
            node("Neg", "x", "m"),
            node("Sub", "m o", "s"),
            node("Log", "s", "l"),
            node("MatMul", "l v", "y"),
        ],
        ROW,
        FIVE,
        {"v": random(16, 5), "o": np.float32(9)},
    )
    path, network = saved(tmp_path, below)
    with pytest.raises(NetworkError, match="give samples of the inputs that it is meant for"):
        quantized(path, network, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


PICTURE, MAP = {"x": ["n", 3, 8, 8]}, {"y": ["n", 8, 6, 6]}


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Mul", "c k", "y")], {"k": np.full((1, 8, 1, 1), 1e-4, np.float32)}),
        ([node("Add", "c k", "y")], {"k": np.full((1, 8, 1, 1), 1000, np.float32)}),
        (
            [node("Mul", "c k", "m"), node("Add", "m j", "y")],
            {"k": np.float32(1e-3), "j": np.float32(-0.5)},
        ),
        ([node("Div", "c k", "y")], {"k": np.float32(255)}),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_constants_far_from_the_activations(
    tmp_path: Path, nodes: Any, constants: Any, inside: bool
) -> None:
    """A constant with the range of its neighbours would be zero, or all of one value."""
    first = []
    if inside:  # as Constant nodes
        first = [
            helper.make_node(
                "Constant", [], [k], name=f"const_{k}", value=numpy_helper.from_array(v)
            )
            for k, v in constants.items()
        ]
    made = model(
        [*first, node("Conv", "x w", "c"), *nodes],
        PICTURE,
        MAP,
        {"w": random(8, 3, 3, 3)} | ({} if inside else constants),
    )
    found = copy_of(tmp_path, made)
    assert found.agreement.value > 0.999
    assert "Conv_c" in int8_layers(found)


def test_weights_in_constant_nodes(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(random(8, 3, 3, 3))
    constant = helper.make_node("Constant", [], ["w"], name="weight", value=weight)
    found = copy_of(tmp_path, model([constant, node("Conv", "x w", "y")], PICTURE, MAP))
    assert found.agreement.snr_db > 25
    assert "Conv_y" in int8_layers(found)


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


def test_a_rare_large_number_does_not_spoil_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of 28,000 pixels is 1,500 times the others: min-max leaves these less than one step."""
    made = model(
        [node("Conv", "x w", "y")],
        {"x": ["n", 3, 24, 24]},
        {"y": ["n", 8, 22, 22]},
        {"w": random(8, 3, 3, 3)},
    )
    pictures = random(COUNT, 3, 24, 24, seed=4)
    pictures[3, 0, 0, 0] = 1500
    best = copy_of(tmp_path, made, given(x=pictures))
    monkeypatch.setattr(quantization, "METHODS", ("minmax",))
    plain = copy_of(tmp_path, made, given(x=pictures))
    assert best.method in ("entropy", "percentile")
    assert plain.limits["x"][1] == 1500
    assert best.limits["x"][1] < 400
    assert plain.agreement.value < 0.5 < 0.8 < best.agreement.value


def test_a_copy_that_cannot_be_loaded_is_never_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(prepared: Path, *arguments: Any) -> Any:
        made = onnx.load(str(prepared))
        made.graph.node[0].op_type = "NoSuchOperator"
        return made

    monkeypatch.setattr(quantization, "quantised", broken)
    monkeypatch.setattr(quantization, "_demand_int8_layer", lambda made: None)
    path, network = saved(tmp_path, convolution())
    with pytest.raises(NetworkError, match=r"net cannot be quantised .*NoSuchOperator"):
        quantized(path, network, tmp_path / "cache", given(x=random(4, 3, 8, 8)))
    assert not (tmp_path / "cache").exists()


def test_digits_are_right_once_they_are_calibrated(digits: Digits, tmp_path: Path) -> None:
    network = read_network(digits.path)
    samples = read_samples(digits.samples, network)
    fp32, invented_, calibrated = (
        right(onnxruntime.InferenceSession(str(path)), digits)
        for path in (
            digits.path,
            quantized(digits.path, network, tmp_path).path,
            quantized(digits.path, network, tmp_path, samples.split()[0]).path,
        )
    )
    assert fp32 > 0.9
    assert invented_ < 0.6
    assert abs(calibrated - fp32) <= 0.01
