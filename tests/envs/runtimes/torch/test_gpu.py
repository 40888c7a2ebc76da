"""What only a GPU can show: arithmetic, streams, CUDA graphs, memory."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from envs.catalog.architectures import ARCHITECTURES, build
from envs.configuration import Configuration, ConfigurationSpace
from envs.device import local_gpu
from envs.measurement import ConfigurationFailed, FailureKind
from envs.network import Network, read_network
from envs.runtimes.measuring import ServingOptions
from envs.runtimes.serving import ServingRuntime
from envs.runtimes.torch.engines import CudaEngine, switch_tf32_off
from envs.runtimes.torch.graph import TorchGraph, read_torch_graph
from envs.runtimes.torch.runtime import STREAMS, TorchEngineFactory, torch_runtime
from envs.telemetry.none import NoSensor
from envs.workload import workload_of
from tests.envs.runtimes.hardware import missing_for_torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(missing_for_torch()), reason=missing_for_torch())]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that keeps a GPU busy for a while."""
    path = tmp_path_factory.mktemp("gpu") / "resnet50.onnx"
    onnx.save(build("resnet50", image_size=96, classes=10), path)
    return path


@pytest.fixture(scope="module")
def space(path: Path) -> ConfigurationSpace:
    return ConfigurationSpace(local_gpu(), workload_of([read_network(path)]), 4, (1, 2, 8))


@pytest.fixture
def torch_factory(space: ConfigurationSpace, path: Path) -> TorchEngineFactory:
    return TorchEngineFactory(space, [path])


@pytest.fixture
def runtime(space: ConfigurationSpace, path: Path) -> Iterator[ServingRuntime]:
    with torch_runtime(space, [path], ServingOptions(), NoSensor()) as runtime:
        yield runtime


def engine(graph: TorchGraph, network: Network, half: bool = False) -> CudaEngine:
    return CudaEngine(graph.to("cuda"), network, half, torch.cuda.Stream(), lambda stream: None)


def answer(engine: CudaEngine, images: np.ndarray) -> np.ndarray:
    engine.launch([images])
    while not engine.done():
        time.sleep(1e-4)
    (output,) = engine.result()
    return np.asarray(output)


def images(count: int, size: int = 96, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, size, size)).astype(np.float32)


def test_the_gpu_is_described_as_it_is(space: ConfigurationSpace) -> None:
    assert space.device.name == torch.cuda.get_device_name(0)
    assert 0 < space.device.memory_mib < torch.cuda.mem_get_info()[1] / 2**20
    assert "cuda" in space.device.accelerator_names


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("half", [False, True])
def test_the_answers_are_the_networks_own(name: str, half: bool, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    onnx.save(build(name, image_size=64, classes=10), path)
    network = read_network(path)
    one = engine(read_torch_graph(path, network), network, half)
    one.buffers(4)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (4, 3, 1):
        x = images(count, 64, count)
        (expected,) = session.run(None, {"input": x})
        found = answer(one, x)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found / np.abs(expected).max(), expected / np.abs(expected).max(), atol=5e-2 if half else 1e-4)
    one.close()


