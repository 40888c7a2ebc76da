"""Mappings in exports: which layer runs where, in the words of each server, or a refusal."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from envs.errors import ConfigurationError, NetworkError, OptionError
from envs.graph.partition import partition_of
from envs.graph.reading import read_network
from envs.spec import workload_of
from tests.tuner.exports.recorder import run
from tuner.export import main
from tuner.exports.answers import placed, read_slots
from tuner.exports.checks import check_mappings
from tuner.exports.deepstream import export_deepstream, properties
from tuner.exports.engines import BuildOptions
from tuner.exports.folder import write_folder
from tuner.exports.mapped import named_graph
from tuner.exports.models import Model, models_of
from tuner.exports.triton import export_triton
from tuner.exports.trtexec import arguments, export_trtexec

TEN = BuildOptions("10")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of four convolutions, whose names have commas, colons and quotes in them."""
    random = np.random.default_rng(0)
    weights, nodes, last, width = [], [], "image", 3
    for number, name in enumerate(["a,b:GPU", "it's", "*", ""]):
        weight = (0.3 * random.normal(size=(8, width, 3, 3))).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{number}"))
        pads = {"pads": [1, 1, 1, 1]}
        nodes.append(helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], name, **pads))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        last, width = f"r{number}", 8
    weights.append(numpy_helper.from_array(random.normal(size=(8, 4)).astype(np.float32), "fc"))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fc"], ["logits"]),
    ]
    ends = [
        helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ("n", 3, 8, 8)),
        helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ("n", 4)),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    file = tmp_path_factory.mktemp("mapped") / "net.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file
    )
    return file


def model_of(path: Path, accelerator: str, batch: int = 2) -> Model:
    slots = read_slots([{"accelerator": accelerator, "instances": 1, "batch": batch}], "x")
    return models_of(*placed(slots, workload_of([read_network(path)])), [path])[0]


def flag(words: list[str], name: str) -> str:
    (found,) = [word for word in words if word.startswith(f"{name}=")]
    return found.partition("=")[2]


def test_the_small_network_has_a_group_a_convolution(path: Path) -> None:
    assert len(partition_of(path).groups) >= 4


def test_nodes_carry_the_accelerator_of_their_group_and_compute_the_same(path, tmp_path) -> None:
    model = model_of(path, "dla0_to_2_tensor")
    graph = named_graph(model, TEN)
    wheres = {
        output: node.name.partition("/")[0] for node in graph.graph.node for output in node.output
    }
    partition = partition_of(path)
    for where, group in zip(["dla0"] * 2 + ["tensor"] * 9, partition.groups, strict=False):
        for node in partition.flow.nodes[group.start : group.stop]:
            known = [wheres[output] for output in node.output if output in wheres]
            assert known == [where] * len(known)
    assert {"dla0", "tensor"} == set(wheres.values())
    names = [node.name for node in graph.graph.node]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"(dla0|tensor)/\d{4}_[A-Za-z0-9_.-]+", name) for name in names)
    image = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    answers = [
        onnxruntime.InferenceSession(each).run(None, {"image": image})[0].reshape(2, 4)
        for each in (str(path), graph.SerializeToString())
    ]
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-4, atol=1e-5)


def test_trtexec_of_version_10_takes_patterns(path: Path) -> None:
    words = arguments(model_of(path, "dla1_to_2_tensor"), TEN, "engines/x.plan")
    assert flag(words, "--onnx") == "networks/mapped/net_dla1_to_2_tensor.b2.onnx"
    assert flag(words, "--layerDeviceTypes") == "dla1/*:DLA,tensor/*:GPU"
    assert {"--int8", "--fp16", "--useDLACore=1", "--allowGPUFallback"} <= set(words)
    assert flag(words, "--precisionConstraints") == "prefer"
    assert flag(words, "--layerPrecisions") == "tensor/*:fp16"


@pytest.mark.parametrize(
    ("tensor", "dla", "wanted"),
    [("fp16", "fp16", None), ("int8", "int8", None), ("int8", "fp16", "dla0/*:fp16")],
)
def test_a_part_has_a_precision_where_it_differs(path, tensor, dla, wanted) -> None:
    build = BuildOptions("10", tensor, dla)
    words = arguments(model_of(path, "dla0_to_2_tensor"), build, "engines/x.plan")
    if wanted is None:
        assert not any("layerPrecisions" in word or "Constraints" in word for word in words)
    else:
        assert flag(words, "--layerPrecisions") == wanted


def test_two_precisions_of_the_gpu_need_no_device(path: Path) -> None:
    words = arguments(model_of(path, "cuda_to_1_tensor"), TEN, "engines/x.plan")
    assert not any("DLA" in word or "layerDevice" in word for word in words)
    assert flag(words, "--layerPrecisions") == "cuda/*:fp32"
    assert {"--noTF32", "--fp16", "--maxAuxStreams=0"} <= set(words)
    assert flag(words, "--maxShapes") == "image:2x3x8x8"


def test_version_8_6_lists_every_layer_by_its_name(path: Path) -> None:
    model, build = model_of(path, "dla0_to_2_tensor"), BuildOptions("8.6")
    listed = flag(arguments(model, build, "engines/x.plan"), "--layerDeviceTypes").split(",")
    names = [node.name for node in named_graph(model, build).graph.node]
    assert sorted(each.rpartition(":")[0] for each in listed) == sorted(names)
    assert all(each.endswith(":DLA") == each.startswith("dla0/") for each in listed)


