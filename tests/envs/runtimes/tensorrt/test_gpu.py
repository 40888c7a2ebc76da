"""What only a real GPU or a real Jetson can show. `gpu` and `jetson` tests are skipped, with the reason, where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from envs.configuration import Configuration, ConfigurationSpace
from envs.errors import StorageError
from envs.measurement import ConfigurationFailed, FailureKind, Origin
from envs.network import Network
from envs.runtimes.measuring import ServingOptions
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.cuda import Cuda, can_capture
from envs.runtimes.tensorrt.device import jetson_device
from envs.runtimes.tensorrt.engine import TensorRTEngine
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory, tensorrt_runtime
from envs.runtimes.tensorrt.inspect import tensor_core_layers
from envs.runtimes.tensorrt.spec import BuildOptions, identity, spec_of
from envs.workload import workload_of
from tests.envs.runtimes.tensorrt.test_graph import run, values

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once for all tests here."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture
def space(small: tuple[Path, Network]) -> ConfigurationSpace:
    return ConfigurationSpace(jetson_device(), workload_of([small[1]]), 2, (1, 4))


@pytest.fixture
def factory(space: ConfigurationSpace, small: tuple[Path, Network], engines: Path) -> Iterator[TensorRTEngineFactory]:
    factory = TensorRTEngineFactory(space, [small[0]], engines, BuildOptions(level=1))
    yield factory
    factory.close()


def place(space: ConfigurationSpace, name: str) -> int:
    return space.device.accelerator_names.index(name)


def served(engine: TensorRTEngine, images: Any) -> Any:
    engine.launch([images])
    while not engine.done():
        pass
    return engine.result()[0]


def loaded(factory: TensorRTEngineFactory, position: int, batch: int) -> TensorRTEngine:
    engine = factory.load(0, position, 1)
    engine.buffers(batch)
    return engine


@pytest.mark.parametrize(("name", "tolerance"), [("cuda", 1e-4), ("tensor", 3e-2)])
def test_answers_are_those_of_the_network(
    factory: TensorRTEngineFactory, space: ConfigurationSpace, small: tuple[Path, Network], name: str, tolerance: float
) -> None:
    engine = loaded(factory, place(space, name), 4)
    for count in (4, 1, 3, 4):
        images = values(count, 3, 64, 64)
        expected = run(onnx.load(str(small[0])), images)[0]
        np.testing.assert_allclose(served(engine, images), expected, atol=tolerance * np.abs(expected).max())
    assert 0 < engine.elapsed_ms() < 1000
    engine.close()


def test_cuda_really_has_tf32_off(factory: TensorRTEngineFactory, space: ConfigurationSpace, small: tuple[Path, Network]) -> None:
    """TF32 keeps 10 bits of a product's factors: with it, FP32 results differ in the third or fourth digit, without in the sixth."""
    engine = loaded(factory, place(space, "cuda"), 4)
    images = values(4, 3, 64, 64)
    expected = run(onnx.load(str(small[0])), images)[0]
    assert np.abs(served(engine, images) - expected).max() < 5e-5 * np.abs(expected).max()
    inspector = engine._lanes[4]._plan.engine.create_engine_inspector()
    assert tensor_core_layers(inspector.get_engine_information(factory._bindings.trt.LayerInformationFormat.JSON)) == ()
    engine.close()


def test_full_batches_run_as_one_graph_where_cuda_python_is_there(factory: TensorRTEngineFactory, space: ConfigurationSpace) -> None:
    engine = loaded(factory, place(space, "cuda"), 4)
    assert engine._lanes[4].graph == can_capture()
    engine.close()


def test_instances_work_at_the_same_time_and_answer_rightly(factory: TensorRTEngineFactory, space: ConfigurationSpace, small: tuple[Path, Network]) -> None:
    """Launches return before the device is done, so that two contexts are in flight at once; neither spoils the other."""
    pair = [loaded(factory, place(space, "cuda"), 4) for _ in range(2)]
    model = onnx.load(str(small[0]))
    for _ in range(20):
        images = [values(4, 3, 64, 64) for _ in pair]
        for engine, batch in zip(pair, images, strict=True):
            engine.launch([batch])
        for engine, batch in zip(pair, images, strict=True):
            expected = run(model, batch)[0]
            np.testing.assert_allclose(engine.result()[0], expected, atol=1e-4 * np.abs(expected).max())
    for engine in pair:
        engine.close()


def test_batches_of_two_streams_overlap(factory: TensorRTEngineFactory, space: ConfigurationSpace) -> None:
    """By the device's own events: the second stream starts before the first has ended."""
    pair = [loaded(factory, place(space, "cuda"), 4) for _ in range(2)]
    images = values(4, 3, 64, 64)
    overlapped = 0
    for _ in range(30):
        for engine in pair:
            engine.launch([images])
        for engine in pair:
            engine.result()
        with factory._cuda.current():
            overlapped += pair[1]._start.time_till(pair[0]._end) > 0
    assert overlapped
    for engine in pair:
        engine.close()


