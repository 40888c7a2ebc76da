"""Test what batches are judged on: samples, fixed batches, branches, and what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from envs.accuracy.judging import examine
from envs.accuracy.quantization import int8_copy
from envs.accuracy.samples import Samples, sample_bytes
from envs.accuracy.schemes import PROCESSOR
from envs.errors import NetworkError, OptionError
from tests.envs.accuracy.graphs import FLOAT, convolution, given, model, node, random, saved
from tests.envs.accuracy.ordinary import ORDINARY, ROW, same_shape


def test_a_constant_output_belongs_to_every_request(tmp_path: Path) -> None:
    made = model(
        [node("Relu", "x", "y"), node("Identity", "w", "anchors")],
        ROW,
        {"y": ["n", 6], "anchors": [7, 4]},
        {"w": random(7, 4)},
    )
    path, network = saved(tmp_path, made)
    assert [each.shared for each in network.outputs] == [False, True]
    assert examine(path, network, None).single_because == ""


def test_a_fixed_batch_needs_no_check(tmp_path: Path) -> None:
    path, network = saved(
        tmp_path, model([node("Softmax", "x", "y", axis=0)], {"x": [4, 6]}, {"y": [4, 6]})
    )
    assert examine(path, network, None).network.fixed_batch == 4


def test_log_of_noise_is_judged_on_positive_numbers(tmp_path: Path) -> None:
    path, network = saved(tmp_path, ORDINARY["log"])
    assert examine(path, network, None).judging.arrays["x"].min() >= 0


def test_samples_are_split(tmp_path: Path) -> None:
    path, network = saved(tmp_path, convolution())
    samples: Samples = given(x=random(100, 3, 8, 8))
    examined = examine(path, network, samples)
    assert examined.calibrating is not None
    assert (len(examined.calibrating), len(examined.judging)) == (50, 50)
    assert not examined.judging.synthetic


def test_fewer_samples_judge_where_outputs_are_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, network = saved(tmp_path, convolution())
    monkeypatch.setattr("envs.accuracy.reference.OUTPUT_BYTES", 20 * 20)  # a row has 5 numbers
    examined = examine(path, network, given(x=random(100, 3, 8, 8)))
    assert examined.calibrating is not None
    assert (len(examined.calibrating), len(examined.judging)) == (50, 20)
    copy = int8_copy(onnx.load(str(path)), network, examined.calibrating, PROCESSOR)
    assert copy.agreement.samples == 20
    monkeypatch.setattr("envs.accuracy.reference.OUTPUT_BYTES", 1)
    assert len(examine(path, network, given(x=random(100, 3, 8, 8))).judging) == 16


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (convolution(ir=14), r"cannot load .*net\.onnx \(Unsupported model IR version: 14"),
        (
            model(
                [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
                ROW,
                {"y": ["n", 6]},
                opset=19,
                ir=10,
                kinds={"x": TensorProto.BFLOAT16},
            ),
            "has the input 'x' of bfloat16",
        ),
        (
            model(
                [node("Relu", "x", "y")],
                ROW,
                {"y": ["n", 6]},
                opset=19,
                ir=10,
                kinds=dict.fromkeys("xy", TensorProto.INT16),
            ),
            "cannot load",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_the_reason(
    tmp_path: Path, made: Any, words: str
) -> None:
    path, network = saved(tmp_path, made)
    with pytest.raises(NetworkError, match=words) as caught:
        examine(path, network, None)
    assert str(caught.value).isprintable()


def branching() -> Any:
    """Return a network whose branch the sum of a whole batch decides."""
    then = helper.make_graph(
        [node("Relu", "h", "t")], "t", [], [helper.make_tensor_value_info("t", FLOAT, ["n", 4])]
    )
    other = helper.make_graph(
        [node("Neg", "h", "e")], "e", [], [helper.make_tensor_value_info("e", FLOAT, ["n", 4])]
    )
    nodes = [
        node("MatMul", "x w", "h"),
        node("ReduceSum", "h", "s", keepdims=0),
        node("Greater", "s zero", "c"),
        node("If", "c", "y", then_branch=then, else_branch=other),
    ]
    weights = {"w": random(6, 4), "zero": np.float32(0)}
    return model(nodes, ROW, {"y": ["n", 4]}, weights)


def test_a_branch_that_the_sum_of_a_batch_decides(tmp_path: Path) -> None:
    """Two samples have the same branch by chance; eight of them do not."""
    path, network = saved(tmp_path, branching())
    assert "depend on what else is in the batch" in examine(path, network, None).single_because


def test_equal_samples_of_the_user_do_not_hide_that_they_are_mixed(tmp_path: Path) -> None:
    mixing = same_shape(node("ReduceMean", "x", "m", axes=[0], keepdims=1), node("Mul", "x m", "y"))
    path, network = saved(tmp_path, mixing)
    equal = np.repeat(random(1, 6), 20, axis=0)
    assert examine(path, network, given(x=equal)).network.fixed_batch == 1


def test_samples_that_cannot_be_run_are_told_from_a_batch_that_cannot(tmp_path: Path) -> None:
    made = model(
        [node("Gather", "table x", "r"), node("ReduceMean", "r", "y", axes=[1], keepdims=0)],
        {"x": ["n", 3]},
        {"y": ["n", 4]},
        {"table": random(10, 4)},
        kinds={"x": TensorProto.INT64},
    )
    path, network = saved(tmp_path, made)
    beyond = np.full((8, 3), 99, np.int64)
    with pytest.raises(OptionError, match=r"samples=given\.npz: .*out of data bounds"):
        examine(path, network, given(x=beyond))
    assert examine(path, network, given(x=beyond % 10)).single_because == ""


def test_invented_samples_of_a_large_network_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, network = saved(tmp_path, convolution())
    monkeypatch.setattr("envs.accuracy.judging.MAX_BYTES", 5 * sample_bytes(network))
    assert len(examine(path, network, None).judging) == 5


def test_what_was_found_out_is_kept_and_a_damaged_file_is_found_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = model([node("Softmax", "x", "y", axis=0)], ROW, {"y": ["n", 6]})
    (path, network), cache = saved(tmp_path, made), tmp_path / "cache"
    first = examine(path, network, None, cache)
    assert first.network.fixed_batch == 1
    (kept,) = cache.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr("envs.accuracy.judging.session_of", lambda *given, **more: 1 / 0)
        again = examine(path, network, None, cache)
    assert (again.network, again.single_because) == (first.network, first.single_because)
    assert again.session.get_inputs()[0].name == "x"
    for damage in ("", "[]", '{"single_because": 3}', "{"):
        kept.write_text(damage)
        assert examine(path, network, None, cache).single_because == first.single_because
    kept.unlink()
    other = examine(path, network, given(x=random(10, 6)), cache)
    assert other.single_because
    assert len(list(cache.iterdir())) == 1, "other samples have a verdict of their own"