def test_the_folder_has_the_graph_with_these_names(path: Path, tmp_path: Path) -> None:
    model = model_of(path, "tensor_to_1_dla0")
    write_folder(tmp_path / "out", export_trtexec([model], TEN), {})
    graph = onnx.load(tmp_path / "out/networks/mapped/net_tensor_to_1_dla0.b2.onnx").graph
    assert graph.node[0].name.startswith("tensor/0000_")
    assert graph.node[-1].name.startswith("dla0/")
    told = " ".join((tmp_path / "out/README.txt").read_text().split())
    assert "TensorRT fuses layers afterwards" in told
    assert "Nobody has run these command lines on a board yet" in told
    assert "dla0/*:DLA" in (tmp_path / "out/build.sh").read_text()


def test_deepstream_lists_layers_with_precision_and_device(path: Path) -> None:
    model = model_of(path, "dla0_to_2_tensor")
    found = properties(model, TEN, 1)
    items = str(found["layer-device-precision"]).split(";")
    assert items[0].split(":")[1:] == ["int8", "dla"]
    assert items[-1].split(":")[1:] == ["fp16", "gpu"]
    assert found["use-dla-core"] == 0
    assert found["onnx-file"] == "networks/mapped/net_dla0_to_2_tensor.b2.onnx"
    assert "layer-device-precision" not in properties(model_of(path, "dla0"), TEN, 1)
    assert "build.sh" in export_deepstream([model], TEN)


def test_triton_names_the_core_and_says_that_the_plan_holds_the_rest(path, tmp_path) -> None:
    files = export_triton([model_of(path, "dla1_to_2_tensor")], TEN, 5.0, 2, tmp_path)
    config = str(files["models/net_dla1_to_2_tensor/config.pbtxt"])
    assert re.search(r"KIND_NVDLA\s+device_id: 1", config)
    assert "Triton does not check it" in " ".join(str(files["README.txt"]).split())


@pytest.mark.parametrize("target", ["triton", "deepstream", "trtexec"])
def test_what_nobody_can_write_down_is_refused(path: Path, target: str) -> None:
    hosted = model_of(path, "cpu_int8_to_2_cpu_fp32")
    with pytest.raises(OptionError, match="which no export writes down: serve it with"):
        check_mappings(target, [hosted], TEN)
    with pytest.raises(OptionError, match="openvino_fp32 runs on OpenVINO, which no export writes"):
        check_mappings(target, [model_of(path, "openvino_fp32")], TEN)
    mapped = model_of(path, "dla0_to_2_tensor")
    with pytest.raises(OptionError, match="tensorrt=11 takes the precision from the network"):
        check_mappings(target, [mapped], BuildOptions("11"))
    with pytest.raises(OptionError, match="needs more than 40 layer groups"):
        check_mappings(target, [model_of(path, "dla0_to_40_tensor")], TEN)
    check_mappings(target, [mapped], TEN)


def test_a_quantised_file_has_no_part_in_fp32(path: Path) -> None:
    model = model_of(path, "cuda_to_1_tensor")
    types = model.facts.types._replace(quantised=frozenset({"QuantizeLinear"}))
    quantised = model.__class__(**{**model.__dict__, "facts": model.facts._replace(types=types)})
    with pytest.raises(NetworkError, match="the part of cuda_to_1_tensor on cuda computes in FP32"):
        check_mappings("trtexec", [quantised], TEN)


def test_segments_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no export runs a network in segments: give ten"):
        read_slots([{"accelerator": "tensor_in_4", "instances": 1, "batch": 1}], "x")


def test_the_command_exports_a_calibrated_mapping(path, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pictures = np.random.default_rng(2).normal(size=(40, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "inputs.npz", image=pictures)
    flags = ["--target", "trtexec", "--network", str(path), "--out", str(tmp_path / "out")]
    placed_at = ["--configuration", "dla0_to_2_tensor=1x4"]
    assert main([*flags, *placed_at, "--samples", str(tmp_path / "inputs.npz")]) == 0
    (call,) = [words for words in run(tmp_path / "out") if "--layerDeviceTypes" in " ".join(words)]
    cache = tmp_path / "out" / flag(call, "--calib")
    graph = onnx.load(tmp_path / "out" / flag(call, "--onnx")).graph
    calibrated = {line.rpartition(": ")[0] for line in cache.read_text().splitlines()[1:]}
    assert {name for node in graph.node for name in node.output} & calibrated
    manifest = (tmp_path / "out" / "export.json").read_text()
    assert '"accelerator": "dla0_to_2_tensor"' in manifest


def test_the_command_refuses_in_one_sentence(path, tmp_path, capsys) -> None:
    flags = ["--target", "trtexec", "--network", str(path), "--out", str(tmp_path / "out")]
    assert main([*flags, "--configuration", "cpu_int8_to_2_cpu_fp32=1x4"]) == 2
    assert capsys.readouterr().err.startswith("error: target=trtexec: cpu_int8_to_2_cpu_fp32 runs")
    assert not (tmp_path / "out").exists()
