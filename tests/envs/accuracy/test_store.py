from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.accuracy.calibration import METHODS
from envs.accuracy.samples import Samples
from envs.accuracy.store import UNCALIBRATED, quantized
from envs.catalog.architectures import build
from envs.errors import NetworkError, StorageError
from envs.graph.reading import read_network
from envs.spec import Network

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


def session(path: Path) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def tiny(folder: Path, batch: object = "batch", kind: int = onnx.TensorProto.FLOAT) -> Path:
    """Make a network that casts, then multiplies: one quantised layer."""
    helper, weights = (
        onnx.helper,
        np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32),
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], name="cast", to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "w"], ["y"], name="product"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", kind, [batch, 16])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [batch, 8])],
        initializer=[onnx.numpy_helper.from_array(weights, "w")],
    )
    path = folder / "tiny.onnx"
    path.write_bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
        ).SerializeToString()
    )
    return path


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network]:
    path = tmp_path_factory.mktemp("fp32") / "squeezenet1_1.onnx"
    onnx.save(build("squeezenet1_1", image_size=96), path)
    return path, read_network(path)


@pytest.fixture(scope="module")
def int8(fp32: tuple[Path, Network], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantized(*fp32, tmp_path_factory.mktemp("int8")).path


def pixels(count: int = 4) -> Samples:
    """Return samples of `tiny` that a user gave."""
    values = np.random.default_rng(1).random((count, 16), dtype=np.float32)
    return Samples({"x": values}, "given.npz", count)


def test_result_is_named_after_all_that_it_depends_on(
    fp32: tuple[Path, Network], int8: Path
) -> None:
    stem = f"squeezenet1_1-{fp32[1].sha256[:12]}-int8-ort{ort.__version__}-invented-v2"
    assert int8.name == f"{stem}.onnx"
    assert sorted(int8.parent.iterdir()) == [int8.with_suffix(".json"), int8]
    assert int8.stat().st_size < 0.3 * fp32[0].stat().st_size


def test_samples_are_part_of_the_name_and_the_method_is_kept(tmp_path: Path) -> None:
    path, cache, samples = tiny(tmp_path), tmp_path / "cache", pixels()
    network = read_network(path)
    made = quantized(path, network, cache, samples)
    assert f"-{samples.sha256[:12]}-" in made.path.name
    assert made.calibration in METHODS
    assert made.calibrated_on == 4
    assert quantized(path, network, cache, samples) == made
    plain = quantized(path, network, cache)
    assert (plain.calibration, plain.path == made.path) == (UNCALIBRATED, False)
    assert plain.calibrated_on > 0
    assert quantized(path, network, cache, pixels(5)).path not in (made.path, plain.path)


def test_weights_are_int8_and_activations_uint8(int8: Path) -> None:
    model = onnx.load(str(int8))
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    sources = {node.output[0]: node for node in model.graph.node}
    assert len(convolutions) == 26
    for node in convolutions:
        activation, weights = (sources[name] for name in node.input[:2])
        assert activation.op_type == weights.op_type == "DequantizeLinear"
        assert kinds[activation.input[2]] == onnx.TensorProto.UINT8
        assert kinds[weights.input[0]] == onnx.TensorProto.INT8


def test_logits_stay_close_at_every_batch(fp32: tuple[Path, Network], int8: Path) -> None:
    images = np.random.default_rng(7).standard_normal((8, 3, 96, 96), dtype=np.float32)
    before, after = session(fp32[0]), session(int8)
    for batch in (1, 3, 8):
        (exact,), (rounded,) = (run.run(None, {"input": images[:batch]}) for run in (before, after))
        assert rounded.shape == (batch, 1000)
        assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.7


def test_it_runs_on_integer_kernels_alone(int8: Path, tmp_path: Path) -> None:
    """ONNX Runtime finds the pattern of each layer; kernels of floats would make it slower."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(str(int8), options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert kinds["QLinearConv"] == 26
    assert not {"Conv", "FusedConv"} & set(kinds)
    assert kinds["QuantizeLinear"] + kinds["DequantizeLinear"] <= 4, kinds


def test_existing_file_is_reused_and_a_new_one_is_the_same(tmp_path: Path) -> None:
    path = tiny(tmp_path)
    network = read_network(path)
    made = quantized(path, network, tmp_path / "cache").path
    content = made.read_bytes()
    before = made.stat().st_ino
    assert quantized(path, network, tmp_path / "cache").path.stat().st_ino == before
    made.unlink()
    assert quantized(path, network, tmp_path / "cache").path.read_bytes() == content


@pytest.mark.parametrize(
    "damage",
    [
        lambda made, notes: made.write_bytes(made.read_bytes()[:100]),
        lambda made, notes: made.unlink(),
        lambda made, notes: notes.unlink(),
        lambda made, notes: notes.write_text(notes.read_text()[:20]),
        lambda made, notes: notes.write_text("[]"),
        lambda made, notes: notes.write_text("null"),
        lambda made, notes: notes.write_text('"sha256"'),
        lambda made, notes: notes.write_text('{"sha256": 5}'),
        lambda made, notes: notes.write_text("[" * 50_000),
        lambda made, notes: notes.write_text(notes.read_text().replace("4}", '"x"}', 1)),
        lambda made, notes: notes.write_bytes(b"\xff\xfe"),
        lambda made, notes: notes.write_text(re.sub("on.: 4", 'on": "many"', notes.read_text())),
        lambda made, notes: (notes.unlink(), os.mkfifo(notes)),
        lambda made, notes: (notes.unlink(), notes.symlink_to(notes.name)),
    ],
)
def test_what_is_damaged_is_made_again(
    tmp_path: Path, damage: Callable[[Path, Path], object]
) -> None:
    path, network = tiny(tmp_path), read_network(tiny(tmp_path))
    samples = pixels()
    made = quantized(path, network, tmp_path / "cache", samples)
    notes = made.path.with_suffix(".json")
    whole = made.path.read_bytes(), notes.read_bytes()
    damage(made.path, notes)
    assert quantized(path, network, tmp_path / "cache", samples) == made
    assert (made.path.read_bytes(), notes.read_bytes()) == whole


@pytest.mark.parametrize(
    "kind",
    [
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT64,
        onnx.TensorProto.UINT8,
        onnx.TensorProto.FLOAT16,
    ],
)
def test_every_kind_of_input_and_a_fixed_batch_calibrate(tmp_path: Path, kind: int) -> None:
    path = tiny(tmp_path, batch=4, kind=kind)
    made = quantized(path, read_network(path), tmp_path / "cache").path
    values = np.ones((4, 16), onnx.helper.tensor_dtype_to_np_dtype(kind))
    assert session(made).run(None, {"x": values})[0].shape == (4, 8)


def test_name_cannot_lead_out_of_the_cache(tmp_path: Path) -> None:
    path = tiny(tmp_path)
    made = quantized(path, read_network(path, name="../../evil"), tmp_path / "cache")
    assert made.path.parent == tmp_path / "cache"


def test_a_quantised_file_is_served_as_it_is(tmp_path: Path) -> None:
    path = tiny(tmp_path)
    made = quantized(path, read_network(path), tmp_path / "cache").path
    network = read_network(made)
    assert network.quantised
    for samples in (None, pixels()):
        served = quantized(made, network, tmp_path / "other", samples)
        assert (served.path, served.calibration, served.calibrated_on) == (made, "", 0)
    assert not (tmp_path / "other").exists()


def test_file_that_changed_is_refused(tmp_path: Path) -> None:
    path = tiny(tmp_path)
    network = read_network(path)
    tiny(tmp_path, batch=4)
    with pytest.raises(NetworkError, match="has changed since it was read"):
        quantized(path, network, tmp_path / "cache")


def test_failure_of_the_library_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    def broken(*arguments: object) -> None:
        raise KeyError("tensor_7\nnot found")

    monkeypatch.setattr(QDQQuantizer, "quantize_model", broken)
    path = tiny(tmp_path)
    with pytest.raises(NetworkError, match="cannot be quantised") as caught:
        quantized(path, read_network(path), tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_cache_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    path = tiny(tmp_path)
    with pytest.raises(StorageError, match="cannot keep the INT8 graph"):
        quantized(path, read_network(path), path)


def test_library_stays_quiet_and_logging_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.root.manager.disable)
    path = tiny(tmp_path)
    quantized(path, read_network(path), tmp_path / "cache")
    assert capfd.readouterr() == ("", "")
    assert (list(root.handlers), root.level, logging.root.manager.disable) == before
