"""Fixtures for tests of one thread that drives many engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from envs.graph.reading import read_network
from envs.runtimes.serving.load import sample_pool
from envs.spec import ConfigurationSpace, local_computer, workload_of
from tests.envs.runtimes.serving.streamed import StreamedFactory


@pytest.fixture
def factory(small_onnx: Path, cache: Path) -> StreamedFactory:
    # One core: every instance has one thread, whatever the configuration.
    space = ConfigurationSpace(
        local_computer(cores=1), workload_of([read_network(small_onnx)]), 6, (1, 4, 8)
    )
    return StreamedFactory(space, [small_onnx], cache)


@pytest.fixture(scope="session")
def samples(small_onnx: Path) -> list[np.ndarray]:
    return [sample[0] for sample in sample_pool(read_network(small_onnx), seed=5, count=16)]


@pytest.fixture
def expected(factory: StreamedFactory, samples: list[np.ndarray]) -> np.ndarray:
    """Return the answers of the graph and of its quantised copy, [accelerator, sample, class]."""
    sessions = [
        onnxruntime.InferenceSession(
            str(factory.file(0, accelerator).path), providers=["CPUExecutionProvider"]
        )
        for accelerator in (0, 1)
    ]
    return np.array(
        [
            [session.run(None, {"input": sample[None]})[0][0] for sample in samples]
            for session in sessions
        ]
    )
