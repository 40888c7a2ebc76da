"""A DLA core holds so many loadables, over the stand-ins."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.readiness import Readiness
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.tensorrt import plans as plans_module
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.inspect import PlacedLayers
from envs.runtimes.tensorrt.loadables import NAME, Loadables
from envs.runtimes.tensorrt.spec import BuildHost, EngineSpec
from envs.spec import (
    Agreement,
    Configuration,
    ConfigurationFailed,
    FailureKind,
    Kind,
    Network,
    Place,
)
from envs.telemetry.none import NoSensor
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, DLA1, TENSOR, World

HOST = BuildHost("10.3.0", "Orin", "8.7", 16, "MAXN")
SPEC = EngineSpec(Kind.DLA, "int8", 4, True, True)


def blocks_are(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each engine of a DLA have so many blocks there."""

    def placed(text: str, on_dla: bool) -> PlacedLayers:
        return PlacedLayers(tuple(map(str, range(count))) if on_dla else (), (), ())

    monkeypatch.setattr(plans_module, "placed_layers", placed)


@pytest.fixture
def world(small: tuple[Path, Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Make a world in which each engine of a DLA has six blocks there."""
    blocks_are(6, monkeypatch)
    return World(small, tmp_path / "engines", batches=(1, 2, 4))


def test_a_core_that_is_full_gets_no_further_plan(world: World) -> None:
    for batch in (1, 2, 4):  # their numbers are known after their first load
        world.engine(DLA0, batch).close()
    assert world.factory.blocks(0, DLA1) == 6
    factory = world.factory = world.again()
    assert factory.blocks(0, DLA0) == 6, "kept beside the engines"
    first, second = world.engine(DLA0, 1), world.engine(DLA0, 2)
    with pytest.raises(ConfigurationFailed) as caught:
        world.engine(DLA0, 4)
    failure = caught.value.failure
    assert failure.kind is FailureKind.INVALID
    assert failure.place == (0, DLA0, 4)
    assert "engine of small for dla0 at batch 4: it takes 6 loadables" in failure.reason
    assert "of the 16 that dla0 holds 12 are taken" in failure.reason
    world.engine(DLA1, 4).close()  # the other core has room
    world.engine(CUDA, 1)  # and so has the GPU
    second.close()
    world.engine(DLA0, 4)
    first.close()


def test_what_an_earlier_run_learned_counts_before_anything_is_ready(world: World) -> None:
    for batch in (1, 2, 4):
        world.engine(DLA0, batch).close()
    ready = Readiness(world.space, world.again(), lambda place: Agreement(1.0, "", 1), 0.9)
    assert not ready.ready
    assert ready.known.blocks == {(0, DLA0, 6), (0, DLA1, 6)}


def test_a_refusal_for_a_full_core_is_forgotten_once_instances_have_left_the_core(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks_are(10, monkeypatch)
    for core, batch in ((DLA0, 1), (DLA0, 2), (DLA1, 1), (DLA1, 2)):
        world.engine(core, batch).close()  # its number is known after its first load
    factory, right = world.again(), Agreement(1.0, "equal classes", 100)
    ready = Readiness(world.space, factory, lambda place: right, 0.99)
    options = ServingOptions(timeout_s=10.0)
    with ServingRuntime(world.space, factory, NoSensor(), options, readiness=ready) as runtime:
        runtime.apply(on({DLA0: 1, DLA1: 1}))
        for core in (DLA0, DLA1):
            with pytest.raises(ConfigurationFailed, match="holds 10 are taken"):
                ready.make_ready(Place(0, core, 2))
        runtime.apply(on({CUDA: 1, DLA0: 1, DLA1: 1}))
        assert len(ready.refused) == 2, "nothing has left"
        runtime.apply(on({CUDA: 1, DLA1: 1}))
        assert set(ready.refused) == {(0, DLA1, 2)}
        ready.make_ready(Place(0, DLA0, 2))
        runtime.apply(on({DLA0: 2}))
        assert not ready.refused


def on(batches: dict[int, int]) -> Configuration:
    """Return one instance on each of these accelerators, with its batch."""
    row = [(1, batches[each]) if each in batches else (0, 0) for each in (CUDA, TENSOR, DLA0, DLA1)]
    return Configuration.of(np.array([row], dtype=np.int16))


def test_the_number_is_of_a_network_a_form_and_a_compiler_but_not_of_a_power_mode(
    tmp_path: Path,
) -> None:
    Loadables(EngineCache(tmp_path)).keep("ab" * 32, SPEC, HOST, 5)
    again = Loadables(EngineCache(tmp_path))
    assert again.count("ab" * 32, SPEC, replace(HOST, power_mode="30W")) == 5
    assert again.count("cd" * 32, SPEC, HOST) == 1
    assert again.count("ab" * 32, replace(SPEC, native_io=False), HOST) == 1
    assert again.count("ab" * 32, SPEC, replace(HOST, dla_compiler="other")) == 1
    assert again.count("ab" * 32, EngineSpec(Kind.TENSOR_CORES, "fp16", 4, False), HOST) == 0


@pytest.mark.parametrize("count", [0, -3, 17, 2.5, "5", None])
def test_a_number_that_cannot_be_is_unknown(tmp_path: Path, count: Any) -> None:
    Loadables(EngineCache(tmp_path)).keep("ab" * 32, SPEC, HOST, 5)
    file = tmp_path / f"{NAME}.json"
    file.write_text(json.dumps(dict.fromkeys(json.loads(file.read_text()), count)))
    assert Loadables(EngineCache(tmp_path)).count("ab" * 32, SPEC, HOST) == 1
