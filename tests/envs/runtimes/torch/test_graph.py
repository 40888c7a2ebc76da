"""Every architecture that `python -m tuner.networks` writes: PyTorch gives what ONNX Runtime gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from envs.catalog.architectures import ARCHITECTURES, build
from envs.network import read_network
from envs.runtimes.torch.engines import CpuEngine
from envs.runtimes.torch.graph import read_torch_graph


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_fp32_gives_the_same_and_half_precision_nearly(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    onnx.save(build(name, image_size=64, classes=10), path)
    network = read_network(path)
    graph = read_torch_graph(path, network)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(1).standard_normal((3, 3, 64, 64)).astype(np.float32)
    (expected,) = session.run(None, {"input": images})
    (exact,) = CpuEngine(graph, network, half=False).run([images])
    (rounded,) = CpuEngine(graph, network, half=True).run([images])
    scale = np.abs(expected).max()
    assert exact.dtype == rounded.dtype == np.float32
    np.testing.assert_allclose(exact / scale, expected / scale, atol=2e-5)
    np.testing.assert_allclose(rounded / scale, expected / scale, atol=0.25)  # bfloat16 has 8 bits
    assert np.abs(rounded - exact).max() > 0, "it is another arithmetic"


def test_memory_of_the_caller_is_read_only_and_stays_his(small_onnx: Path) -> None:
    network = read_network(small_onnx)
    engine = CpuEngine(read_torch_graph(small_onnx, network), network, half=False)
    image = np.random.default_rng(0).standard_normal((1, 3, 48, 48)).astype(np.float32)
    image.setflags(write=False)
    (first,) = engine.run([image])
    before = first.copy()
    engine.run([np.ones((1, 3, 48, 48), np.float32)])
    np.testing.assert_array_equal(first, before)


def test_tensors_that_nobody_needs_are_let_go(small_onnx: Path) -> None:
    """The most that is alive at once is what the network's own figure says, within the two tensors around a node."""
    network = read_network(small_onnx)
    graph = read_torch_graph(small_onnx, network)
    spent = {name for step in graph.steps for name in step.spent}
    made = {name for step in graph.steps for name in step.outputs}
    assert spent == (made | set(graph.inputs)) - set(graph.outputs)
    assert all(isinstance(weight, torch.Tensor) for weight in graph.weights.values())
