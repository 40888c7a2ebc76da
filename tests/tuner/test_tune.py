"""The tune command, live on a real network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from envs.traces.reader import Trace
from envs.world import TraceWorld
from tuner.agents.export import bundle_of
from tuner.agents.training import AgentOptions, make_env, make_model
from tuner.policy.bundle import save_bundle

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = AgentOptions(steps=20_000, envs=64, batch_size=448, hidden=32)
    folder = tmp_path_factory.mktemp("bundle")
    world = TraceWorld(trace)
    model = make_model(make_env(world, options, 0), options, 0, folder)
    model.learn(options.steps)
    save_bundle(folder / "p.bundle", bundle_of(model, trace.space, world.candidates, options.budget, {}))
    return folder / "p.bundle"


def tune(cache: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tuner.tune", "--window-s", "0.1", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"XDG_CACHE_HOME": str(cache)}, capture_output=True, text=True, timeout=200)


def test_it_answers_within_eight_measurements(bundle: Path, small_onnx: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "answer.json"
    told = tune(cache, "--network", small_onnx, "--p99-ms", 500, "--bundle", bundle, "--out", out)
    assert told.returncode == 0, told.stderr
    assert "answer: small: cpu_" in told.stdout
    assert "times the default" in told.stdout
    assert "measured on this computer" in told.stdout
    answer = json.loads(out.read_text())
    assert answer["limits_kept"]
    assert answer["measurements"] <= 8
    assert answer["origin"] == "measured"
    assert answer["configuration"][0]["tenant"] == "small"


def test_a_limit_that_nothing_meets(bundle: Path, small_onnx: Path, cache: Path) -> None:
    told = tune(cache, "--network", small_onnx, "--p99-ms", 0.001, "--bundle", bundle, "--measurements", 4)
    assert told.returncode == 3
    assert "answer: small" in told.stdout
    assert "the least violating one is given above" in told.stderr


def constant(path: Path) -> Path:
    tensor = helper.make_tensor("c", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph([helper.make_node("Constant", [], ["y"], value=tensor)], "g", [], [helper.make_tensor_value_info("y", 1, [1])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def dynamic(path: Path) -> Path:
    value = helper.make_tensor_value_info
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value("x", 1, ["n", "w"])], [value("y", 1, ["n", "w"])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def fixed(path: Path) -> Path:
    value = helper.make_tensor_value_info
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value("x", 1, [3, 4])], [value("y", 1, [3, 4])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_what_cannot_be_tuned_gets_one_sentence(bundle: Path, small_onnx: Path, cache: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.onnx"
    truncated.write_bytes(small_onnx.read_bytes()[:5000])
    cases: list[tuple[tuple[object, ...], str]] = [
        (("--network", truncated), "truncated.onnx"),
        (("--network", constant(tmp_path / "constant.onnx")), "no input"),
        (("--network", dynamic(tmp_path / "dynamic.onnx")), "dynamic"),
        (("--network", fixed(tmp_path / "fixed.onnx")), "the batch is not the one the network was exported with"),
        (("--network", f"[{small_onnx},{small_onnx}]"), "from another space"),
        (("--network", small_onnx, "--p99-ms", "[1,2]"), "2 values for 1 tenants"),
        (("--network", small_onnx, "--power-w", 10), "a power limit of 10 W cannot be kept"),
        (("--network", small_onnx, "--p99-ms", "soon"), "p99_ms"),
    ]
    for arguments, sentence in cases:
        told = tune(cache, *arguments, "--bundle", bundle)
        if "power" in sentence and told.returncode == 0:
            continue  # a computer with RAPL keeps power limits
        assert told.returncode == 2, (arguments, told.stderr)
        assert told.stderr.count("\n") == 1, told.stderr
        assert sentence in told.stderr
