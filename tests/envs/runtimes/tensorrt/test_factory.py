"""The factory over the stand-ins: engines that are built, kept, loaded, shared and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from envs.accuracy.half import to_fp16
from envs.errors import ConfigurationError, NetworkError
from envs.graph.reading import read_network
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.tensorrt import builds as builds_module
from envs.runtimes.tensorrt import calibrations as calibrations_module
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.graph import with_batch
from envs.runtimes.tensorrt.progress import BuildProgress
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import Configuration, ConfigurationFailed, FailureKind, Network
from envs.telemetry.sensors import probe_sensor
from envs.testing.engines import build_every
from tests.envs.runtimes.tensorrt.test_graph import values
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, DLA1, World, served


@pytest.fixture
def world(small: tuple[Path, Network], tmp_path: Path) -> World:
    return World(small, tmp_path / "engines")


def test_each_dla_core_has_a_runtime_of_its_own(world: World) -> None:
    engines = [world.engine(accelerator, 1) for accelerator in (CUDA, DLA0, DLA1)]
    assert [engine._lanes[1]._plan.engine._core for engine in engines] == [-1, 0, 1]
    assert world.builds == 2  # both cores run the same plan


def test_dla_plans_go_with_their_last_instance_and_gpu_plans_stay(world: World) -> None:
    first, second, other = world.engine(DLA0, 1), world.engine(DLA0, 1), world.engine(CUDA, 1)
    first.close()
    assert len(world.factory.plans.loaded) == 2
    second.close()
    other.close()
    assert [plan.spec.label for plan in world.factory.plans.loaded.values()] == ["cuda"]
    assert world.driver.live == 0
    second.close()
    world.factory.close()


def test_a_dla_plan_goes_with_the_last_batch_of_its_size(world: World) -> None:
    """A core holds 16 of them only, so that unused plans are unloaded at once."""
    first, second = world.engine(DLA0, 1, 4), world.engine(DLA0, 1)
    sizes = [[plan.spec.batch for plan in world.factory.plans.loaded.values()]]
    for engine in (first, second):
        engine.buffers(4)
        engine.keep(4)
        sizes.append([plan.spec.batch for plan in world.factory.plans.loaded.values()])
    assert sizes == [[1, 4], [1, 4], [4]]
    assert served(first, values(4, 3, 64, 64)).shape == (4, 10)


def test_every_engine_is_built_once(world: World) -> None:
    told: list[BuildProgress] = []
    world.factory.build(0, CUDA, 1, told.append)
    assert told[0].what == "small on cuda, fp32, batches 1, 4"
    assert world.build_every() == {}
    assert world.builds == 4  # cuda, tensor, and DLA plans of two sizes for both cores
    assert build_every(world.again(), world.space) == {}
    assert world.builds == 4


def test_a_failed_build_masks_its_choice_until_it_is_forgotten(world: World) -> None:
    build = world.module.world
    build.fail_build = "Error Code 10: no implementation"
    impossible = world.build_every()
    assert set(impossible) == {(0, accelerator) for accelerator in range(4)}
    assert "no implementation" in str(impossible[0, DLA0])
    of_other_core = str(impossible[0, DLA0]).replace("dla0", "dla1")
    assert str(impossible[0, DLA1]) == of_other_core, "one reason for the same plan"
    build.fail_build = ""
    builds = world.builds
    factory = world.again()
    assert set(build_every(factory, world.space)) == set(impossible)
    assert world.builds == builds
    with pytest.raises(ConfigurationFailed, match="remembered from an earlier build") as caught:
        factory.load(0, CUDA, 1).buffers(1)
    assert caught.value.failure.kind is FailureKind.BUILD_FAILED
    for failure in world.cache.glob("*.failed.json"):
        failure.unlink()
    assert build_every(factory, world.space) == {}


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc")])
def test_a_build_that_broke_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Memory may have been short; unlike a refusal, that says nothing about the next attempt."""

    def broke(*arguments: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Bindings, "set_precision", broke)
        assert set(world.build_every()) == {(0, accelerator) for accelerator in range(4)}
    assert build_every(world.again(), world.space) == {}


@pytest.mark.parametrize(
    ("cause", "again"), [(MemoryError(), True), (ValueError("no such operator"), False)]
)
def test_ranges_that_memory_was_too_short_for_are_found_the_next_time(
    world: World, monkeypatch: pytest.MonkeyPatch, cause: Exception, again: bool
) -> None:
    def broke(*arguments: Any) -> None:
        raise NetworkError("small cannot be run to find its INT8 ranges") from cause

    with monkeypatch.context() as patch:
        patch.setattr(calibrations_module, "calibrate", broke)
        impossible = world.build_every()
        assert impossible
    assert set(build_every(world.again(), world.space)) == (set() if again else set(impossible))


