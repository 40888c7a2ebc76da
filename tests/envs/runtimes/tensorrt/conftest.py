"""Skips tests whose hardware is missing; networks that several tests build engines of."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from envs.catalog.graph_builder import GraphBuilder
from envs.graph.reading import read_network
from envs.runtimes.tensorrt.device import jetson_device
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.spec import ConfigurationSpace, Network, workload_of
from tests.envs.runtimes.hardware import missing_for_dla, missing_for_tensorrt
from tests.envs.runtimes.tensorrt.mixed import PLACES, Mixed, seven_layers_in
from tests.envs.runtimes.tensorrt.modes import Modes


@pytest.fixture(autouse=True)
def _hardware(request: pytest.FixtureRequest) -> None:
    for marker, missing in (("gpu", missing_for_tensorrt), ("jetson", missing_for_dla)):
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
    """Make a small residual network with normalisations, both kinds of pool and a linear layer."""
    graph = GraphBuilder(0)
    x = graph.relu(graph.batch_norm(graph.conv("input", 16, 3, 2, pad=1, rectified=False)))
    x = graph.relu(graph.conv(graph.max_pool(x, 3, 2, pad=1), 32, 3, 2, pad=1, bias=True))
    x = graph.relu(graph.add(graph.batch_norm(graph.conv(x, 32, 3, pad=1), 0.3), x))
    x = graph.linear(graph.flatten(graph.global_average(x)), 10)
    path = tmp_path_factory.mktemp("networks") / "small.onnx"
    onnx.save(graph.model("small", x, 64), path)
    return path, read_network(path)


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep engines for all tests on the device."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture
def space(small: tuple[Path, Network]) -> ConfigurationSpace:
    return ConfigurationSpace(jetson_device(), workload_of([small[1]]), 2, (1, 4))


@pytest.fixture
def engine_factory(
    space: ConfigurationSpace, small: tuple[Path, Network], engines: Path
) -> Iterator[TensorRTEngineFactory]:
    factory = TensorRTEngineFactory(space, [small[0]], engines, BuildOptions(level=1))
    yield factory
    factory.close()


@pytest.fixture
def modes(small: tuple[Path, Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Modes:
    return Modes(small, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def seven_layers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network]:
    return seven_layers_in(tmp_path_factory.mktemp("networks"))


@pytest.fixture
def mixed(seven_layers: tuple[Path, Network], tmp_path: Path) -> Mixed:
    return Mixed(seven_layers, tmp_path / "engines", accelerators=PLACES)
