"""Knobs as actions: official checks, agents of other libraries, rewards, failures, observations."""

from __future__ import annotations

import doctest
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check

import envs.knobs_env
from envs.errors import ConfigurationError, ObjectiveError, OptionError
from envs.knobs_env import KnobsEnv, KnobsVectorEnv
from envs.problems.runtime_world import RuntimeWorld
from envs.problems.sampling import sample_placements
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.trace_world import TraceWorld
from envs.problems.world import Trial, World
from envs.runtimes.replayed import ReplayedRuntime
from envs.spec import Configuration, Failure, Objective
from envs.traces.reader import Trace
from envs.tuning_env import TuningEnv
from tests.envs.knob_names import seen
from tests.worlds import LIMIT

WORLDS = ("trace_world", "two_tenant_world", "simulated_world", "runtime_world")


@pytest.fixture(scope="module")
def runtime_world(trace: Trace) -> RuntimeWorld:
    return RuntimeWorld(ReplayedRuntime(trace), 1.0, [LIMIT, Objective((30.0,))])


every_world = pytest.mark.parametrize("world", WORLDS, indirect=True)


def masked(env: KnobsEnv, rng: np.random.Generator) -> np.ndarray:
    masks = env.episodes.layout.split(env.action_masks())
    return np.array([rng.choice(np.flatnonzero(each)) for each in masks])


@every_world
def test_both_official_checks_pass(world: World) -> None:
    env = gym.make("Tuning-v0", world=world, actions="knobs", render_mode="ansi").unwrapped
    gymnasium_check(env)
    sb3_check(env)


@pytest.mark.parametrize("world", ["two_tenant_world", "simulated_world"], indirect=True)
def test_agents_of_other_libraries_run_on_it(world: World) -> None:
    env = gym.make("Tuning-v0", world=world, actions="knobs", budget=5)
    short: dict[str, Any] = {"n_steps": 128, "batch_size": 64, "n_epochs": 2, "device": "cpu"}
    PPO("MlpPolicy", env, seed=0, **short).learn(256)
    model = MaskablePPO("MlpPolicy", env, seed=0, **short)
    model.learn(256)
    observation, _ = env.reset(seed=1)
    knobs = env.unwrapped
    assert isinstance(knobs, KnobsEnv)
    action, _ = model.predict(observation, action_masks=knobs.action_masks(), deterministic=True)
    masks = knobs.episodes.layout.split(knobs.action_masks())
    assert all(mask[number] for mask, number in zip(masks, action, strict=True))


def test_the_example_of_the_environment_runs() -> None:
    found = doctest.testmod(envs.knobs_env)
    assert found.attempted > 5
    assert found.failed == 0


@every_world
def test_vector_rows_are_scalar_episodes(world: World) -> None:
    many = gym.make_vec("Tuning-v0", num_envs=4, world=world, actions="knobs", budget=5)
    assert isinstance(many, KnobsVectorEnv)
    singles = [KnobsEnv(world, budget=5) for _ in range(4)]
    observations, _ = many.reset(seed=11)
    expected = np.stack([env.reset(seed=11 + i)[0] for i, env in enumerate(singles)])
    many.action_space.seed(0)
    for _ in range(9):
        assert (observations == expected).all()
        assert (many.action_masks() == np.stack([env.action_masks() for env in singles])).all()
        actions = many.action_space.sample()
        observations, rewards, terminated, _, infos = many.step(actions)
        rows = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        assert rewards.tolist() == [row[1] for row in rows]
        assert infos["failure"].tolist() == [row[4]["failure"] for row in rows]
        expected = np.stack([row[0] for row in rows])
        if terminated.all():
            assert (infos["final_obs"] == expected).all()
            expected = np.stack([env.reset()[0] for env in singles])


