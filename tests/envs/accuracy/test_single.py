"""FP32 copies of FP16 and BF16 graphs, and INT8 of what is FP16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.accuracy.half import to_fp16
from envs.accuracy.quantization import int8_copy
from envs.accuracy.samples import invented
from envs.accuracy.schemes import PROCESSOR, TENSORRT
from envs.accuracy.single import to_fp32
from envs.catalog.architectures import build
from envs.errors import NetworkError
from envs.graph.number_types import number_types
from envs.graph.reading import read_network

FLOAT, HALF, BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16


def answer(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


@pytest.fixture(scope="module")
def half() -> onnx.ModelProto:
    return to_fp16(build("squeezenet1_1", image_size=48, classes=10), ends=True)


def test_a_half_network_computes_in_fp32_between_half_ends(half: onnx.ModelProto) -> None:
    single = to_fp32(half)
    onnx.checker.check_model(single, full_check=True)
    assert all(weight.data_type != HALF for weight in single.graph.initializer)
    ends = [value.type.tensor_type.elem_type for value in (*single.graph.input, *half.graph.output)]
    assert ends == [HALF, HALF]
    x = np.random.default_rng(0).standard_normal((2, 3, 48, 48)).astype(np.float16)
    first, second = answer(half, x), answer(single, x)
    assert first.dtype == second.dtype == np.float16
    assert first == pytest.approx(second, abs=0.05 * float(np.abs(second).max()))


def test_bf16_and_casts_inside_become_fp32() -> None:
    weight = helper.make_tensor("w", BF16, [1], [1.5])
    nodes = [
        helper.make_node("Cast", ["x"], ["b"], to=BF16),
        helper.make_node("Mul", ["b", "w"], ["m"]),
        helper.make_node("Cast", ["m"], ["y"], to=FLOAT),
    ]
    ends = [helper.make_tensor_value_info(name, FLOAT, ["n"]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    single = to_fp32(model)
    assert number_types(single).halves == frozenset()
    assert numpy_helper.to_array(single.graph.initializer[0]).tolist() == [1.5]
    assert answer(single, np.array([2], np.float32)).tolist() == [3.0]


@pytest.mark.parametrize("scheme", [PROCESSOR, TENSORRT])
def test_a_half_network_has_an_int8_copy_with_half_ends(
    scheme: object, half: onnx.ModelProto, tmp_path: Path
) -> None:
    onnx.save(half, tmp_path / "half.onnx")
    network = read_network(tmp_path / "half.onnx")
    copy = int8_copy(half, network, invented(network, 8), scheme)  # type: ignore[arg-type]
    assert copy.agreement.value > 0.5, "its FP32 file, of random weights, has 0.8"
    x = invented(network, 2, seed=1).arrays[network.inputs[0].name]
    assert answer(copy.model, x).dtype == np.float16


def test_control_flow_in_half_is_refused() -> None:
    inner = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["z"])],
        "inner",
        [],
        [helper.make_tensor_value_info("z", HALF, None)],
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    ends = [helper.make_tensor_value_info(name, HALF, ["n"]) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:]))
    with pytest.raises(NetworkError, match="control flow"):
        to_fp32(model)
