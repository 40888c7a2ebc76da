"""PPO on a world: the adapter to stable-baselines3, learning, and checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs.errors import OptionError, StorageError, TraceError
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.trace_world import TraceWorld
from envs.tuning_env import TuningVectorEnv
from tuner.agents.agent_options import AgentOptions
from tuner.agents.checkpoint import resume_model, save_checkpoint
from tuner.agents.learning_curve import LearningCurve, read_curve
from tuner.agents.progress import Watch
from tuner.agents.training import LinearSchedule, make_env, make_model
from tuner.agents.vec_env import SB3TuningVecEnv

OPTIONS = AgentOptions(
    steps=1000, envs=32, batch_size=128, hidden=8, budget=5, episodes_per_update=2
)


def test_finished_episodes_are_told_with_their_last_observation_and_what_they_gained(
    simulated_world: SimulatedWorld,
) -> None:
    env = SB3TuningVecEnv(TuningVectorEnv(6, simulated_world, budget=4), seed=3)
    twin = TuningVectorEnv(6, simulated_world, budget=4)
    observations, _ = twin.reset(seed=3)
    assert (env.reset() == observations).all()
    for _ in range(2):
        gained, broken = np.zeros(6), np.zeros(6)
        for step in range(3):
            actions = np.full(6, step + 1)
            env.step_async(actions)
            observations, rewards, done, notes = env.step_wait()
            expected, same, _, _, infos = twin.step(actions)
            assert (observations == expected).all()
            assert np.allclose(rewards, same)
            gained += same
            broken += infos["violation"] > 0
            assert done.all() == (step == 2)
            assert notes == [{}] * 6 or step == 2
        assert all(
            (note["terminal_observation"] == last).all()
            for note, last in zip(notes, infos["final_obs"], strict=True)
        )
        assert np.allclose([note["episode"]["r"] for note in notes], gained)
        assert np.allclose([note["episode"]["broke"] for note in notes], broken / 3)
        assert {note["episode"]["l"] for note in notes} == {3}
        assert not any(note["TimeLimit.truncated"] for note in notes), (
            "how much is left is observed, so the end is no surprise"
        )
    assert env.env_is_wrapped(object) == [False] * 6
    assert env.get_attr("num_envs", [0, 2]) == [6, 6]


def test_training_is_repeatable_to_the_bit(trace_world: TraceWorld) -> None:
    results = []
    for seed in (0, 0, 1):
        model = make_model(make_env(trace_world, OPTIONS, seed), OPTIONS, seed, None)
        model.learn(OPTIONS.steps)
        results.append([value.detach().numpy().copy() for value in model.policy.parameters()])
    assert all((one == other).all() for one, other in zip(results[0], results[1], strict=True))
    assert not all((one == other).all() for one, other in zip(results[0], results[2], strict=True))


def test_it_learns(trace_world: TraceWorld) -> None:
    """Started from a bad habit, it gains more after a little training than before."""
    options = AgentOptions(steps=18_000, envs=64, batch_size=224, hidden=16, learning_rate=1e-2)
    env = make_env(trace_world, options, 0)
    model = make_model(env, options, 0, None)
    model.policy.trust.data[:] = 0.0  # type: ignore[operator, union-attr]

    def gain() -> float:
        total, observations = 0.0, env.reset()
        for _ in range(7):
            env.step_async(model.predict(observations, deterministic=False)[0])
            observations, rewards, _, _ = env.step_wait()
            total += float(rewards.mean())
        return total

    before = np.mean([gain() for _ in range(5)])
    model.learn(options.steps)
    assert np.mean([gain() for _ in range(5)]) > before + 0.1


def test_a_checkpoint_goes_on_where_it_stopped(trace_world: TraceWorld, tmp_path: Path) -> None:
    env = make_env(trace_world, OPTIONS, 0)
    model = make_model(env, OPTIONS, 0, None)
    seen: list[int] = []
    curve = LearningCurve(tmp_path / "curve.csv", 0)
    watch = Watch(lambda text, step: seen.append(step), curve, tmp_path / "c.zip", every=1)
    model.learn(512, callback=watch)
    assert sum(seen) == model.num_timesteps == 512
    rows = read_curve(tmp_path / "curve.csv")
    assert rows[:, :2].tolist() == [[256.0, 64.0], [512.0, 128.0]], "32 episodes of 4 steps, twice"
    assert ((rows[:, 3] >= 0) & (rows[:, 3] <= 1)).all()
    assert (tmp_path / "c.zip").is_file(), "saved on the way"
    save_checkpoint(model, tmp_path / "c.zip")
    loaded = resume_model(tmp_path / "c.zip", make_env(trace_world, OPTIONS, 0), OPTIONS)
    assert loaded.num_timesteps == 512
    for one, other in zip(loaded.policy.parameters(), model.policy.parameters(), strict=True):
        assert (one == other).all()
    loaded.learn(256, reset_num_timesteps=False)
    assert loaded.num_timesteps == 768
    assert sorted(each.name for each in tmp_path.iterdir()) == ["c.zip", "curve.csv"]


@pytest.mark.parametrize("damage", ["empty", "half", "text", "missing"])
def test_a_damaged_checkpoint_is_named(
    trace_world: TraceWorld, tmp_path: Path, damage: str
) -> None:
    env = make_env(trace_world, OPTIONS, 0)
    path = tmp_path / "c.zip"
    save_checkpoint(make_model(env, OPTIONS, 0, None), path)
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "half": whole[: len(whole) // 2], "text": b"no zip", "missing": b""}[damage]
    )
    if damage == "missing":
        path.unlink()
    with pytest.raises(TraceError, match=r"c\.zip cannot be resumed here"):
        resume_model(path, env, OPTIONS)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    trace_world: TraceWorld, tmp_path: Path
) -> None:
    class Full:
        def save(self, file) -> None:  # type: ignore[no-untyped-def]
            file.write(b"some of it")
            raise OSError(28, "No space left on device")

    (tmp_path / "c.zip").write_bytes(b"the last one")
    with pytest.raises(StorageError, match="No space left on device"):
        save_checkpoint(Full(), tmp_path / "c.zip")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [
        ("c.zip", b"the last one")
    ]


def test_the_learning_rate_falls_to_zero() -> None:
    schedule = LinearSchedule(0.01)
    assert [schedule(left) for left in (1.0, 0.5, 0.0)] == [0.01, 0.005, 0.0]


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            {"steps": 0},
            {"envs": -1},
            {"learning_rate": 0.0},
            {"hidden": 0},
            {"threads": 0},
            {"batch_size": 1},
        ),
        *({"budget": 1}, {"changes": 1.5}, {"gamma": -0.1}, {"gae_lambda": 2.0}),
    ],
)
def test_a_wrong_option_names_its_key(wrong: dict[str, float]) -> None:
    (key, value), *_ = wrong.items()
    with pytest.raises(OptionError, match=rf"agent\.{key}={value}"):
        AgentOptions(**wrong)  # type: ignore[arg-type]