def test_memory_comes_back(factory: TensorRTEngineFactory, space: ConfigurationSpace) -> None:
    from pycuda.driver import mem_get_info

    loaded(factory, place(space, "cuda"), 4).close()
    cuda = factory._cuda
    with cuda.current():
        before = mem_get_info()[0]
    for _ in range(10):
        loaded(factory, place(space, "cuda"), 4).close()
    with cuda.current():
        assert mem_get_info()[0] > before - (32 << 20)


def test_serves_as_a_runtime(space: ConfigurationSpace, small: tuple[Path, Network], engines: Path) -> None:
    def configuration(*pairs: tuple[int, int]) -> Configuration:
        return Configuration(((*pairs, *[(0, 0)] * (space.shape[1] - len(pairs))),))

    with tensorrt_runtime(space, [small[0]], engines, ServingOptions(), build_options=BuildOptions(level=1)) as runtime:
        runtime.apply(configuration((1, 1)))
        change = runtime.apply(configuration((2, 4), (1, 4)))
        assert (change.kept, change.created) == (1, 2)
        measured = runtime.measure(0.5)
        assert measured.origin is Origin.MEASURED
        tenant = measured.tenants[0]
        assert 0 < tenant.p50_ms <= tenant.p99_ms
        with pytest.raises(ConfigurationFailed) as caught:
            runtime.apply(configuration((3, 1)))
        assert caught.value.failure.kind is FailureKind.INVALID
        assert runtime.measure(0.5).throughput_ips[0] > 0


def test_an_engine_from_another_board_is_refused(
    factory: TensorRTEngineFactory, space: ConfigurationSpace, small: tuple[Path, Network], tmp_path: Path
) -> None:
    wanted = identity(small[1].sha256, spec_of("cuda", 1, BuildOptions(level=1), False), factory.host, BuildOptions(level=1))
    loaded(factory, place(space, "cuda"), 1).close()
    plan, notes = factory.cache.load(wanted) or (b"", {})
    other = wanted | {"host": wanted["host"] | {"gpu": "another GPU", "sm": 1}}
    path = tmp_path / "foreign.plan"
    path.write_bytes(plan)
    path.with_suffix(".json").write_text(json.dumps({"identity": other, "sha256": "", "notes": notes}))
    with pytest.raises(StorageError, match="was built on another GPU"):
        EngineCache(tmp_path / "cache").adopt(path, wanted)


def test_the_gpu_is_described(space: ConfigurationSpace) -> None:
    cuda = Cuda()
    with cuda.current():
        facts = cuda.facts()
    assert facts.sm >= 1
    assert facts.memory_mib > 1000
    assert "cuda" in space.device.accelerator_names


@pytest.mark.jetson
class TestJetson:
    @pytest.mark.parametrize("name", ["dla0", "dla1"])
    @pytest.mark.parametrize("io", ["native", "linear"])
    def test_a_dla_engine_answers_and_is_all_on_the_dla(
        self, space: ConfigurationSpace, small: tuple[Path, Network], engines: Path, name: str, io: str
    ) -> None:
        if name not in space.device.accelerator_names:
            pytest.skip("this board has one DLA core")
        factory = TensorRTEngineFactory(space, [small[0]], engines, BuildOptions(level=1, dla_io=io))
        engine = loaded(factory, place(space, name), 4)
        images = values(4, 3, 64, 64)
        expected = run(onnx.load(str(small[0])), images)[0]
        assert np.corrcoef(served(engine, images).ravel(), expected.ravel())[0, 1] > 0.9
        assert served(engine, images[:2]).shape == (2, 10)
        assert not engine._lanes[4].graph
        assert not engine.layers[4].fell_back, engine.layers[4].describe()
        engine.close()
        factory.close()

    def test_what_no_dla_takes_is_reported_as_fallback(self, tmp_path: Path, engines: Path) -> None:
        from envs.network import read_network
        from tests.envs.runtimes.tensorrt.test_graph import NODE, tail

        nodes = [NODE("Conv", ["x", "w"], ["c"]), NODE("Erf", ["c"], ["e"]), NODE("Conv", ["e", "v"], ["y"])]
        path = tmp_path / "erf.onnx"
        onnx.save(tail(nodes, {"w": values(8, 4, 1, 1), "v": values(8, 8, 1, 1)}, (8, 5, 5)), path)
        space = ConfigurationSpace(jetson_device(), workload_of([read_network(path)]), 1, (1,))
        factory = TensorRTEngineFactory(space, [path], engines, BuildOptions(level=1))
        engine = loaded(factory, place(space, "dla0"), 1)
        assert engine.layers[1].fell_back
        assert engine.layers[1].gpu
        engine.close()
        factory.close()

    def test_a_smaller_batch_has_an_engine_of_its_own(self, factory: TensorRTEngineFactory, space: ConfigurationSpace) -> None:
        engine = loaded(factory, place(space, "dla0"), 4)
        engine.buffers(1)
        served(engine, values(1, 3, 64, 64))
        one_ms = engine.elapsed_ms()
        served(engine, values(4, 3, 64, 64))
        assert engine._lanes[1].batch == 1
        assert one_ms > 0
        engine.close()
