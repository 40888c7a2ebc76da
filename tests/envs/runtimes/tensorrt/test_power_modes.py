"""Engines of another power mode serve until those of the present one are built."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs.runtimes.serving import acceptance as acceptance_module
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.readiness import Readiness
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.tensorrt import host as host_module
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.spec import BuildHost, BuildOptions, EngineSpec, identity
from envs.spec import Agreement, Configuration, ConfigurationSpace, Kind, Network, Place
from envs.telemetry.none import NoSensor
from tests.envs.runtimes.tensorrt.test_graph import values
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, World, served
from tests.standins.tensorrt.faults import Faults

HOST = BuildHost("10.3.0", "Orin", "8.7", 8, "30W", "36.4.3", "abc", 12060)
SPEC = EngineSpec(Kind.TENSOR_CORES, "fp16", 4, False, profiles=(1, 4))


class Modes:
    """A world whose power mode a test changes."""

    def __init__(
        self, small: tuple[Path, Network], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.mode = "30W"
        monkeypatch.setattr(host_module, "read_power_mode", lambda root: self.mode)
        self.world = World(small, folder / "engines")

    def restart(self, mode: str) -> World:
        self.mode = mode
        self.world.factory.close()
        self.world.factory = self.world.again()
        return self.world


@pytest.fixture
def modes(small: tuple[Path, Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Modes:
    return Modes(small, tmp_path, monkeypatch)


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


def test_engines_are_renewed_in_the_background_while_the_old_ones_serve(modes: Modes) -> None:
    modes.world.factory.build(0, CUDA, 1)
    world = modes.restart("15W")
    space = world.space.without_batches(
        [place for place in all_places(world.space) if place[1] != CUDA]
    )
    agreement = Agreement(1.0)
    readiness = Readiness(space, world.factory, lambda place: agreement, 0.9)
    readiness.make_ready(Place(0, CUDA, 1))
    assert world.builds == 1, "the engine of 30W serves at once"
    for mode, builds in (("15W", 2), ("10W", 3), ("30W", 3)):
        modes.mode = mode
        readiness.refresh()
        readiness.go_on(())
        assert readiness._thread is not None
        readiness._thread.join(60)
        assert world.builds == builds
        assert [world.factory.borrowed(0, CUDA, batch) for batch in (1, 4)] == ["", ""]
    assert any("of the present power mode" in each.text for each in readiness.news())
    assert not readiness.refused
    readiness.close()


def changing_builds(modes: Modes, monkeypatch: pytest.MonkeyPatch, *changes: str) -> None:
    """Let the power mode change during each of the next builds."""
    real, left = Faults.builds, list(changes)

    def changing(faults: Faults, place: str, monitor: Any) -> str:
        modes.mode = left.pop(0) if left else modes.mode
        return real(faults, place, monitor)

    monkeypatch.setattr(Faults, "builds", changing)


def kept_modes(world: World) -> set[str]:
    return {kept["host"]["power_mode"] for kept in world.factory.builds.cache.identities()}


def test_an_engine_built_in_two_modes_serves_as_one_of_another_mode(
    modes: Modes, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, factory = modes.world, modes.world.factory
    changing_builds(modes, monkeypatch, "15W")
    factory.build(0, CUDA, 4)
    assert kept_modes(world) == {"30W, then 15W"}
    assert not list(world.cache.glob("*.timing")), "they are from both modes"
    assert factory.built(0, CUDA, 4)
    assert factory.refresh_host()
    assert factory.borrowed(0, CUDA, 4) == "30W, then 15W"
    assert served(world.engine(CUDA, 4), values(2, 3, 64, 64)).shape == (2, 10)
    factory.renew(0, CUDA, 4)
    assert world.builds == 2
    assert kept_modes(world) == {"30W, then 15W", "15W"}


def test_an_engine_of_a_mode_that_was_not_noticed_yet_is_one_of_that_mode(modes: Modes) -> None:
    world, factory = modes.world, modes.world.factory
    modes.mode = "15W"
    factory.build(0, CUDA, 4)
    assert kept_modes(world) == {"15W"}
    assert factory.borrowed(0, CUDA, 4) == "15W"
    assert factory.refresh_host()
    assert factory.borrowed(0, CUDA, 4) == ""


def test_a_renewal_during_which_the_mode_changes_is_made_again_for_the_new_mode(
    modes: Modes, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes.world.factory.build(0, CUDA, 1)
    world = modes.restart("15W")
    space = world.space.without_batches(
        [place for place in all_places(world.space) if place != (0, CUDA, 1)]
    )
    readiness = Readiness(space, world.factory, lambda place: Agreement(1.0), 0.9)
    readiness.make_ready(Place(0, CUDA, 1))
    changing_builds(modes, monkeypatch, "10W")
    readiness.go_on(())
    assert readiness._thread is not None
    readiness._thread.join(60)
    assert kept_modes(world) == {"30W"}, "what serves is as good as one of two modes"
    assert any("power mode changed while it was built" in each.text for each in readiness.news())
    readiness.refresh()
    readiness._thread.join(60)
    assert kept_modes(world) == {"30W", "10W"}
    assert not readiness.refused


def renewed_to(mode: str, modes: Modes, readiness: Readiness) -> None:
    modes.mode = mode
    readiness.refresh()
    readiness.go_on(())
    assert readiness._thread is not None
    readiness._thread.join(60)


def on_cuda(world: World) -> tuple[ServingRuntime, Readiness]:
    space = world.space.without_batches(
        [place for place in all_places(world.space) if place[1] != CUDA]
    )
    readiness = Readiness(space, world.factory, lambda place: Agreement(1.0), 0.9)
    options = ServingOptions(batches_per_window=1, requests_per_window=1)
    runtime = ServingRuntime(space, world.factory, NoSensor(), options, readiness=readiness)
    return runtime, readiness


def modes_of(runtime: ServingRuntime) -> list[str]:
    lanes = [lane for each in runtime._admission.instances for lane in each._engine._lanes.values()]
    return [lane._plan.host["power_mode"] for lane in lanes]


TWO = Configuration((((2, 1), (0, 0), (0, 0), (0, 0)),))


def test_the_next_apply_creates_instances_of_renewed_engines_anew(modes: Modes) -> None:
    world = modes.world
    runtime, readiness = on_cuda(world)
    with runtime:
        runtime.apply(TWO)
        assert modes_of(runtime) == ["30W", "30W"]
        renewed_to("15W", modes, readiness)
        change = runtime.apply(TWO)
        assert (change.kept, change.created, change.removed) == (0, 2, 2)
        assert modes_of(runtime) == ["15W", "15W"]
        change = runtime.apply(TWO)
        assert (change.kept, change.created, change.removed) == (2, 0, 0)
        assert runtime.submit(0, values(3, 64, 64)).result(60)["logits"].shape == (10,)
    assert world.driver.live == 0


def test_instances_stay_where_there_is_no_room_for_new_ones_beside_them(modes: Modes) -> None:
    world = modes.world
    runtime, readiness = on_cuda(world)
    with runtime:
        runtime.apply(TWO)
        renewed_to("15W", modes, readiness)
        world.module.world.faults.memory_pieces = world.driver.live + 1
        for _ in range(2):
            change = runtime.apply(TWO)
            assert (change.kept, change.created, change.removed) == (2, 0, 0)
        assert modes_of(runtime) == ["30W", "30W"]
        assert runtime.measure(0.2).throughput_ips[0] > 0


def test_an_engine_that_fails_its_proof_leaves_the_borrowed_one_in_use(
    modes: Modes, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = modes.world
    runtime, readiness = on_cuda(world)
    real = acceptance_module.prove

    def broken_in_15_watts(engine: Any, network: Network, batch: int) -> None:
        real(engine, network, batch)
        if engine._lanes[batch]._plan.host["power_mode"] == "15W":
            raise RuntimeError("Cask convolution execution")

    monkeypatch.setattr(acceptance_module, "prove", broken_in_15_watts)
    with runtime:
        runtime.apply(TWO)
        renewed_to("15W", modes, readiness)
        assert world.builds == 2
        assert world.factory.borrowed(0, CUDA, 1) == "30W"
        texts = [each.text for each in readiness.news()]
        assert any("Cask convolution execution; the engine of another" in text for text in texts)
        assert runtime.apply(TWO).kept == 2
        assert runtime.apply(Configuration((((1, 4), (0, 0), (0, 0), (0, 0)),))).created == 0
        new = world.engine(CUDA, 1)
        assert [new._lanes[1]._plan.host["power_mode"], *modes_of(runtime)] == ["30W", "30W"]
        new.close()
        assert world.builds == 2, "this process does not build it again"
    assert not readiness.refused


def all_places(space: ConfigurationSpace) -> list[Place]:
    tenants, columns = space.shape
    return [
        Place(tenant, column, batch)
        for tenant in range(tenants)
        for column in range(columns)
        for batch in space.batches_of(tenant, column)
    ]
