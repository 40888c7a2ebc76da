"""Builds over the stand-ins that take long, never end, or end their process."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs.runtimes.tensorrt import worker as worker_module
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.markers import marked, why_dangerous
from envs.runtimes.tensorrt.progress import BuildProgress, BuildWatch
from envs.runtimes.tensorrt.spec import EngineSpec
from envs.runtimes.tensorrt.times import BuildTimes
from envs.spec import ConfigurationFailed, Kind, Network
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, DLA1, TENSOR, World
from tests.standins.tensorrt import module as module_of_stand_ins


@pytest.fixture
def go_on() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def building(
    monkeypatch: pytest.MonkeyPatch, before: Callable[[Any], bool]
) -> Callable[[Any], bool]:
    """Let the stand-in's builder do something first; it gives no plan if that returns False."""
    real = module_of_stand_ins._Builder.build_serialized_network

    def build(self: Any, network: Any, config: Any) -> Any:
        return real(self, network, config) if before(config) else None

    monkeypatch.setattr(module_of_stand_ins._Builder, "build_serialized_network", build)
    return before


def test_a_build_past_its_limit_ends_and_is_tried_by_the_next_process(
    small: tuple[Path, Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steps_for_ever(config: Any) -> bool:
        config.progress_monitor.phase_start("Tactic selection", "", 12)
        while config.progress_monitor.step_complete("Tactic selection", 2):
            pass
        return False

    world = World(small, tmp_path / "engines", limit_s=0.05)
    with monkeypatch.context() as patch:
        building(patch, steps_for_ever)
        with pytest.raises(ConfigurationFailed) as caught:
            world.factory.build(0, CUDA, 1)
    assert "last in 'Tactic selection'), more than build_limit_s=0.05" in str(caught.value)
    with pytest.raises(ConfigurationFailed, match="more than build_limit_s"):
        world.factory.build(0, CUDA, 1)
    world.options.limit_s = 60.0
    world.again().build(0, CUDA, 1)


def test_a_build_that_cannot_be_ended_is_left_and_nothing_else_is_built_meanwhile(
    small: tuple[Path, Network],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    go_on: threading.Event,
) -> None:
    world = World(small, tmp_path / "engines", "8.6.1", limit_s=0.05)
    building(monkeypatch, lambda config: go_on.wait(60))
    with pytest.raises(ConfigurationFailed, match=r"more than build_limit_s=0.05"):
        world.factory.build(0, CUDA, 1)
    with pytest.raises(
        ConfigurationFailed, match="small on cuda, fp32, batches 1, 4 went past its"
    ):
        world.factory.build(0, TENSOR, 1)
    go_on.set()
    worker = world.factory.builds._worker
    assert worker._left is not None
    worker._left[1].join(60)
    world.factory.build(0, TENSOR, 1)


def test_progress_is_told_while_it_builds(
    small: tuple[Path, Network],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    go_on: threading.Event,
) -> None:
    def two_phases(config: Any) -> bool:
        config.progress_monitor.phase_start("Building Engine", "", 12)
        config.progress_monitor.step_complete("Building Engine", 2)
        config.progress_monitor.phase_start("Tactic selection", "Building Engine", 500)
        config.progress_monitor.step_complete("Tactic selection", 7)
        go_on.wait(60)
        config.progress_monitor.phase_finish("Tactic selection")
        config.progress_monitor.phase_finish("Building Engine")
        return True

    monkeypatch.setattr(worker_module, "TICK_S", 0.01)
    building(monkeypatch, two_phases)
    told: list[BuildProgress] = []

    def step(at: BuildProgress) -> None:
        told.append(at)
        if at.phase == "Tactic selection":
            go_on.set()

    World(small, tmp_path / "engines").factory.build(0, CUDA, 1, step)
    inner = next(each for each in told if each.phase == "Tactic selection")
    assert (inner.what, inner.phase_done, inner.phase_total) == (
        "small on cuda, fp32, batches 1, 4",
        3,
        12,
    )


def test_progress_in_words() -> None:
    at = BuildProgress(
        "squeezenet on tensor, fp16, batch 4", "Tactic selection", 3, 12, 41.2, 130.0
    )
    assert at.describe() == (
        "building squeezenet on tensor, fp16, batch 4: Tactic selection 3 of 12, 41 s,"
        " about 2 min left"
    )
    unknown = replace(at, phase="", remaining_s=math.nan)
    assert unknown.describe() == "building squeezenet on tensor, fp16, batch 4: 41 s"
    assert replace(unknown, elapsed_s=0.0).describe().endswith("batch 4")


def test_the_rest_is_unknown_once_a_build_takes_longer_than_usual() -> None:
    assert BuildWatch("x", usual_s=100.0).progress().remaining_s == pytest.approx(100, abs=5)
    assert math.isnan(BuildWatch("x", usual_s=0.0).progress().remaining_s)
    assert math.isnan(BuildWatch("x").progress().remaining_s)


def test_usual_times_are_those_of_the_closest_batch(tmp_path: Path) -> None:
    times, spec = BuildTimes(EngineCache(tmp_path)), EngineSpec(Kind.TENSOR_CORES, "fp16", 1, False)
    assert math.isnan(times.usual_s("ab" * 32, spec))
    times.keep("ab" * 32, spec, 10.0)
    times.keep("ab" * 32, replace(spec, batch=8), 80.0)
    again = BuildTimes(EngineCache(tmp_path))
    found = [again.usual_s("ab" * 32, replace(spec, batch=batch)) for batch in (1, 2, 8, 16)]
    assert found == [10.0, 10.0, 80.0, 80.0]
    assert math.isnan(again.usual_s("cd" * 32, spec))
    assert math.isnan(again.usual_s("ab" * 32, replace(spec, precision="int8")))


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', '{"x 1": "soon"}', '{"x 1": NaN}', "{"])
def test_times_that_somebody_spoilt_are_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "build-times.json").write_text(content)
    times, spec = BuildTimes(EngineCache(tmp_path)), EngineSpec(Kind.TENSOR_CORES, "fp16", 1, False)
    assert math.isnan(times.usual_s("ab" * 32, spec))
    times.keep("ab" * 32, spec, 10.0)
    assert times.usual_s("ab" * 32, spec) == 10.0


IDENTITY = {"network": "ab" * 32}

DIES = """
import os, signal, sys
from pathlib import Path
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.markers import marked
with marked(EngineCache(Path(sys.argv[1])), {"network": "ab" * 32}):
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(0)
"""


def process_that(ends: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(folder), ends], check=False, timeout=600)


