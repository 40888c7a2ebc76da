"""A runtime over streamed sessions, for the tests of streams and of their memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.telemetry.none import NoSensor
from tests.envs.runtimes.serving.converters import SomeConvert
from tests.envs.runtimes.serving.streamed import StreamedFactory


@pytest.fixture
def runtime(factory: StreamedFactory) -> Iterator[ServingRuntime]:
    with ServingRuntime(factory._space, factory, NoSensor(), ServingOptions()) as runtime:
        yield runtime
        for session in getattr(factory, "sessions", ()):
            session.go_on.set()


@pytest.fixture
def mixed(factory: StreamedFactory, small_onnx: Path, cache: Path) -> SomeConvert:
    return SomeConvert(factory._space, [small_onnx], cache)