def test_fp32_is_not_rounded_to_tf32() -> None:
    """A product of 2048 terms: TF32 keeps 10 bits of each factor and is about a thousand times further from the truth."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2048, 2048, generator=generator, dtype=torch.float64) for _ in range(2))
    image, kernel = torch.randn(1, 256, 32, 32, generator=generator, dtype=torch.float64), torch.randn(256, 256, 3, 3, generator=generator, dtype=torch.float64)
    switch_tf32_off()
    truths = (a @ b, torch.nn.functional.conv2d(image, kernel))
    found = (a.float().cuda() @ b.float().cuda(), torch.nn.functional.conv2d(image.float().cuda(), kernel.float().cuda()))
    for truth, product in zip(truths, found, strict=True):
        error = (product.double().cpu() - truth).abs().mean() / truth.abs().mean()
        assert error < 1e-5
    if torch.cuda.get_device_capability() >= (8, 0):
        torch.set_float32_matmul_precision("high")
        rounded = (a.float().cuda() @ b.float().cuda()).double().cpu()
        switch_tf32_off()
        assert (rounded - truths[0]).abs().mean() / truths[0].abs().mean() > 1e-4, "or the check above shows nothing"


@pytest.mark.parametrize("half", [False, True])
def test_a_cuda_graph_gives_what_the_kernels_give_one_by_one(path: Path, half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network = read_network(path)
    graph = read_torch_graph(path, network)
    captured = engine(graph, network, half)
    captured.buffers(8)
    captured.buffers(2)
    assert captured.captured == {8: True, 2: True}
    monkeypatch.setattr(CudaEngine, "_capture", lambda self, inputs: None)
    eager = engine(graph, network, half)
    eager.buffers(8)
    eager.buffers(2)
    assert eager.captured == {8: False, 2: False}
    for count in (8, 2, 5, 1, 8):  # also smaller batches than were captured, and sizes in turn
        x = images(count, seed=count)
        np.testing.assert_allclose(answer(captured, x), answer(eager, x), rtol=1e-2 if half else 1e-3, atol=1e-2 if half else 1e-3)


def test_what_cannot_be_captured_runs_all_the_same_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Waiting for the device is forbidden within a capture."""
    network = read_network(path)
    forward = CudaEngine._forward

    def waits(self: CudaEngine, inputs: Any) -> list[Any]:
        outputs = forward(self, inputs)
        outputs[0].sum().item()
        return outputs

    graph = read_torch_graph(path, network)
    expected = engine(graph, network)
    expected.buffers(2)
    monkeypatch.setattr(CudaEngine, "_forward", waits)
    stubborn = engine(graph, network)
    with caplog.at_level(logging.WARNING):
        stubborn.buffers(2)
    assert stubborn.captured == {2: False}
    assert "runs without a CUDA graph" in caplog.text
    np.testing.assert_allclose(answer(stubborn, images(2)), answer(expected, images(2)), rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(CudaEngine, "_forward", forward)
    after = engine(graph, network)
    after.buffers(2)
    assert after.captured == {2: True}, "a failed capture leaves nothing behind"


def test_the_graph_of_a_size_that_is_not_wanted_any_more_gives_its_memory_back(path: Path) -> None:
    network = read_network(path)
    one = engine(read_torch_graph(path, network), network)
    reserved = []
    for step in (lambda: one.buffers(1), lambda: one.buffers(8), lambda: one.keep(1)):
        step()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        reserved.append(torch.cuda.memory_reserved())
    one_size, both, kept = reserved
    assert one.captured == {1: True}
    assert kept - one_size < (both - one_size) / 2
    assert answer(one, images(1)).shape == (1, 10)


def test_an_answer_stays_as_it_was_when_the_next_batch_runs(path: Path) -> None:
    network = read_network(path)
    one = engine(read_torch_graph(path, network), network)
    one.buffers(2)
    first = answer(one, images(2, seed=1))
    kept = first.copy()
    answer(one, images(2, seed=2))
    np.testing.assert_array_equal(first, kept)
    assert one.elapsed_ms() > 0


def test_every_instance_has_a_stream_of_its_own_and_gives_it_back(torch_factory: TorchEngineFactory) -> None:
    engines = [torch_factory.load(0, 0, 1) for _ in range(STREAMS)]
    streams = {engine._stream.cuda_stream for engine in engines if isinstance(engine, CudaEngine)}
    assert len(streams) == STREAMS
    assert torch.cuda.default_stream().cuda_stream not in streams
    with pytest.raises(ConfigurationFailed, match="no more than 32 streams") as error:
        torch_factory.load(0, 0, 1)
    assert error.value.failure.kind is FailureKind.BUILD_FAILED
    engines[0].close()
    engines[0].close()
    torch_factory.load(0, 0, 1).close()
    for engine in engines[1:]:
        engine.close()


def test_launching_returns_at_once_and_streams_overlap(torch_factory: TorchEngineFactory) -> None:
    """Spans of device time, on one clock: batches that were launched one behind the other run side by side."""
    engines = [torch_factory.load(0, 0, 1) for _ in range(3)]
    for each in engines:
        assert isinstance(each, CudaEngine)
        each.buffers(1)
    spans = []
    origin = torch.cuda.Event(enable_timing=True)
    origin.record()
    torch.cuda.synchronize()
    for _ in range(20):
        for each in engines:
            each.launch([images(1)])
        for each in engines:
            each.result()
        spans.append([(origin.elapsed_time(each._began), origin.elapsed_time(each._ended)) for each in engines])
    overlapping = sum(max(start for start, _ in row) < min(end for _, end in row) for row in spans)
    assert overlapping > 0
    for each in engines:
        each.close()


def test_one_thread_drives_all_and_changes_by_difference_lose_nothing(runtime: ServingRuntime, space: ConfigurationSpace, path: Path) -> None:
    if len(space.device.accelerators) < 2:
        pytest.skip("this GPU has no Tensor Cores")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = images(1)
    (expected,) = session.run(None, {"input": x})
    runtime.apply(Configuration((((1, 1), (0, 0)),)))
    futures: list[Future[Any]] = []
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            futures.append(runtime.submit(0, x[0]))
            if len(futures) % 16 == 0:
                futures[-1].result(60)

    thread = threading.Thread(target=client)
    thread.start()
    steps = [((2, 2), (0, 0)), ((2, 2), (3, 8)), ((4, 1), (1, 8)), ((0, 0), (2, 2)), ((1, 1), (1, 1))]
    changes = [runtime.apply(Configuration((step,))) for step in steps]
    assert [each.name for each in threading.enumerate()].count("stream-driver") == 1
    over.set()
    thread.join()
    assert [(change.kept, change.created, change.removed) for change in changes] == [(1, 1, 0), (2, 3, 0), (3, 2, 2), (1, 1, 4), (1, 1, 1)]
    scale = np.abs(expected).max()
    for future in futures:
        np.testing.assert_allclose(future.result(60)["logits"] / scale, expected[0] / scale, atol=5e-2)


def test_a_window_is_measured_and_device_time_lies_within_host_time(runtime: ServingRuntime) -> None:
    rest = [(0, 0)] * (len(runtime.space.device.accelerators) - 1)
    runtime.apply(Configuration((((2, 8), *rest),)))
    measurement = runtime.measure(0.5)
    assert measurement.throughput_ips[0] > 0
    assert measurement.threads == (1, 1)
    runtime.apply(Configuration((((1, 1), *rest),)))
    (instance,) = runtime._instances
    instance.watch()
    runtime.submit(0, images(1)[0]).result(10)
    assert instance.log is not None
    (record,) = instance.log
    assert 0 < record.device_s <= record.end_s - record.start_s


def test_out_of_memory_is_typed_and_the_old_configuration_serves_on(path: Path) -> None:
    """A gigabyte is left, and a batch of 4096 needs several."""
    space = ConfigurationSpace(local_gpu(), workload_of([read_network(path)]), 1, (1, 4096))
    with torch_runtime(space, [path], ServingOptions(), NoSensor()) as runtime:
        rest = [(0, 0)] * (len(space.device.accelerators) - 1)
        runtime.apply(Configuration((((1, 1), *rest),)))
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + 2**30) / total))
        try:
            with pytest.raises(ConfigurationFailed) as error:
                runtime.apply(Configuration((((1, 4096), *rest),)))
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        assert error.value.failure.kind is FailureKind.OUT_OF_MEMORY
        assert runtime.measure(0.2).throughput_ips[0] > 0