@pytest.mark.parametrize("changes", [0.0, 1.0])
@pytest.mark.parametrize("world", WORLDS[:3], indirect=True)
def test_the_same_configurations_earn_the_same_as_with_proposals(
    world: World, changes: float
) -> None:
    proposals, knobs = (kind(world, changes=changes) for kind in (TuningEnv, KnobsEnv))
    rng = np.random.default_rng(0)
    for seed in range(6):
        proposals.reset(seed=seed)
        knobs.reset(seed=seed)
        for _ in range(7):
            place = rng.choice(np.flatnonzero(proposals.action_masks()))
            configuration = proposals.proposals()[place]
            expected = proposals.step(place)
            found = knobs.step(knobs.action_of(configuration))
            assert found[1] == pytest.approx(expected[1], abs=1e-5)
            assert found[2] == expected[2]
            for name in ("score", "violation", "share", "failed", "spent_s"):
                assert found[4][name] == pytest.approx(expected[4][name], rel=1e-4, abs=1e-5)
            assert found[4]["failure"] is None


@every_world
def test_observations_stay_within_their_bounds(world: World) -> None:
    env = KnobsEnv(world, changes=0.5)
    env.action_space.seed(0)
    rng = np.random.default_rng(0)
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        for step in range(7):
            assert observation in env.observation_space
            action = masked(env, rng) if step % 2 else env.action_space.sample()
            observation, reward, _, _, info = env.step(action)
            assert np.isfinite(reward)
            assert info["failed"] == (info["failure"] is not None)


def test_a_simulated_board_answers_beyond_its_shortlist(simulated_world: SimulatedWorld) -> None:
    """By the model itself, without the noise of a window."""
    rng = np.random.default_rng(0)
    beyond = 0
    for problem, spec in enumerate(simulated_world.specs):
        assert spec.truth is not None
        quiet = np.zeros(simulated_world.problems.quantities + 1)
        for row in sample_placements(spec.space, rng, 5):
            configuration = Configuration.of(row)
            trial = Trial(problem, 1, configuration, configuration, 0)
            found = simulated_world.measure(trial, quiet)
            context = spec.truth.contexts.take(np.array([1]))
            truth = spec.truth.model.batch(context, row[None])
            assert not isinstance(found, Failure)
            assert (found.seen == found.true[1]).all() or np.isnan(found.seen).any()
            own = spec.space.shape[0]
            ips, power_w = np.exp(found.seen[:own]), np.exp(found.seen[-1])
            assert ips == pytest.approx(truth.throughput_ips[0], rel=1e-4)
            assert power_w == pytest.approx(truth.power_w[0], rel=1e-4, nan_ok=True)
            beyond += not (spec.placements == row).all(axis=(1, 2, 3)).any()
        outcomes = simulated_world.problems.outcomes[problem, :, :, 3]
        configuration = Configuration.of(spec.placements[3])
        listed = simulated_world.measure(Trial(problem, 2, configuration, configuration, 0), quiet)
        assert not isinstance(listed, Failure)
        assert listed.true == pytest.approx(outcomes, abs=1e-4, nan_ok=True)
    assert beyond > 10


def test_an_objective_can_be_asked_for(
    trace_world: TraceWorld, simulated_world: SimulatedWorld
) -> None:
    env = KnobsEnv(trace_world)
    observation, info = env.reset(seed=0, options={"objective": LIMIT})
    assert info["objective"] == LIMIT
    assert seen(env, observation)["p99_1: limit"] == pytest.approx(np.log(60), abs=1e-5)
    with pytest.raises(ObjectiveError, match="limits of its own"):
        KnobsEnv(simulated_world).reset(options={"objective": LIMIT})


def test_wrong_options_and_actions_are_named(
    trace_world: TraceWorld, simulated_world: SimulatedWorld
) -> None:
    for make in (gym.make, gym.make_vec):
        with pytest.raises(OptionError, match="actions='dials' must be one of proposals, knobs"):
            make("Tuning-v0", world=trace_world, actions="dials")
    short = [replace(spec, truth=None) for spec in simulated_world.specs]
    with pytest.raises(OptionError, match="whole=True"):
        KnobsEnv(SimulatedWorld.of(simulated_world.problems, short)).reset()
    with pytest.raises(OptionError, match="spaces of the problems"):
        KnobsEnv(SimulatedWorld.of(simulated_world.problems))
    env = KnobsEnv(trace_world, budget=2)
    env.reset(seed=0)
    with pytest.raises(ConfigurationError, match="an action holds"):
        env.step(np.array([4, 0, 0, 0]))
    default = env.action_of(trace_world.space.default())
    assert env.step(default)[2]
    with pytest.raises(ConfigurationError, match=r"call reset\(\) first"):
        env.step(default)
