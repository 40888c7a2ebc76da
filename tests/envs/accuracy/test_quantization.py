"""INT8 copies of what people export: they load, run and agree, or one sentence says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from envs.accuracy import quantization
from envs.accuracy.quantization import int8_copy
from envs.accuracy.samples import invented, read_samples
from envs.accuracy.schemes import PROCESSOR, TENSORRT, Scheme
from envs.accuracy.store import quantized
from envs.errors import NetworkError
from envs.graph.onnx_file import read_whole
from envs.graph.reading import read_network
from tests.envs.accuracy.copies import COUNT, FIVE, ROW, copy_of, int8_layers
from tests.envs.accuracy.digits import Digits, right
from tests.envs.accuracy.graphs import convolution, given, model, node, random, saved


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
