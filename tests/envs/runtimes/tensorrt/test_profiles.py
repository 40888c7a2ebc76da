"""One engine of the GPU for all batch sizes, with an optimisation profile for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.runtimes.tensorrt.spec import BuildOptions, EngineSpec, spec_of
from envs.runtimes.tensorrt.versions import Bindings
from envs.spec import ConfigurationFailed, Kind, Network
from tests.envs.runtimes.tensorrt.test_graph import values
from tests.envs.runtimes.tensorrt.worlds import CUDA, DLA0, World, at, served
from tests.standins.tensorrt.module import _Builder as Builder


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "10.7.0", "11.4.0"])
def test_each_batch_size_runs_in_its_own_profile_of_one_engine(
    version: str, small: tuple[Path, Network], tmp_path: Path
) -> None:
    world = World(small, tmp_path / "engines", version, (1, 2, 4))
    world.factory.build(0, CUDA, 2)
    assert [world.factory.built(0, CUDA, batch) for batch in (1, 2, 4)] == [True] * 3
    engine = world.engine(CUDA, 1, 2, 4)
    assert world.builds == 1
    (config,) = world.module.world.configs
    assert [profile._shapes["input"] for profile in config._profiles] == [
        ((1, 3, 64, 64), (size, 3, 64, 64), (size, 3, 64, 64)) for size in (1, 2, 4)
    ]
    assert [lane._plan.engine for lane in engine._lanes.values()] == [
        engine._lanes[1]._plan.engine
    ] * 3, "the weights are there once"
    contexts = [engine._lanes[batch]._context for batch in (1, 2, 4)]
    assert [context._profile for context in contexts] == [0, 1, 2]
    images = values(4, 3, 64, 64)
    whole = served(engine, images)
    parts = np.concatenate([served(engine, images[:1]), served(engine, images[1:4])])
    np.testing.assert_allclose(whole, parts, rtol=1e-4, atol=1e-5)


def test_scratch_memory_is_that_of_the_profile_where_the_version_tells(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    sizes = {}
    for version in ("8.6.1", "10.3.0"):
        world = World(small, tmp_path / version, version, (1, 4))
        engine = world.engine(CUDA, 1, 4)
        sizes[version] = [engine._lanes[batch]._scratch[1] for batch in (1, 4)]
    assert sizes == {"8.6.1": [8192, 8192], "10.3.0": [4096, 8192]}


def test_a_batch_outside_the_profile_is_refused(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    world = World(small, tmp_path / "engines", batches=(1, 4))
    lane = world.engine(CUDA, 1)._lanes[1]
    with pytest.raises(RuntimeError, match="a batch of 4 does not fit the engine"):
        lane._set_batch(lane._context, 4)


def test_what_cannot_be_dynamic_is_one_engine_a_batch(
    small: tuple[Path, Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(small, tmp_path / "engines", batches=(1, 4))
    world.factory.build(0, DLA0, 1)
    assert not world.factory.built(0, DLA0, 4)
    monkeypatch.setattr(Bindings, "shares_profiles", False)
    world.factory.build(0, CUDA, 1)
    assert not world.factory.built(0, CUDA, 4)


def test_a_plan_stays_one_while_another_batch_size_of_it_is_loaded(
    small: tuple[Path, Network], tmp_path: Path
) -> None:
    world = World(small, tmp_path / "engines", batches=(1, 4))
    first, second = world.engine(CUDA, 1), world.engine(CUDA, 4)
    plans = world.factory.plans.loaded
    assert plans[0, CUDA, 1].engine is plans[0, CUDA, 4].engine
    first.close()
    world.factory.unload([(0, CUDA)])
    assert list(plans) == [(0, CUDA, 4)]
    assert served(second, values(2, 3, 64, 64)).shape == (2, 10)


def test_a_batch_beyond_the_space_gets_a_profile_too(small: tuple[Path, Network]) -> None:
    found = [spec_of(at("cuda"), small[1], n, BuildOptions(), False, (1, 4)) for n in (1, 3, 4, 6)]
    assert [(each.profile, each.profiles) for each in found] == [
        (0, (1, 4)),
        (1, (1, 4)),
        (1, (1, 4)),
        (2, (1, 4, 6)),
    ]
    assert (
        found[0].built
        == found[1].built
        == EngineSpec(Kind.CUDA_CORES, "fp32", 4, False, profiles=(1, 4))
    )


def test_sizes_that_are_too_large_leave_an_engine_of_its_own_to_each_of_the_others(
    small: tuple[Path, Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fail as a builder does that finds no memory for the kernels of the largest batch."""
    real = Builder.build_serialized_network

    def little_memory(self: Any, network: Any, config: Any) -> Any:
        sizes = [profile._shapes["input"][2][0] for profile in config._profiles]
        return real(self, network, config) if max(sizes) < 4 else None

    monkeypatch.setattr(Builder, "build_serialized_network", little_memory)
    world = World(small, tmp_path / "engines", batches=(1, 2, 4))
    for factory in (world.factory, world.again()):
        world.factory = factory
        engine = world.engine(CUDA, 1, 2)
        assert [lane._plan.spec.profiles for lane in engine._lanes.values()] == [(), ()]
        assert served(engine, values(2, 3, 64, 64)).shape == (2, 10)
        with pytest.raises(ConfigurationFailed, match="for cuda at batch 4: "):
            engine.buffers(4)
    assert world.builds == 4, "the one for all sizes and that of 4 are not tried again"