def test_a_build_that_ended_its_process_twice_is_not_tried_again(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    process_that("killed", tmp_path)
    assert why_dangerous(cache, IDENTITY) == "", "memory may have been short by chance"
    process_that("killed", tmp_path)
    reason = why_dangerous(cache, IDENTITY)
    assert "the process ended 2 times while it was built" in reason
    mark = cache.mark_path(IDENTITY)
    assert f"remove {mark} to try again" in reason
    mark.unlink()
    assert why_dangerous(cache, IDENTITY) == ""


def test_a_process_that_is_stopped_leaves_no_mark(tmp_path: Path) -> None:
    process_that("stopped", tmp_path)
    assert not list(tmp_path.glob("*.building"))


def test_a_build_that_goes_on_elsewhere_is_no_dead_one(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    with marked(cache, IDENTITY):
        assert (cache.mark(IDENTITY) or {})["pid"] == os.getpid()
        for _ in range(3):
            assert why_dangerous(cache, IDENTITY) == ""
    assert cache.mark(IDENTITY) is None


def test_the_factory_refuses_what_killed_it_and_says_the_file(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    world = World(small, tmp_path / "engines")
    cache = world.factory.builds.cache
    wanted = world.factory.builds.identity(0, DLA0, 1)
    cache.keep_mark(wanted, {"pid": os.getpid(), "process": "1 before this boot", "tries": 2})
    with pytest.raises(ConfigurationFailed, match=r"remove .*\.building to try again"):
        world.factory.build(0, DLA0, 1)
    cache.keep_mark(wanted, {"pid": os.getpid(), "process": "1 before this boot", "tries": 1})
    world.factory.build(0, DLA0, 1)
    assert not list(world.cache.glob("*.building"))


@pytest.mark.parametrize("mark", [[], {"pid": "1", "tries": 9}, {"pid": -1, "tries": 9}, {}])
def test_marks_that_somebody_spoilt_count_for_nothing(tmp_path: Path, mark: Any) -> None:
    cache = EngineCache(tmp_path)
    cache.mark_path(IDENTITY).write_text(json.dumps(mark))
    assert why_dangerous(cache, IDENTITY) == ""


def ended_once(world: World, accelerator: int, batch: int) -> None:
    cache, wanted = world.factory.builds.cache, world.factory.builds.identity(0, accelerator, batch)
    with marked(cache, wanted):
        mark = cache.mark(wanted)
    assert mark is not None
    cache.keep_mark(wanted, mark | {"process": "1 before this boot"})


def test_what_ended_two_processes_is_not_tried_at_other_batch_sizes(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    world = World(small, tmp_path / "engines", batches=(1, 2, 4))
    builds = world.factory.builds
    for batch in (1, 4):
        ended_once(world, DLA0, batch)
    for accelerator in (DLA0, DLA1):
        with pytest.raises(ConfigurationFailed, match="2 times while engines like it were built"):
            world.factory.build(0, accelerator, 2)
    wanted = builds.identity(0, DLA0, 2)
    assert why_dangerous(builds.cache, wanted)
    assert not why_dangerous(builds.cache, wanted | {"network": "cd" * 32})
    for accelerator in (CUDA, TENSOR):
        world.factory.build(0, accelerator, 1)


@pytest.mark.parametrize("built", [False, True])
def test_a_precision_that_ends_processes_leaves_the_others_where_one_of_them_was_built(
    small: tuple[Path, Network], tmp_path: Path, built: bool
) -> None:
    world = World(small, tmp_path / "engines")
    if built:
        world.factory.build(0, TENSOR, 1)
    for _ in range(2):
        ended_once(world, CUDA, 1)
    mark = world.factory.builds.cache.mark(world.factory.builds.identity(0, CUDA, 1))
    assert (mark or {})["tries"] == 2
    with pytest.raises(ConfigurationFailed, match="the process ended 2 times"):
        world.factory.build(0, CUDA, 1)
    wanted = world.factory.builds.identity(0, TENSOR, 1)
    fp16 = wanted | {"engine": wanted["engine"] | {"batch": 16}}
    assert bool(why_dangerous(world.factory.builds.cache, fp16)) != built
