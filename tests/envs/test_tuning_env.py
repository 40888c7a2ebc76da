"""The environments: official checks, rows equal scalar episodes, and what an action does."""

from __future__ import annotations

import doctest
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as sb3_check

import envs.tuning_env
from envs.belief.features import ALLOWED, FEATURES
from envs.catalog.boards import board
from envs.errors import ConfigurationError, OptionError
from envs.problems.draw_options import HELD_OUT_NETWORKS, DrawOptions
from envs.problems.named import world_named
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.trace_world import TraceWorld
from envs.problems.world import World
from envs.spec import Configuration, Objective, Origin
from envs.traces.reader import Trace
from envs.tuning_env import TuningEnv, TuningVectorEnv
from tests.worlds import respond, space, write_trace

WORLDS = ("trace_world", "two_tenant_world", "simulated_world")


every_world = pytest.mark.parametrize("world", WORLDS, indirect=True)


@pytest.mark.parametrize("tenants", [3, 5])
def test_episodes_of_many_tenants(tenants: int) -> None:
    """Side by side with problems of one: what they do not have takes no part."""
    shares = [0.3, *[0.0] * (tenants - 2), 0.7]
    options = DrawOptions(boards=["orin_nano_8"], small_spaces=1.0, tenants=shares)
    mixed = SimulatedWorld(options, 5, 0)
    assert {spec.space.shape[0] for spec in mixed.specs} == {1, tenants}
    env = TuningVectorEnv(8, mixed, budget=5, changes=0.5)
    observations, _ = env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(8):
        assert observations in env.observation_space
        observations, rewards, _, _, facts = env.step(rng.integers(0, 12, 8))
        assert np.isfinite(rewards).all()
        assert (facts["share"] >= 0).all()


@every_world
def test_both_official_checks_pass(world: World) -> None:
    env = gym.make("Tuning-v0", world=world, render_mode="ansi").unwrapped
    gymnasium_check(env)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Your observation  has an unconventional shape"
        )  # a set of candidates is no vector
        sb3_check(env)


