"""The environments: the official checks, and that one row is the same whichever way it is played."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from envs.configuration import Configuration
from envs.errors import ConfigurationError, ObjectiveError, OptionError
from envs.measurement import Failure, FailureKind
from envs.objective import Objective
from envs.objective_draw import LimitRange
from envs.runtimes.replayed import ReplayedRuntime
from envs.traces.reader import Trace
from envs.tuning_env import TuningEnv, TuningVectorEnv
from envs.world import RuntimeWorld, TraceWorld
from tests.worlds import space, write_trace


def test_both_official_checks_pass(trace: Trace) -> None:
    env = gym.make("Tuning-v0", world=str(trace.path), render_mode="ansi")
    gymnasium_check(env.unwrapped)
    sb3_check(env.unwrapped)


def test_gymnasium_makes_both_by_name(trace: Trace) -> None:
    env = gym.make("Tuning-v0", world=str(trace.path))
    many = gym.make_vec("Tuning-v0", num_envs=3, vectorization_mode="vector_entry_point", world=str(trace.path))
    assert isinstance(env.unwrapped, TuningEnv)
    assert isinstance(many, TuningVectorEnv)
    assert many.single_observation_space == env.observation_space
    assert many.reset(seed=0)[0].shape == (3, *env.observation_space.shape)


@pytest.mark.parametrize("name", ["trace", "two_tenant_trace"])
def test_vector_rows_are_scalar_episodes(name: str, request: pytest.FixtureRequest) -> None:
    world = TraceWorld(request.getfixturevalue(name))
    many = TuningVectorEnv(5, world, budget=4)
    singles = [TuningEnv(world, budget=4) for _ in range(5)]
    observations, _ = many.reset(seed=11)
    expected = np.stack([env.reset(seed=11 + i)[0] for i, env in enumerate(singles)])
    rng = np.random.default_rng(0)
    for _ in range(10):  # through several episodes
        assert (observations == expected).all()
        actions = rng.integers(0, len(world.candidates), 5)
        observations, rewards, terminated, truncated, infos = many.step(actions)
        rows = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        assert rewards.tolist() == [row[1] for row in rows]
        assert terminated.tolist() == [row[2] for row in rows]
        assert not truncated.any()
        last = np.stack([row[0] for row in rows])
        if terminated.all():
            assert (infos["final_obs"] == last).all()
            expected = np.stack([env.reset()[0] for env in singles])
        else:
            expected = last


def test_a_replaying_runtime_and_the_batched_world_give_the_same_episode(trace: Trace) -> None:
    limits = LimitRange.of(trace.batch)
    with ReplayedRuntime(trace) as runtime:
        live_like = TuningEnv(RuntimeWorld(runtime, 1.0), limits=limits)
        batched = TuningEnv(TraceWorld(trace), limits=limits)
        assert live_like.observation_space == batched.observation_space
        assert live_like.action_space == batched.action_space
        assert (live_like.reset(seed=3)[0] == batched.reset(seed=3)[0]).all()
        for action in (5, 20, 5):
            one, other = live_like.step(np.int64(action)), batched.step(np.int64(action))
            assert (one[0] == other[0]).all()
            assert one[1:3] == other[1:3]


def test_the_reward_on_paper(trace: Trace) -> None:
    """Default 20/s at 50 ms. Limit 60 ms: two int8 instances of batch 1 give 125/s at 16 ms; batch 4 of FP32 breaks the limit."""
    env = TuningEnv(TraceWorld(trace))
    env.reset(options={"objective": Objective((60.0,))})
    codes = trace.space.codes(trace.placements).tolist()

    def action(*placements: tuple[int, int]) -> np.int64:
        return np.int64(codes.index(int(trace.space.codes(Configuration((placements,)).array()))))

    assert env.step(action((0, 0), (2, 1)))[1] == pytest.approx(125 / 20 - 1)
    assert env.step(action((1, 4), (0, 0)))[1] == pytest.approx(-0.1), "no gain, and a limit broken"
    assert env.step(action((1, 1), (0, 0)))[1] == pytest.approx(0), "no gain, no harm"


def test_action_masks_name_what_was_measured(trace: Trace) -> None:
    env = TuningEnv(TraceWorld(trace))
    env.reset(seed=0)
    env.step(np.int64(7))
    assert (~env.action_masks()).sum() == 2, "the default and action 7"
    assert not env.action_masks()[7]


def test_render_tells_the_episode(trace: Trace) -> None:
    env = TuningEnv(TraceWorld(trace), render_mode="ansi")
    env.reset(options={"objective": Objective((60.0,))})
    env.step(np.int64(3))
    text = env.render()
    assert text is not None
    assert "p99 <= 60 ms" in text
    assert text.count("\n") == 2


def test_failed_configurations_are_measured_as_failures(tmp_path: object) -> None:
    world = space()
    broken = Configuration((((3, 4), (3, 4)),))
    trace = write_trace(tmp_path / "t.parquet", world, failures={broken: Failure(FailureKind.OUT_OF_MEMORY, "too much", 2.0)})  # type: ignore[operator]
    env = TuningEnv(TraceWorld(trace))
    env.reset(options={"objective": Objective((1e6,))})
    action = trace.space.codes(trace.placements).tolist().index(int(world.codes(broken.array())))
    observation, reward, _, _, facts = env.step(np.int64(action))
    assert facts["failed"]
    assert reward == pytest.approx(-0.1)
    assert np.isfinite(observation).all()


def test_partial_traces_hold_only_what_was_recorded(tmp_path: object) -> None:
    part = write_trace(tmp_path / "part.parquet", space(), keep=0.3)  # type: ignore[operator]
    env = TuningEnv(TraceWorld(part))
    assert env.action_space.n == len(part.rows) < len(space().catalogue)  # type: ignore[attr-defined]
    env.reset(seed=0)
    assert all(not env.step(np.int64(action))[4]["failed"] for action in range(6))


def test_wrong_options_and_actions_are_named(trace: Trace) -> None:
    with pytest.raises(OptionError, match="budget=1"):
        TuningEnv(TraceWorld(trace), budget=1)
    env = TuningEnv(TraceWorld(trace))
    with pytest.raises(ObjectiveError, match="15 W"):
        env.reset(options={"objective": Objective((60.0,), 15.0)})
    env.reset(seed=0)
    with pytest.raises(ConfigurationError, match="actions must lie"):
        env.step(np.int64(10_000))
