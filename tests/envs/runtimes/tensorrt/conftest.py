"""What is missing here to run what needs hardware, and the networks that several tests build engines of."""

from __future__ import annotations

import importlib
from pathlib import Path

import onnx
import pytest

from envs.catalog.graph_builder import GraphBuilder
from envs.network import Network, read_network


def missing_for_gpu() -> str:
    """Why engines cannot run here; empty where they can."""
    from envs.errors import DependencyError
    from envs.runtimes.tensorrt.cuda import Cuda
    from envs.runtimes.tensorrt.versions import load_bindings

    try:
        Cuda()
        load_bindings()
    except DependencyError as error:
        return str(error)
    return ""


def missing_for_jetson() -> str:
    """Why no DLA can be used here; empty where one can."""
    reason = missing_for_gpu()
    if reason:
        return reason
    from envs.runtimes.tensorrt.versions import load_bindings

    return "" if load_bindings().dla_cores() else "this TensorRT finds no DLA core"


@pytest.fixture(autouse=True)
def _hardware(request: pytest.FixtureRequest) -> None:
    for marker, missing in (("gpu", missing_for_gpu), ("jetson", missing_for_jetson)):
        if request.node.get_closest_marker(marker) is not None and (reason := missing()):
            pytest.skip(reason)


@pytest.fixture(scope="session")
def rtx() -> object:
    """TensorRT-RTX, whose parser and builder need no GPU."""
    try:
        return importlib.import_module("tensorrt_rtx")
    except ImportError:
        pytest.skip("tensorrt_rtx is not installed: pip install 'orin-tuner[rtx]'")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network]:
    """A residual network of a few layers that has all that matters here: normalisations, both kinds of pool, a sum and a fully connected layer."""
    graph = GraphBuilder(0)
    x = graph.relu(graph.batch_norm(graph.conv("input", 16, 3, 2, pad=1, rectified=False)))
    x = graph.relu(graph.conv(graph.max_pool(x, 3, 2, pad=1), 32, 3, 2, pad=1, bias=True))
    x = graph.relu(graph.add(graph.batch_norm(graph.conv(x, 32, 3, pad=1), 0.3), x))
    x = graph.linear(graph.flatten(graph.global_average(x)), 10)
    path = tmp_path_factory.mktemp("networks") / "small.onnx"
    onnx.save(graph.model("small", x, 64), path)
    return path, read_network(path)
