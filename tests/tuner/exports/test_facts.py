"""Files whose shapes nobody can calculate, and outputs without a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import model_config_pb2

from envs.errors import NetworkError
from envs.spec import workload_of
from tests.commands import call
from tuner.exports.answers import Slot, placed
from tuner.exports.deepstream import export_deepstream
from tuner.exports.engines import BuildOptions
from tuner.exports.facts import read_for_export
from tuner.exports.models import Model, models_of
from tuner.exports.triton import export_triton
from tuner.exports.trtexec import export_trtexec

FLOAT, INT32 = TensorProto.FLOAT, TensorProto.INT32
INFO, NODE = helper.make_tensor_value_info, helper.make_node


def write(
    path: Path, nodes: list[Any], outputs: list[Any], weights: list[Any] | None = None
) -> Path:
    graph = helper.make_graph(
        nodes, "g", [INFO("images", FLOAT, ["n", 3, 8, 8])], outputs, weights or []
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("TRT", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def write_plugin(path: Path, *outputs: Any) -> Path:
    """Write a network that ends in a plugin of TensorRT."""
    weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    names = [each.name for each in outputs]
    plugin = NODE("MyNms_TRT", ["c"], names, domain="TRT")
    return write(path, [NODE("Conv", ["images", "w"], ["c"]), plugin], list(outputs), [weight])


COUNT, BOXES = INFO("count", INT32, ["n", 1]), INFO("boxes", FLOAT, ["n", 100, 4])


def models(path: Path, *accelerators: str, batch: int = 4) -> list[Model]:
    network, facts = read_for_export(path)
    slots = [Slot(None, accelerator, 2, batch) for accelerator in accelerators]
    return models_of(*placed(slots, workload_of([network])), [path], [facts])


def config(files: Any, name: str) -> Any:
    return text_format.Parse(
        str(files[f"models/{name}/config.pbtxt"]), model_config_pb2.ModelConfig()
    )


def test_a_plugin_of_tensorrt_is_exported_for_the_gpu(tmp_path: Path) -> None:
    found = models(write_plugin(tmp_path / "yolo.onnx", COUNT, BOXES), "cuda", "tensor")
    files = export_trtexec(found, BuildOptions())
    script = str(files["build.sh"])
    assert script.count("--maxShapes=images:4x3x8x8") == 2
    copy = files["networks/yolo.onnx"]
    assert callable(copy)
    copy(tmp_path / "copy.onnx")
    assert [node.op_type for node in onnx.load(tmp_path / "copy.onnx").graph.node] == [
        "Conv",
        "MyNms_TRT",
    ]
    assert "yolo_tensor_1.txt" in export_deepstream(found, BuildOptions())


def test_triton_is_told_the_shapes_that_the_file_declares(tmp_path: Path) -> None:
    ragged = INFO("keep", FLOAT, ["n", "found", 4])
    found = models(write_plugin(tmp_path / "yolo.onnx", COUNT, BOXES, ragged), "tensor")
    told = config(export_triton(found, BuildOptions(), 5.0, 1, tmp_path), "yolo_tensor")
    assert [(each.name, list(each.dims)) for each in told.output] == [
        ("count", [1]),
        ("boxes", [100, 4]),
        ("keep", [-1, 4]),
    ]
    assert told.max_batch_size == 4


@pytest.mark.parametrize("accelerator", ["dla0", "cpu_fp32", "cpu_int8"])
def test_where_all_shapes_are_needed_the_operator_is_named(
    accelerator: str, tmp_path: Path
) -> None:
    found = models(write_plugin(tmp_path / "yolo.onnx", COUNT, BOXES), accelerator)
    with pytest.raises(
        NetworkError,
        match=rf"MyNms_TRT of domain TRT.*{accelerator} needs all shapes: use tensor or cuda",
    ):
        export_triton(found, BuildOptions(), 5.0, 1, tmp_path)


def test_other_faults_of_a_file_stay_faults(tmp_path: Path) -> None:
    path = write(
        tmp_path / "state.onnx", [NODE("Relu", ["images"] * 2, ["y"])], [INFO("y", 1, ["n"])]
    )
    with pytest.raises(NetworkError, match="not a valid ONNX model"):
        read_for_export(path)
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:40])
    with pytest.raises(NetworkError, match="cut short"):
        read_for_export(tmp_path / "cut.onnx")


def test_an_output_without_a_batch_is_served_without_batching(tmp_path: Path) -> None:
    anchors = numpy_helper.from_array(np.ones((6, 4), np.float32), "a")
    nodes = [NODE("Relu", ["images"], ["y"]), NODE("Identity", ["a"], ["anchors"])]
    outputs = [INFO("y", FLOAT, ["n", 3, 8, 8]), INFO("anchors", FLOAT, [6, 4])]
    found = models(write(tmp_path / "net.onnx", nodes, outputs, [anchors]), "tensor", "cpu_fp32")
    files = export_triton(found, BuildOptions(), 5.0, 1, tmp_path)
    for name in ("net_tensor", "net_cpu_fp32"):
        told = config(files, name)
        assert told.max_batch_size == 0
        assert not told.HasField("dynamic_batching")
        assert [list(each.dims) for each in (*told.input, *told.output)] == [
            [-1, 3, 8, 8],
            [-1, 3, 8, 8],
            [6, 4],
        ]
    assert "--maxShapes=images:4x3x8x8" in str(files["build.sh"])
    assert "dims begin with -1" in str(files["README.txt"])


def test_no_ranges_of_a_plugin_can_be_measured(tmp_path: Path) -> None:
    path = write_plugin(tmp_path / "yolo.onnx", COUNT, BOXES)
    np.save(tmp_path / "x.npy", np.zeros((8, 3, 8, 8), np.float32))
    given = ("--target", "trtexec", "--network", path, "--out", tmp_path / "out")
    int8 = ("--configuration", "tensor=1x4", "--tensor-precision", "int8")
    result = call("export", *given, *int8, "--samples", tmp_path / "x.npy")
    assert result.returncode == 2
    assert "MyNms_TRT of domain TRT" in result.stderr
    assert "no INT8 ranges can be measured here" in result.stderr
    result = call("export", *given, *int8, "--allow-uncalibrated")
    assert result.returncode == 0, result.stderr
    assert "--int8 --fp16" in (tmp_path / "out" / "build.sh").read_text()
