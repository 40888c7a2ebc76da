"""FP16 on a processor: every result is rounded, and what is too large becomes infinite."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from envs.accuracy.rounding import rounded_to_fp16
from envs.catalog.architectures import build
from envs.errors import NetworkError


def chain(scale: float) -> onnx.ModelProto:
    """Multiply by `scale`, take it back, and add a product."""
    helper, value = onnx.helper, onnx.helper.make_tensor_value_info
    rng = np.random.default_rng(0)
    weights = {
        "scale": np.array(scale, np.float32),
        "back": np.array(1 / scale, np.float32),
        "w": rng.standard_normal((8, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["large"]),
        helper.make_node("Mul", ["large", "back"], ["again"]),
        helper.make_node("MatMul", ["again", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "chain",
        [value("x", 1, ["n", 8])],
        [value("y", 1, ["n", 4])],
        [onnx.numpy_helper.from_array(each, name) for name, each in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, values: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {session.get_inputs()[0].name: values})
    return np.asarray(found)


def test_results_are_numbers_of_fp16() -> None:
    values = np.random.default_rng(1).standard_normal((16, 8)).astype(np.float32)
    model = chain(3.0)
    exact, rounded = run(model, values), run(rounded_to_fp16(model), values)
    assert np.array_equal(rounded, rounded.astype(np.float16).astype(np.float32))
    assert 0 < np.abs(rounded - exact).max() < 0.02


def test_what_is_too_large_for_fp16_is_infinite() -> None:
    values = np.full((2, 8), 100.0, np.float32)
    model = chain(3000.0)
    assert np.isfinite(run(model, values)).all()
    assert not np.isfinite(run(rounded_to_fp16(model), values)).any()


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2"])
def test_whole_networks_stay_close(name: str) -> None:
    model = build(name, image_size=48, classes=10)
    images = np.random.default_rng(2).standard_normal((4, 3, 48, 48)).astype(np.float32)
    rounded = rounded_to_fp16(model)
    onnx.checker.check_model(rounded, full_check=True)
    exact, found = run(model, images), run(rounded, images)
    assert np.corrcoef(exact.ravel(), found.ravel())[0, 1] > 0.99


def test_inputs_are_rounded_too() -> None:
    values = np.full((1, 8), 1e5, np.float32)
    model = chain(1e-3)
    assert np.isfinite(run(model, values)).all()
    assert not np.isfinite(run(rounded_to_fp16(model), values)).any()


def test_control_flow_is_refused() -> None:
    helper, value = onnx.helper, onnx.helper.make_tensor_value_info
    branch = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["b"])], "b", [], [value("b", 1, None)]
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph(
        [node], "g", [value("x", 1, ["n", 2]), value("c", 9, [])], [value("y", 1, ["n", 2])]
    )
    with pytest.raises(NetworkError, match="control flow"):
        rounded_to_fp16(helper.make_model(graph))
