"""Tests that need a real GPU: memory that comes back or runs out, failures, engines found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from envs.graph.reading import read_network
from envs.runtimes.tensorrt import builds as builds_module
from envs.runtimes.tensorrt.cuda import Cuda
from envs.runtimes.tensorrt.device import jetson_device
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.spec import ConfigurationFailed, ConfigurationSpace, FailureKind, Network, workload_of
from envs.testing.engines import build_every
from tests.envs.runtimes.hardware import serves_with_rtx
from tests.envs.runtimes.tensorrt.on_device import index_of, loaded, tensorrt_runtime
from tests.envs.runtimes.tensorrt.test_graph import NODE, tail
from tests.envs.runtimes.tensorrt.worlds import configuration

pytestmark = pytest.mark.gpu


def test_memory_comes_back(
    engine_factory: TensorRTEngineFactory,
    space: ConfigurationSpace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check that what was allocated is freed; the driver agrees where it has its own memory."""
    cuda, on = engine_factory._cuda, index_of(space, "cuda")
    loaded(engine_factory, on, 4).close()
    pieces: list[Any] = []
    allocate, pin = cuda.memory, cuda.pinned

    def allocated(size: int) -> Any:
        pieces.append(allocate(size))
        return pieces[-1]

    def pinned(shape: tuple[int, ...], dtype: Any) -> Any:
        array = pin(shape, dtype)
        pieces.append(array.base)
        return array

    monkeypatch.setattr(cuda, "memory", allocated)
    monkeypatch.setattr(cuda, "pinned", pinned)
    with cuda.current():
        shared, before_mib = cuda.facts().integrated, cuda.free_mib()
    for _ in range(10):
        loaded(engine_factory, on, 4).close()
    assert len(pieces) >= 40  # inputs and outputs, on both sides
    with cuda.current():
        for piece in pieces:
            with pytest.raises(cuda.driver.LogicError, match="invalid"):
                piece.free()
        assert shared or cuda.free_mib() > before_mib - 32


def test_engines_are_built_once_and_found_again(
    engine_factory: TensorRTEngineFactory,
    space: ConfigurationSpace,
    small: tuple[Path, Network],
    engines: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert build_every(engine_factory, space) == {}
    if not serves_with_rtx():  # which times nothing
        assert engine_factory.builds.cache.timings(engine_factory.builds.host)
    monkeypatch.setattr(
        builds_module, "build", lambda *arguments: pytest.fail("it was built again")
    )
    again = TensorRTEngineFactory(space, [small[0]], engines, BuildOptions(level=1))
    assert build_every(again, space) == {}
    again.close()


def test_what_tensorrt_cannot_build_is_a_typed_failure_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    onnx.save(tail([NODE("Det", ["x"], ["y"])], {}, (4,)), path)
    space = ConfigurationSpace(jetson_device(), workload_of([read_network(path)]), 1, (1,))
    for remembered in (False, True):
        factory = TensorRTEngineFactory(space, [path], tmp_path / "engines", BuildOptions(level=1))
        impossible = build_every(factory, space)
        assert set(impossible) == {(0, position) for position in range(space.shape[1])}
        assert ("remembered" in str(impossible[0, 0])) == remembered
        with pytest.raises(ConfigurationFailed) as caught:
            factory.load(0, 0, 1).buffers(1)
        assert caught.value.failure.kind is FailureKind.BUILD_FAILED
        factory.close()


def test_out_of_memory_is_typed_and_the_old_configuration_serves_on(
    small: tuple[Path, Network], engines: Path
) -> None:
    cuda = Cuda()
    with cuda.current():
        if cuda.facts().integrated:
            pytest.skip("its memory is the system's: filling it would end other programs")
    space = ConfigurationSpace(jetson_device(), workload_of([small[1]]), 1, (1, 256))
    with tensorrt_runtime(space, small[0], engines) as runtime:
        runtime.apply(configuration(space, (1, 1)))
        held, size = [], 1 << 30
        with cuda.current():
            while size >= 1 << 20:
                try:
                    held.append(cuda.memory(size))
                except MemoryError:
                    size //= 2
        try:
            with pytest.raises(ConfigurationFailed) as caught:
                runtime.apply(configuration(space, (1, 256)))
        finally:
            with cuda.current():
                for memory in held:
                    memory.free()
        assert caught.value.failure.kind is FailureKind.OUT_OF_MEMORY
        assert runtime.measure(0.2).throughput_ips[0] > 0


def test_the_gpu_is_described(space: ConfigurationSpace) -> None:
    cuda = Cuda()
    with cuda.current():
        facts, free_mib = cuda.facts(), cuda.free_mib()
    assert facts.sm >= 1
    assert facts.clock_mhz > 100
    assert facts.l2_mib > 0
    assert facts.driver_version >= 11_000
    assert 0 < free_mib <= facts.memory_mib
    assert facts.memory_mib > 1000
    assert "cuda" in space.device.accelerator_names
