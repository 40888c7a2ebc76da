"""Engines of another power mode serve until those of the present one are built."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.spec import BuildHost, BuildOptions, EngineSpec, identity
from envs.spec import Kind
from tests.envs.runtimes.tensorrt.modes import Modes
from tests.envs.runtimes.tensorrt.test_graph import values
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, served

HOST = BuildHost("10.3.0", "Orin", "8.7", 8, "30W", "36.4.3", "abc", 12060)
SPEC = EngineSpec(Kind.TENSOR_CORES, "fp16", 4, False, profiles=(1, 4))


@pytest.mark.parametrize("accelerator", [CUDA, DLA0])
def test_a_start_in_another_mode_builds_nothing_until_it_is_asked_to(
    modes: Modes, accelerator: int, caplog: pytest.LogCaptureFixture
) -> None:
    modes.world.factory.build(0, accelerator, 4)
    world = modes.restart("15W")
    factory = world.factory
    assert factory.built(0, accelerator, 4)
    assert factory.borrowed(0, accelerator, 4) == "30W"
    factory.build(0, accelerator, 4)
    old = world.engine(accelerator, 4)
    assert world.builds == 1
    assert "power mode 30W serves until that of 15W is built" in caplog.text
    factory.renew(0, accelerator, 4)
    assert world.builds == 2
    assert factory.borrowed(0, accelerator, 4) == "30W", "it is still in memory"
    new = world.engine(accelerator, 4)
    assert factory.borrowed(0, accelerator, 4) == ""
    plans = [engine._lanes[4]._plan for engine in (old, new)]
    assert [plan.host["power_mode"] for plan in plans] == ["30W", "15W"]
    for engine in (old, new):
        assert served(engine, values(2, 3, 64, 64)).shape == (2, 10)
        engine.close()
    assert world.driver.live == 0


def test_the_mode_changes_twice_while_serving(modes: Modes) -> None:
    factory, world = modes.world.factory, modes.world
    first = world.engine(CUDA, 1)
    assert not factory.refresh_host()
    modes.mode = "15W"
    assert factory.refresh_host()
    assert factory.borrowed(0, CUDA, 1) == "30W"
    factory.renew(0, CUDA, 1)
    modes.mode = "30W"
    assert factory.refresh_host()
    assert factory.borrowed(0, CUDA, 1) == ""
    second = world.engine(CUDA, 1)
    assert world.builds == 2
    assert first._lanes[1]._plan is second._lanes[1]._plan


def test_an_engine_of_fewer_multiprocessors_is_not_borrowed(
    modes: Modes, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes.world.factory.build(0, CUDA, 1)
    world = modes.restart("15W")
    world.factory.builds.host = replace(world.factory.builds.host, sm=4)
    assert not world.factory.built(0, CUDA, 1)
    assert world.factory.borrowed(0, CUDA, 1) == ""


def test_a_borrowed_engine_that_cannot_be_loaded_is_built(modes: Modes) -> None:
    modes.world.factory.build(0, CUDA, 1)
    world = modes.restart("15W")
    cache = world.factory.builds.cache
    kept = world.factory.builds.usable(0, CUDA, 1)
    assert kept is not None
    cache.keep(kept, b'{"version": "9"}\nplan', {})
    assert served(world.engine(CUDA, 1), values(1, 3, 64, 64)).shape == (1, 10)
    assert world.builds == 2
    assert world.factory.borrowed(0, CUDA, 1) == ""


def test_a_borrowed_engine_that_is_damaged_is_built(modes: Modes) -> None:
    modes.world.factory.build(0, CUDA, 1)
    world = modes.restart("15W")
    (plan,) = world.cache.glob("*.plan")
    plan.write_bytes(bytes(len(plan.read_bytes())))
    world.engine(CUDA, 1)
    assert world.builds == 2


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"power_mode": "15W"}, True),
        ({"power_mode": "15W", "sm": 4}, False),
        ({"power_mode": "15W", "l4t": "36.4.4"}, False),
        ({"power_mode": "15W", "dla_compiler": "abd"}, False),
        ({"power_mode": "15W", "cuda_driver": 13000}, False),
        ({"power_mode": "15W", "tensorrt": "10.7.0"}, False),
    ],
)
def test_only_the_power_mode_may_differ(
    tmp_path: Path, change: dict[str, Any], found: bool
) -> None:
    cache = EngineCache(tmp_path)
    kept = identity("ab" * 32, SPEC, HOST, BuildOptions())
    cache.keep(kept, b"plan", {})
    other = identity("ab" * 32, SPEC, replace(HOST, **change), BuildOptions())
    assert cache.similar(other) == (kept if found else None)
    assert cache.similar(kept) is None, "it differs in nothing"


def test_a_manifest_under_another_name_is_not_borrowed(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    kept = identity("ab" * 32, SPEC, HOST, BuildOptions())
    other = identity("ab" * 32, SPEC, replace(HOST, power_mode="15W"), BuildOptions())
    cache.keep(kept, b"plan", {})
    (manifest,) = tmp_path.glob("*.json")
    manifest.rename(tmp_path / f"{'0' * 64}.json")
    (tmp_path / f"{'1' * 64}.json").write_text(json.dumps({"identity": {"host": 3}}))
    (tmp_path / f"{'2' * 64}.json").write_text("[" * 10_000)
    assert cache.similar(other) is None