def test_gymnasium_makes_it_without_an_import_of_its_own(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t.parquet", space(max_instances=1, batches=(1, 2)))
    program = (
        "import sys, gymnasium; env = gymnasium.make('envs:Tuning-v0', world=sys.argv[1]);"
        "print(env.reset(seed=0)[0].shape)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(trace.path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str((24, len(FEATURES)))


def test_the_example_of_the_environment_runs() -> None:
    found = doctest.testmod(envs.tuning_env)
    assert found.attempted > 5
    assert found.failed == 0


def test_gymnasium_makes_both_by_name(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t.parquet", space(max_instances=1, batches=(1, 2)))
    env = gym.make("Tuning-v0", world=str(trace.path))
    many = gym.make_vec(
        "Tuning-v0", num_envs=3, vectorization_mode="vector_entry_point", world=str(trace.path)
    )
    assert isinstance(env.unwrapped, TuningEnv)
    assert isinstance(many, TuningVectorEnv)
    assert many.single_observation_space == env.observation_space
    assert many.reset(seed=0)[0].shape == (3, *env.observation_space.shape)


def test_a_board_by_name_is_simulated_with_what_its_split_draws() -> None:
    train, held_out = (
        world_named("orin_nano_8", split, problems=2) for split in ("train", "held_out")
    )
    for world in (train, held_out):
        assert world.origin is Origin.SIMULATED
        assert [asked.space.device.name for asked in world.specs] == [
            board("orin_nano_8").module
        ] * 2
    names = {name for asked in held_out.specs for name in asked.space.workload.names}
    assert names <= set(HELD_OUT_NETWORKS)
    assert not names & {
        name.removesuffix("_like") for asked in train.specs for name in asked.space.workload.names
    }


@every_world
def test_vector_rows_are_scalar_episodes(world: World) -> None:
    """Also where conditions change on the way, and through several episodes."""
    many = TuningVectorEnv(5, world, budget=6, changes=0.5)
    singles = [TuningEnv(world, budget=6, changes=0.5) for _ in range(5)]
    assert many.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observations, _ = many.reset(seed=11)
    expected = np.stack([env.reset(seed=11 + i)[0] for i, env in enumerate(singles)])
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(15):
        assert (observations == expected).all()
        actions = rng.integers(0, many.single_action_space.n, 5)  # type: ignore[attr-defined]
        observations, rewards, terminated, truncated, infos = many.step(actions)
        rows = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        assert rewards.tolist() == [row[1] for row in rows]
        assert terminated.tolist() == [row[2] for row in rows]
        assert not truncated.any()
        for name in ("score", "violation", "failed", "share"):
            assert infos[name].tolist() == [row[4][name] for row in rows]
        last = np.stack([row[0] for row in rows])
        if terminated.all():
            ended += 1
            assert (infos["final_obs"] == last).all()
            expected = np.stack([env.reset()[0] for env in singles])
        else:
            assert "final_obs" not in infos
            expected = last
    assert ended == 3, "the first measurement is the reset's own"


def test_rows_may_be_seeded_one_by_one(trace_world: TraceWorld) -> None:
    many = TuningVectorEnv(3, trace_world)
    assert (many.reset(seed=[4, 7, 9])[0][1] == many.reset(seed=7)[0][0]).all()


def test_shared_noise_is_repeatable(simulated_world: SimulatedWorld) -> None:
    one, other = (TuningVectorEnv(16, simulated_world, shared_noise=True) for _ in range(2))
    assert (one.reset(seed=3)[0] == other.reset(seed=3)[0]).all()
    for _ in range(8):  # through a reset
        results = [env.step(np.arange(16)) for env in (one, other)]
        assert (results[0][0] == results[1][0]).all()
    assert not (one.reset(seed=4)[0] == other.reset(seed=3)[0]).all()


@every_world
def test_observations_are_finite_and_proposals_are_what_is_measured(world: World) -> None:
    env = TuningEnv(world, changes=0.3)
    rng = np.random.default_rng(1)
    for seed in range(12):
        observation, _ = env.reset(seed=seed)
        for used in range(1, 8):
            assert observation in env.observation_space
            masks, proposals = env.action_masks(), env.proposals()
            assert (masks == (observation[:, ALLOWED] > 0.5)).all()
            assert len(proposals) == len(masks) == env.action_space.n  # type: ignore[attr-defined]
            allowed = [proposals[place] for place in np.flatnonzero(masks)]
            assert len(set(allowed)) == len(allowed) > 0
            asked = world.specs[int(env.episodes.problem[0])]
            for each in allowed:
                asked.space.check(each)
            action = rng.choice(np.flatnonzero(masks))
            observation, reward, terminated, truncated, _ = env.step(action)
            assert (
                Configuration.of(asked.placements[env.episodes.taken[0, used]]) == proposals[action]
            )
            assert np.isfinite(reward)
            assert not truncated
            assert terminated == (used == 7)


def test_render_tells_the_episode(trace: Trace) -> None:
    env = TuningEnv(TraceWorld(trace, objectives=[Objective((40.0,))]), render_mode="ansi")
    env.reset(seed=0)
    chosen = env.proposals()[3]
    env.step(np.int64(3))
    text = env.render()
    assert text is not None
    heading, default, last = text.splitlines()
    assert "net0 p99 <= 40 ms" in heading
    assert default == "net0: cpu_fp32 1x1: 20 inferences/s, broke a limit"
    told = respond(trace.space, chosen)
    assert last.startswith(trace.space.describe(chosen))
    assert f"{told.throughput_ips[0]:.4g} inferences/s" in last
    assert last.endswith("kept" if told.p99_ms[0] <= 40 else "broke a limit")


def test_wrong_options_and_actions_are_named(trace_world: TraceWorld) -> None:
    with pytest.raises(OptionError, match="budget=1"):
        TuningEnv(trace_world, budget=1)
    with pytest.raises(OptionError, match=r"changes=1\.5"):
        TuningEnv(trace_world, changes=1.5)
    with pytest.raises(
        OptionError, match=r"world='agx_thor' is neither a board \(.*agx_orin_64.*\) nor a trace"
    ):
        TuningEnv("agx_thor")
    env = TuningEnv(trace_world, budget=2)
    env.reset(seed=0)
    for action in (-1, 24):
        with pytest.raises(ConfigurationError, match=r"actions must lie in 0\.\.23"):
            env.step(np.int64(action))
    assert env.step(np.int64(0))[2]
    with pytest.raises(ConfigurationError, match=r"call reset\(\) first"):
        env.step(np.int64(0))
    env.reset()
    assert env.step(np.int64(0))[2]
