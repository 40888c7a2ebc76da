"""Triton's configurations, read by Triton's own protobuf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from envs.errors import NetworkError, OptionError
from envs.graph.reading import read_network
from envs.spec import Kind, TensorSpec, workload_of
from tests.tuner.exports.samples import configured, models, network, write_relu
from tuner.exports.answers import Slot, placed
from tuner.exports.engines import BuildOptions
from tuner.exports.models import Model, models_of
from tuner.exports.triton import config_of, export_triton, quoted, text_of

Config = model_config_pb2.ModelConfig
Group = model_config_pb2.ModelInstanceGroup

TYPES = {
    "float32": model_config_pb2.TYPE_FP32,
    "float16": model_config_pb2.TYPE_FP16,
    "int32": model_config_pb2.TYPE_INT32,
    "int64": model_config_pb2.TYPE_INT64,
    "uint8": model_config_pb2.TYPE_UINT8,
    "int8": model_config_pb2.TYPE_INT8,
    "bool": model_config_pb2.TYPE_BOOL,
}


def parsed(
    model: Model, build: BuildOptions | None = None, max_wait_ms: float = 5.0, threads: int = 1
) -> Any:
    return text_format.Parse(
        text_of(config_of(model, build or BuildOptions(), max_wait_ms, threads)), Config()
    )


def check_tensors(found: Any, specs: tuple[TensorSpec, ...], static: bool) -> None:
    assert [each.name for each in found] == [spec.name for spec in specs]
    assert [each.data_type for each in found] == [TYPES[spec.dtype] for spec in specs]
    for each, spec in zip(found, specs, strict=True):
        shape = list(spec.shape if static else spec.shape[1:])
        assert list(each.dims) == (shape or [1])
        assert each.HasField("reshape") == (not shape)
        assert not each.reshape.shape


@settings(max_examples=60, deadline=None)
@given(configured(), st.floats(0, 1000))
def test_every_field_is_what_the_configuration_says(found: list[Model], max_wait_ms: float) -> None:
    for model in found:
        config = parsed(model, max_wait_ms=max_wait_ms, threads=3)
        dla = model.accelerator.kind is Kind.DLA
        assert config.name == model.name
        assert config.platform == (
            "onnxruntime_onnx" if model.accelerator.kind is Kind.CPU else "tensorrt_plan"
        )
        assert config.max_batch_size == (0 if dla else model.batch)
        check_tensors(config.input, model.inputs, static=dla)
        check_tensors(config.output, model.outputs, static=dla)
        (group,) = config.instance_group
        assert group.count == model.instances
        assert group.kind == (Group.KIND_CPU if model.on_cpu else Group.KIND_GPU)
        assert list(group.gpus) == ([] if model.on_cpu else [0])
        assert [(each.kind, each.device_id) for each in group.secondary_devices] == (
            [(Group.SecondaryDevice.KIND_NVDLA, int(model.accelerator.name[-1]))] if dla else []
        )
        batched = not dla and model.batch > 1
        assert config.HasField("dynamic_batching") == batched
        if batched:
            assert list(config.dynamic_batching.preferred_batch_size) == [model.batch]
            assert config.dynamic_batching.max_queue_delay_microseconds == round(max_wait_ms * 1000)
        threads = {key: value.string_value for key, value in config.parameters.items()}
        assert threads == ({"intra_op_thread_count": "3"} if model.on_cpu else {})


def test_a_configuration_is_written_as_people_write_it() -> None:
    text = text_of(config_of(models(("dla1", 2, 4))[0], BuildOptions(), 5.0, 1))
    assert text == (
        'name: "small_dla1"\nplatform: "tensorrt_plan"\nmax_batch_size: 0\n'
        'input {\n  name: "input"\n  data_type: TYPE_FP32\n  dims: [4, 3, 8, 8]\n}\n'
        'output {\n  name: "logits"\n  data_type: TYPE_FP32\n  dims: [4, 10]\n}\n'
        'instance_group {\n  name: "small_dla1"\n  kind: KIND_GPU\n  count: 2\n  gpus: [0]\n'
        "  secondary_devices {\n    kind: KIND_NVDLA\n    device_id: 1\n  }\n}\n"
    )


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_its_literal(text: str) -> None:
    literal = quoted(text)
    assert literal.isascii()
    assert literal.isprintable()
    assert text_format.Parse(f"name: {literal}", Config()).name == text


def test_integers_of_64_bits_are_narrower_in_tensorrt_8() -> None:
    (model,) = models(("cuda", 1, 2), of=network(inputs=(TensorSpec("ids", (7,), "int64"),)))
    assert parsed(model, BuildOptions("8.6")).input[0].data_type == model_config_pb2.TYPE_INT32
    assert parsed(model, BuildOptions("10")).input[0].data_type == model_config_pb2.TYPE_INT64
    (model,) = models(("cpu_fp32", 1, 2), of=network(inputs=(TensorSpec("ids", (7,), "int64"),)))
    assert parsed(model, BuildOptions("8.6")).input[0].data_type == model_config_pb2.TYPE_INT64


@pytest.mark.parametrize(
    ("accelerator", "dtype"), [("tensor", "float64"), ("dla0", "uint32"), ("cpu_fp32", "complex64")]
)
def test_a_type_that_the_server_lacks_is_refused(accelerator: str, dtype: str) -> None:
    (model,) = models((accelerator, 1, 2), of=network(outputs=(TensorSpec("y", (2,), dtype),)))
    with pytest.raises(NetworkError, match=f"'y' holds {dtype}, which .* does not take"):
        config_of(model, BuildOptions(), 5.0, 1)


def test_a_client_is_told_the_same_output_by_every_model(small_onnx: Path, cache: Path) -> None:
    # The engine of a DLA gives [batch, classes, 1, 1], which Triton compares with the file.
    slots = [Slot(None, "tensor", 1, 4), Slot(None, "dla0", 1, 4)]
    found = models_of(*placed(slots, workload_of([read_network(small_onnx)])), [small_onnx])
    files = export_triton(found, BuildOptions(), 5.0, 2, cache)
    tensor, dla = (
        text_format.Parse(str(files[f"models/{model.name}/config.pbtxt"]), Config()).output[0]
        for model in found
    )
    assert (list(tensor.dims), tensor.HasField("reshape")) == ([10], False)
    assert (list(dla.dims), list(dla.reshape.shape)) == ([4, 10], [4, 10, 1, 1])


def test_a_file_with_a_fixed_batch_has_no_batching_and_all_its_dimensions(tmp_path: Path) -> None:
    path = write_relu(tmp_path / "fixed.onnx", (4, 3, 8, 8))
    found = models_of(
        *placed([Slot(None, "tensor", 2, 4)], workload_of([read_network(path)])), [path]
    )
    config = parsed(found[0])
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == list(config.output[0].dims) == [4, 3, 8, 8]
    assert not config.HasField("dynamic_batching")


def test_a_repository_holds_what_each_backend_needs(small_onnx: Path, cache: Path) -> None:
    slots = [
        Slot(None, "tensor", 2, 8),
        Slot(None, "dla0", 1, 4),
        Slot(None, "cpu_fp32", 2, 4),
        Slot(None, "cpu_int8", 1, 1),
    ]
    found = models_of(*placed(slots, workload_of([read_network(small_onnx)])), [small_onnx])
    files = export_triton(found, BuildOptions(), 5.0, 8, cache)
    assert set(files) == {
        *(
            f"models/small_{name}/config.pbtxt"
            for name in ("tensor", "dla0", "cpu_fp32", "cpu_int8")
        ),
        *(f"models/small_{name}/1" for name in ("tensor", "dla0", "cpu_fp32", "cpu_int8")),
        *(f"models/small_{name}/1/model.onnx" for name in ("cpu_fp32", "cpu_int8")),
        *("networks/small.onnx", "networks/dla/small.b4.onnx", "build.sh", "README.txt"),
    }
    script, readme = str(files["build.sh"]), str(files["README.txt"])
    assert "--saveEngine=models/small_tensor/1/model.plan" in script
    assert "--saveEngine=models/small_dla0/1/model.plan" in script
    assert "cpu" not in script
    assert "tritonserver --model-repository=models --disable-auto-complete-config" in readme
    config = text_format.Parse(str(files["models/small_cpu_fp32/config.pbtxt"]), Config())
    assert config.parameters["intra_op_thread_count"].string_value == "2", "8 cores for 3 instances"


def test_what_stands_in_the_configuration_is_what_the_graph_takes(
    small_onnx: Path, cache: Path, tmp_path: Path
) -> None:
    # ONNX Runtime opens both graphs as Triton's backend does; inputs and outputs are as written.
    slots = [Slot(None, "cpu_fp32", 1, 4), Slot(None, "cpu_int8", 1, 4)]
    found = models_of(*placed(slots, workload_of([read_network(small_onnx)])), [small_onnx])
    files = export_triton(found, BuildOptions(), 5.0, 2, cache)
    for model in found:
        write = files[f"models/{model.name}/1/model.onnx"]
        assert callable(write)
        write(tmp_path / f"{model.name}.onnx")
        session = onnxruntime.InferenceSession(
            tmp_path / f"{model.name}.onnx", providers=["CPUExecutionProvider"]
        )
        config = parsed(model)
        for told, real in (
            (config.input, session.get_inputs()),
            (config.output, session.get_outputs()),
        ):
            assert [(each.name, list(each.dims)) for each in told] == [
                (each.name, each.shape[1:]) for each in real
            ]


def test_a_wrong_option_names_its_key() -> None:
    with pytest.raises(OptionError, match=r"tensorrt=9 must be one of 8\.6, 10, 11"):
        BuildOptions("9")
    with pytest.raises(OptionError, match="dla_precision=fp32 must be one of fp16, int8"):
        BuildOptions(dla_precision="fp32")
    with pytest.raises(OptionError, match="workspace_mib=0"):
        BuildOptions(workspace_mib=0)