def test_one_size_that_fails_masks_no_accelerator(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builds_module.build

    def some(*arguments: Any) -> Any:
        if arguments[3].batch == 4:
            raise builds_module.failed(arguments[2], arguments[3], "too large")
        return real(*arguments)

    monkeypatch.setattr(builds_module, "build", some)
    assert world.build_every() == {}
    engine = world.engine(DLA0, 1)
    with pytest.raises(ConfigurationFailed, match="dla0 at batch 4: too large"):
        engine.buffers(4)
    assert served(engine, values(1, 3, 64, 64)).shape == (
        1,
        10,
    )  # the size that has run before still does


def test_a_damaged_engine_is_built_again(world: World) -> None:
    world.build_every()
    for plan in world.cache.glob("*.plan"):
        plan.write_bytes(plan.read_bytes()[:-1])
    assert build_every(world.again(), world.space) == {}
    assert world.builds == 8


def test_ranges_are_found_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = calibrations_module.calibrate
    monkeypatch.setattr(
        calibrations_module, "calibrate", lambda *arguments: calls.append(1) or real(*arguments)
    )
    world.build_every()
    build_every(world.again(), world.space)
    assert len(calls) == 1


def test_a_file_that_changed_is_refused(
    world: World, small: tuple[Path, Network], tmp_path: Path
) -> None:
    changed = tmp_path / "changed.onnx"
    onnx.save(with_batch(onnx.load(str(small[0])), 2).model, changed)
    world.path = changed
    assert "has changed since it was read" in str(build_every(world.again(), world.space)[0, CUDA])
    world.path = small[0]
    assert build_every(world.again(), world.space) == {}, (
        "once the file is back, so are the engines"
    )


@pytest.mark.parametrize("version", ["10.3.0", "11.4.0"])
def test_a_file_in_half_precision_is_refused_for_cuda_alone(
    version: str, small: tuple[Path, Network], tmp_path: Path
) -> None:
    """From 11 on the file decides the types: `cuda` would silently run on Tensor Cores."""
    path = tmp_path / "half.onnx"
    onnx.save(to_fp16(onnx.load(str(small[0])), ends=True), path)
    world = World(
        (path, read_network(path)),
        tmp_path / "engines",
        version,
        batches=(1,),
        precisions={"dla0": "fp16", "dla1": "fp16"},
    )
    impossible = world.build_every()
    assert set(impossible) == {(0, CUDA)}
    assert "give the FP32 file" in str(impossible[0, CUDA])


def test_where_layers_run_is_told_of_every_instance(world: World) -> None:
    world.engine(DLA0, 1, 4)
    world.engine(CUDA, 1)
    (tenant, accelerator, layers), (_, gpu, on_gpu) = world.factory.placements()
    assert (tenant, accelerator, gpu) == ("small", "dla0", "cuda")
    assert {batch: each.fell_back for batch, each in layers.items()} == {1: False, 4: False}
    assert on_gpu[1].dla == ()


def test_number_of_files_is_checked(world: World) -> None:
    with pytest.raises(ConfigurationError, match="0 ONNX files for 1 tenants"):
        TensorRTEngineFactory(
            world.space, [], world.cache, None, Bindings(world.module), world.cuda
        )  # type: ignore[arg-type]


def test_serves_as_a_runtime_and_changes_by_difference(world: World) -> None:
    world.build_every()
    with ServingRuntime(
        world.space,
        world.factory,
        probe_sensor(),
        ServingOptions(batches_per_window=1, requests_per_window=1),
    ) as runtime:
        first = Configuration((((1, 1), (0, 0), (1, 1), (0, 0)),))
        assert runtime.apply(first).created == 2
        change = runtime.apply(Configuration((((2, 4), (0, 0), (1, 1), (1, 4)),)))
        assert (change.kept, change.created, change.removed) == (2, 2, 0)
        measured = runtime.measure(0.2)
        assert measured.throughput_ips[0] > 0
        image = values(3, 64, 64)
        answer = runtime.submit(0, image).result(60)
        assert answer["logits"].shape == (10,)
        assert runtime.apply(first).removed == 2
    assert world.driver.live == 0
