"""Plans over the stand-ins that TensorRT does not load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envs.spec import ConfigurationFailed, FailureKind, Network
from tests.envs.runtimes.tensorrt.test_graph import values
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, World, served
from tests.standins.tensorrt import engines as engines_of_stand_ins
from tests.standins.tensorrt.faults import NO_LOADABLE, NO_MEMORY, OTHER_RELEASE


@pytest.fixture
def world(small: tuple[Path, Network], tmp_path: Path) -> World:
    return World(small, tmp_path / "engines")


def refuse_every_plan(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    def refuse(self: Any, plan: bytes) -> None:
        self._world.log(reason)

    monkeypatch.setattr(engines_of_stand_ins.Runtime, "deserialize_cuda_engine", refuse)


@pytest.mark.parametrize("accelerator", [CUDA, DLA0])
def test_a_plan_of_another_release_is_removed_and_built_once(
    world: World, accelerator: int, caplog: pytest.LogCaptureFixture
) -> None:
    world.factory.build(0, accelerator, 4)
    world.module.world.faults.release = "another"
    again = world.again()
    assert again.built(0, accelerator, 4)
    world.factory = again
    assert served(world.engine(accelerator, 4), values(4, 3, 64, 64)).shape == (4, 10)
    assert world.builds == 2
    assert "cannot be loaded and is removed: IRuntime::deserializeCudaEngine" in caplog.text
    world.factory = world.again()
    world.engine(accelerator, 4)
    assert world.builds == 2, "the new plan is kept"


def test_plans_of_two_modes_that_are_refused_are_built_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = world.factory.builds
    wanted = builds.identity(0, CUDA, 1)
    for mode in ("15W", "30W"):
        other = {**wanted, "host": {**wanted["host"], "power_mode": mode}}
        builds.cache.keep(other, b'{"version": "9"}\nplan', {})
    assert served(world.engine(CUDA, 1), values(1, 3, 64, 64)).shape == (1, 10)
    assert world.builds == 1
    assert len(list(world.cache.glob("*.plan"))) == 1


def test_a_new_plan_that_is_refused_is_a_failure_of_its_accelerator(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.factory.build(0, DLA0, 1)
    refuse_every_plan(monkeypatch, OTHER_RELEASE)
    engine = world.engine(DLA0)
    for _ in range(2):
        with pytest.raises(ConfigurationFailed, match="dla0 at batch 1: it cannot be loaded") as e:
            engine.buffers(1)
        assert "although it was just built" in e.value.failure.reason
        assert "Version tag does not match" in e.value.failure.reason
        assert e.value.failure.place == (0, DLA0, 1)
    assert world.builds == 2, "it is not built for ever"
    monkeypatch.undo()
    world.factory = world.again()
    world.engine(DLA0, 1)
    assert world.builds == 3, "the next process tries it once more"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (f"Error Code 1: Cuda Runtime ({NO_MEMORY})", FailureKind.OUT_OF_MEMORY),
        ("Error Code 2: OutOfMemory (Requested size was 9 bytes.)", FailureKind.OUT_OF_MEMORY),
        (NO_LOADABLE, FailureKind.BUILD_FAILED),
        (
            "Error Code 1: Cuda Runtime (an illegal memory access was encountered)",
            FailureKind.BUILD_FAILED,
        ),
    ],
)
def test_a_plan_is_kept_where_the_device_is_to_blame(
    world: World, monkeypatch: pytest.MonkeyPatch, reason: str, kind: FailureKind
) -> None:
    world.factory.build(0, DLA0, 1)
    with monkeypatch.context() as patch:
        refuse_every_plan(patch, reason)
        with pytest.raises(ConfigurationFailed, match="the engine cannot be loaded") as caught:
            world.engine(DLA0, 1)
    assert caught.value.failure.kind is kind
    assert caught.value.failure.place == (0, DLA0, 1)
    world.engine(DLA0, 1)
    assert world.builds == 1
