"""The policy as ONNX decides as the bundle does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from envs.belief.features import ALLOWED, FEATURES
from tuner.exports.policy_onnx import export_policy, policy_model
from tuner.folders import shipped
from tuner.policy.bundle import SHAPES, Bundle, load_bundle
from tuner.policy.forward import NumpyPolicy


def drawn(hidden: int, seed: int) -> Bundle:
    """Return a bundle whose weights are so large that every layer matters."""
    rng = np.random.default_rng(seed)
    sizes = {"H": hidden, "2H": 2 * hidden, "F": len(FEATURES), "1": 1, "3": 3}
    weights = {
        name: (0.5 * rng.standard_normal([sizes[letter] for letter in shape])).astype(np.float32)
        for name, shape in SHAPES.items()
    }
    return Bundle(8, weights, FEATURES, {"seed": seed})


def session(bundle: Bundle, folder: Path) -> onnxruntime.InferenceSession:
    """Open the file that is written."""
    content = export_policy(bundle)["policy.onnx"]
    assert isinstance(content, bytes)
    (folder / "policy.onnx").write_bytes(content)
    return onnxruntime.InferenceSession(folder / "policy.onnx", providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("which", ["reference", "hidden 24", "hidden 1"])
def test_scores_and_choices_are_those_of_the_bundle(which: str, tmp_path: Path) -> None:
    bundle = (
        load_bundle(shipped("checkpoints") / "reference.bundle")
        if which == "reference"
        else drawn(int(which.split()[1]), 1)
    )
    own, other = NumpyPolicy(bundle), session(bundle, tmp_path)
    rng = np.random.default_rng(2)
    chosen = set()
    for number in range(3000):
        proposals = int(rng.integers(1, 25)) if number % 3 == 0 else 24
        observation = rng.normal(0.0, 1.0, (proposals, len(FEATURES))).astype(np.float32)
        observation[:, ALLOWED] = rng.random(proposals) < 0.8
        scores, choice = other.run(["scores", "choice"], {"observation": observation})
        expected = own.scores(observation)
        assert scores.shape == expected.shape
        assert (np.isneginf(scores) == np.isneginf(expected)).all()
        kept = np.isfinite(expected)
        assert np.abs(scores[kept] - expected[kept]).max(initial=0.0) < 1e-5
        assert choice.dtype == np.int64
        assert choice == own.decide(observation)
        chosen.add(int(choice))
    assert which == "hidden 1" or len(chosen) == 24, "all positions are chosen now and then"


def test_equal_scores_go_to_the_first(tmp_path: Path) -> None:
    bundle = drawn(8, 3)
    observation = np.ones((6, len(FEATURES)), dtype=np.float32)
    observation[0, ALLOWED] = 0.0
    (choice,) = session(bundle, tmp_path).run(["choice"], {"observation": observation})
    assert choice == NumpyPolicy(bundle).decide(observation) == 1


def test_the_file_says_what_it_is() -> None:
    bundle = drawn(8, 4)
    model = policy_model(bundle)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 17
    told = {each.key: each.value for each in model.metadata_props}
    assert told["budget"] == "8"
    assert json.loads(told["features"]) == list(FEATURES)
    assert json.loads(told["provenance"]) == {"seed": 4}
    kept = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    assert (bundle.weights["first.weight"] == kept["first.weight"].T).all()
    assert kept["first.weight"].dtype == np.float32
    assert model.SerializeToString() == policy_model(bundle).SerializeToString(), (
        "the same bundle gives the same bytes"
    )
