"""Engines of another power mode are renewed while they serve, and proven before they take over."""

from __future__ import annotations

from typing import Any

import pytest

from envs.runtimes.serving import acceptance as acceptance_module
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.readiness import Readiness
from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import Agreement, Configuration, ConfigurationSpace, Network, Place
from envs.telemetry.none import NoSensor
from tests.envs.runtimes.tensorrt.modes import Modes
from tests.envs.runtimes.tensorrt.test_graph import values
from tests.envs.runtimes.tensorrt.worlds import CUDA, World, served
from tests.standins.tensorrt.faults import Faults


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
