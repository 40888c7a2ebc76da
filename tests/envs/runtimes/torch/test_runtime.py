"""The PyTorch runtime where there is no GPU: a processor in its place, driven as a GPU would be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from envs.configuration import Configuration, ConfigurationSpace
from envs.device import STAND_IN, Device, accelerator, local_computer, local_gpu
from envs.errors import ConfigurationError, NetworkError, OptionError
from envs.measurement import ConfigurationFailed, FailureKind
from envs.network import read_network
from envs.runtimes.load import sample_pool
from envs.runtimes.measuring import ServingOptions
from envs.runtimes.serving import ServingRuntime
from envs.runtimes.torch.engines import CpuEngine, switch_tf32_off
from envs.runtimes.torch.runtime import TorchEngineFactory, torch_runtime
from envs.telemetry.none import NoSensor
from envs.workload import workload_of


@pytest.fixture
def space(small_onnx: Path) -> ConfigurationSpace:
    return ConfigurationSpace(local_gpu(stand_in=True), workload_of([read_network(small_onnx)]), 3, (1, 4))


@pytest.fixture
def runtime(space: ConfigurationSpace, small_onnx: Path) -> Iterator[ServingRuntime]:
    with torch_runtime(space, [small_onnx], ServingOptions(), NoSensor()) as runtime:
        yield runtime


def configuration(cuda: tuple[int, int], tensor: tuple[int, int]) -> Configuration:
    return Configuration(((cuda, tensor),))


def test_the_answers_are_the_networks_own(runtime: ServingRuntime, small_onnx: Path) -> None:
    samples = [sample[0] for sample in sample_pool(read_network(small_onnx), seed=5, count=6)]
    session = onnxruntime.InferenceSession(str(small_onnx), providers=["CPUExecutionProvider"])
    expected = np.concatenate([session.run(None, {"input": sample[None]})[0] for sample in samples])
    answers = {}
    for name, config in (("cuda", configuration((2, 4), (0, 0))), ("tensor", configuration((0, 0), (2, 1)))):
        runtime.apply(config)
        futures = [runtime.submit("small", sample) for sample in samples]
        answers[name] = np.stack([future.result(30)["logits"] for future in futures])
    np.testing.assert_allclose(answers["cuda"], expected, rtol=1e-4, atol=1e-4)
    assert np.corrcoef(answers["tensor"].ravel(), expected.ravel())[0, 1] > 0.9
    assert not np.array_equal(answers["tensor"], answers["cuda"])


def test_instances_change_by_difference_and_one_thread_drives_them(runtime: ServingRuntime) -> None:
    runtime.apply(configuration((1, 1), (1, 1)))
    change = runtime.apply(configuration((3, 4), (1, 4)))
    assert (change.kept, change.created, change.removed) == (2, 2, 0), "more instances leave the others as they are"
    assert [thread.name for thread in threading.enumerate()].count("stream-driver") == 1
    measurement = runtime.measure(0.2)
    assert measurement.throughput_ips[0] > 0
    assert measurement.threads == (1, 1, 1, 1)


def test_a_number_of_a_stand_in_cannot_be_taken_for_one_of_a_gpu(space: ConfigurationSpace, small_onnx: Path) -> None:
    assert space.device.name == f"{STAND_IN}: {local_computer().name}"
    assert space.device.accelerator_names == ("cuda", "tensor")
    if not torch.cuda.is_available():
        with pytest.raises(OptionError, match="PyTorch sees no GPU here"):
            local_gpu()
        elsewhere = ConfigurationSpace(Device("NVIDIA H100", space.device.accelerators, 2, 70_000), space.workload, 2, (1,))
        with pytest.raises(ConfigurationError, match="PyTorch sees no GPU here, the space is one of NVIDIA H100"):
            TorchEngineFactory(elsewhere, [small_onnx])


def test_other_accelerators_and_too_few_files_are_refused(space: ConfigurationSpace, small_onnx: Path) -> None:
    board = Device(STAND_IN, (accelerator("cuda"), accelerator("dla0")), 2, 4000)
    with pytest.raises(ConfigurationError, match="PyTorch does not run on 'dla0'"):
        TorchEngineFactory(ConfigurationSpace(board, space.workload, 2, (1,)), [small_onnx])
    with pytest.raises(ConfigurationError, match="0 ONNX files for 1 tenants"):
        TorchEngineFactory(space, [])


def test_a_network_that_pytorch_cannot_run_is_refused_before_anything_serves(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]) for name, shape in (("x", (4, 4)), ("y", ()))]
    graph = helper.make_graph([helper.make_node("Det", ["x"], ["y"], "middle")], "odd", values[:1], values[1:])
    path = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    space = ConfigurationSpace(local_gpu(stand_in=True), workload_of([read_network(path)]), 1, (1,))
    with pytest.raises(NetworkError, match=r"odd\.onnx: the PyTorch runtime does not have the operator Det \(node 'middle'\)"):
        torch_runtime(space, [path], ServingOptions(), NoSensor())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), FailureKind.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported elsewhere"), FailureKind.OUT_OF_MEMORY),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"), FailureKind.BUILD_FAILED),
    ],
)
def test_failures_are_typed(runtime: ServingRuntime, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: FailureKind) -> None:
    def fail(self: CpuEngine, inputs: object) -> None:
        raise error

    runtime.apply(configuration((1, 1), (0, 0)))
    with monkeypatch.context() as patch:
        patch.setattr(CpuEngine, "run", fail)
        with pytest.raises(ConfigurationFailed) as caught:
            runtime.apply(configuration((1, 1), (1, 1)))
    assert caught.value.failure.kind is kind
    assert "\n" not in caught.value.failure.reason
    assert runtime.measure(0.1).throughput_ips[0] > 0, "the old configuration serves on"


@pytest.mark.parametrize("common", ["none", "tf32"])
def test_every_switch_of_tf32_is_off(common: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was here before may have used the old switches, the new ones, or the one that the new ones follow."""
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    if hasattr(torch.backends, "fp32_precision"):
        torch.backends.fp32_precision = common
    switch_tf32_off()
    assert torch.backends.cuda.matmul.allow_tf32 is False
    assert torch.backends.cudnn.allow_tf32 is False
    assert torch.get_float32_matmul_precision() == "highest"
    if hasattr(torch.backends, "fp32_precision"):
        assert torch.backends.cudnn.conv.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "ieee"
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    with pytest.raises(ConfigurationError, match="TF32 stays on"):
        switch_tf32_off()
