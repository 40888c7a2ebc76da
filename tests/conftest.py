"""Fixtures that several rooms share: a real small network, and spaces and traces over it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from envs.catalog.architectures import build
from envs.configuration import ConfigurationSpace
from envs.device import local_computer
from envs.network import read_network
from envs.traces.reader import Trace
from envs.workload import workload_of
from tests.worlds import space, write_trace


@pytest.fixture(scope="session")
def small_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SqueezeNet 1.1 on small images: a real network that answers in a millisecond."""
    path = tmp_path_factory.mktemp("networks") / "small.onnx"
    onnx.save(build("squeezenet1_1", image_size=48, classes=10), path)
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keeps the quantised copy of the small network for the whole session."""
    return tmp_path_factory.mktemp("quantised")


@pytest.fixture(scope="session")
def live_space(small_onnx: Path) -> ConfigurationSpace:
    return ConfigurationSpace(local_computer(cores=1), workload_of([read_network(small_onnx)]), 2, (1, 4))


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """One tenant, every configuration."""
    return write_trace(tmp_path_factory.mktemp("traces") / "paper.parquet", space())


@pytest.fixture(scope="session")
def two_tenant_trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Two tenants and at most four instances: a limit that only whole configurations can break."""
    world = space(tenants=2, max_instances=2, batches=(1, 4), max_total_instances=4)
    return write_trace(tmp_path_factory.mktemp("traces") / "paper_two.parquet", world, power=True)
