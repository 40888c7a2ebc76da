"""Engines over the stand-ins that are built one by one, while others are loaded."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from envs.runtimes.tensorrt import builds as builds_module
from envs.runtimes.tensorrt.log import LogLines
from envs.spec import ConfigurationFailed, Network
from tests.envs.runtimes.tensorrt.test_graph import values
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, DLA1, TENSOR, World, served


@pytest.fixture
def world(small: tuple[Path, Network], tmp_path: Path) -> World:
    return World(small, tmp_path / "engines")


def test_one_engine_is_built_and_no_other(world: World) -> None:
    factory, told = world.factory, list[str]()
    assert not factory.built(0, DLA0, 4)
    factory.build(0, DLA0, 4, lambda at: told.append(at.describe()))
    assert [factory.built(0, DLA1, batch) for batch in (1, 4)] == [False, True]
    assert world.builds == 1
    assert told[0] == "building small on dla0, int8, batch 4: INT8 ranges"
    factory.build(0, DLA1, 4, lambda at: told.append("again"))
    assert world.builds == 1
    assert "again" not in told


def test_a_plan_that_was_cut_is_not_built(world: World) -> None:
    world.factory.build(0, CUDA, 1)
    (plan,) = world.cache.glob("*.plan")
    plan.write_bytes(plan.read_bytes()[:-1])
    assert not world.factory.built(0, CUDA, 1)
    world.engine(CUDA, 1)
    assert world.builds == 2


def test_a_damaged_plan_of_the_right_size_is_built_again_when_it_is_loaded(world: World) -> None:
    world.factory.build(0, CUDA, 1)
    (plan,) = world.cache.glob("*.plan")
    plan.write_bytes(bytes(len(plan.read_bytes())))
    assert world.factory.built(0, CUDA, 1), "a start does not read gigabytes"
    world.engine(CUDA, 1)
    assert world.builds == 2


def test_blocks_are_known_once_a_plan_was_loaded(world: World) -> None:
    assert world.factory.blocks(0, DLA0) == 1
    world.engine(DLA0, 1)
    assert world.factory.blocks(0, DLA1) == 1


def test_others_load_and_serve_while_an_engine_is_built(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.factory.build(0, CUDA, 1)
    real, entered, go_on = builds_module.build, threading.Event(), threading.Event()
    both = []

    def slow(*arguments: Any) -> Any:
        both.append(arguments[3].kind)
        entered.set()
        assert go_on.wait(60)
        return real(*arguments)

    monkeypatch.setattr(builds_module, "build", slow)
    threads = [threading.Thread(target=world.factory.build, args=(0, TENSOR, 1)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert entered.wait(60)
    assert served(world.engine(CUDA, 1), values(1, 3, 64, 64)).shape == (1, 10)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert world.factory.built(0, TENSOR, 1)
    assert len(both) == 1, "the second thread found what the first had built"


def test_a_plan_that_is_about_to_be_used_is_not_unloaded(world: World) -> None:
    plans = world.factory.plans
    with plans.in_use(0, DLA0, 1) as plan:
        plans.unload_unused()
        assert list(plans.loaded.values()) == [plan]
    plans.unload_unused()
    assert not plans.loaded


def test_a_failure_names_its_place(world: World) -> None:
    world.module.world.fail_build = "Error Code 10: no implementation"
    for accelerator, where in ((CUDA, "cuda at batch 4"), (DLA1, "dla1 at batch 4")):
        with pytest.raises(ConfigurationFailed) as caught:
            world.factory.build(0, accelerator, 4)
        failure = caught.value.failure
        assert failure.place == (0, accelerator, 4)
        assert f"engine of small for {where}: Error Code 10" in failure.reason


def in_thread(work: Any) -> Any:
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(work()))
    thread.start()
    thread.join(60)
    return result[0]


def test_lines_of_a_load_are_not_those_of_a_build() -> None:
    lines = LogLines()
    lines.clear(builds=True)
    lines.add("ERROR", "of the build")

    def load() -> str:
        lines.clear()
        lines.add("ERROR", "of the load")
        return lines.errors()

    assert in_thread(load) == "of the load"
    in_thread(lambda: lines.add("ERROR", "of a thread of the builder"))
    assert lines.errors() == "of a thread of the builder; of the build"
