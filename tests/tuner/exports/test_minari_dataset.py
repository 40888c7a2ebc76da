"""Episodes as a Minari dataset: what is read back is what the environment gave, to the bit."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest

from envs.belief.features import FEATURES
from envs.errors import DependencyError, OptionError
from envs.problems.simulated_world import SimulatedWorld
from envs.traces.reader import Trace
from envs.tuning_env import TuningEnv
from tests.commands import call
from tuner.exports.episodes import decider, play
from tuner.exports.minari_dataset import write_episodes


@pytest.fixture(autouse=True)
def _datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))


def replay(env: Any, seed: int, actions: np.ndarray) -> dict[str, np.ndarray]:
    """Return what an environment gives after a reset with a seed, for these actions."""
    observation, _ = env.reset(seed=seed)
    seen = {"observations": [observation], "masks": [env.unwrapped.action_masks()]}
    seen |= {"rewards": [], "shares": [], "ends": []}
    for action in actions:
        observation, reward, terminated, _, info = env.step(action)
        seen["observations"].append(observation)
        seen["masks"].append(env.unwrapped.action_masks())
        seen["rewards"].append(reward)
        seen["shares"].append(info["share"])
        seen["ends"].append(terminated)
    return {name: np.array(values) for name, values in seen.items()}


@pytest.mark.parametrize("tuner", ["policy", "expected_gain", "random"])
def test_what_is_read_back_is_what_the_environment_gives_to_the_bit(
    trace: Trace, tuner: str
) -> None:
    written = write_episodes(
        "aa/paper-v0", str(trace.path), tuner, 5, budget=4, risk="0.5", seed=11
    )
    read = minari.load_dataset("aa/paper-v0")
    assert written.total_episodes == read.total_episodes == 5
    assert read.total_steps == 5 * 3
    env = read.recover_environment()
    for number, episode in enumerate(read):
        again = replay(env, 11 + number, episode.actions)
        assert episode.observations.dtype == np.float32
        assert (episode.observations == again["observations"]).all()
        assert (episode.rewards == again["rewards"]).all()
        assert (episode.terminations == again["ends"]).all()
        assert not episode.truncations.any()
        assert (episode.infos["action_mask"] == again["masks"]).all()
        assert (episode.infos["share"][1:] == again["shares"]).all()
        assert episode.infos["action_mask"][np.arange(3), episode.actions].all()
        if tuner == "expected_gain":
            net = episode.observations[:-1, :, FEATURES.index("net_gain")]
            best = np.where(episode.infos["action_mask"][:-1], net, -np.inf).argmax(axis=1)
            assert (episode.actions == best).all()
    seeds = [each["seed"] for each in read.storage.get_episode_metadata(range(5))]
    assert seeds == list(range(11, 16))


def test_the_metadata_tell_the_origin_the_tuner_and_the_features(trace: Trace) -> None:
    told = write_episodes("aa/paper-v1", str(trace.path), "policy", 1).storage.metadata
    assert told["origin"] == "replayed"
    assert told["risk"] == "balanced"
    assert told["algorithm_name"] == "policy"
    assert told["features"] == list(FEATURES)
    assert told["world"] == str(trace.path)
    assert "numpy" in told["versions"]
    assert "steps" in told["policy"]


def test_episodes_in_the_model_are_those_of_the_environment(
    simulated_world: SimulatedWorld,
) -> None:
    seeds = [3, 4, 1000]
    env = TuningEnv(simulated_world, budget=5)
    for episode in play(simulated_world, decider("random", seed=1), seeds, 5):
        again = replay(env, episode.seed, episode.actions)
        assert (episode.observations == again["observations"]).all()
        assert (episode.rewards == again["rewards"]).all()
        assert (episode.infos["share"][1:] == again["shares"]).all()


def test_the_number_played_side_by_side_changes_nothing(
    simulated_world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = list(play(simulated_world, decider("expected_gain"), range(5), 4))
    monkeypatch.setattr("tuner.exports.episodes.ROWS", 2)
    apart = list(play(simulated_world, decider("expected_gain"), range(5), 4))
    assert [each.seed for each in apart] == list(range(5))
    for one, other in zip(together, apart, strict=True):
        assert (one.observations == other.observations).all()


def test_the_command_says_what_it_wrote(trace: Trace, tmp_path: Path) -> None:
    given = ("--world", trace.path, "--episodes", 2, "--budget", 3, "--dataset", "aa/paper-v2")
    result = call("episodes", *given)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "aa" / "paper-v2" / "data"
    assert f"wrote 2 episodes, 4 steps (replayed), into {folder}" in result.stdout
    again = call("episodes", *given)
    assert again.returncode == 2
    assert "dataset=aa/paper-v2 is there already" in again.stderr


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"dataset": "paper"}, "dataset='paper' must be a name with a version"),
        ({"dataset": "../paper-v0"}, "must be a name with a version"),
        ({"tuner": "hill_climb"}, "tuner='hill_climb' must be one of policy, expected_gain"),
        ({"bundle": Path("my.bundle")}, "bundle has no meaning for tuner=expected_gain"),
        ({"episodes": 0}, "episodes=0 must be at least 1"),
        ({"budget": 1}, "budget=1 must be at least 2"),
        ({"risk": "brave"}, "risk=brave must be bold"),
        ({"seed": -1}, "seed=-1 must be at least 0"),
        ({"split": "half"}, "split='half' must be one of"),
        ({"world": "mars"}, "world='mars' is neither a board"),
    ],
)
def test_a_wrong_option_is_named_and_leaves_nothing(
    wrong: dict[str, Any], sentence: str, trace: Trace, tmp_path: Path
) -> None:
    given = {"dataset": "aa/paper-v3", "world": str(trace.path), "episodes": 1} | wrong
    with pytest.raises(OptionError, match=sentence):
        write_episodes(**given)
    assert not list(tmp_path.iterdir())


def test_an_interruption_leaves_no_half_dataset(
    trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object, **more: object) -> None:
        warnings.warn("half of it", stacklevel=1)  # Minari's own are not shown
        (tmp_path / "aa" / "paper-v4").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(minari, "create_dataset_from_buffers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_episodes("aa/paper-v4", str(trace.path), episodes=1)
    assert not list((tmp_path / "aa").iterdir())


def test_without_minari_the_extra_is_named(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(DependencyError, match=r"pip install 'orin-tuner\[minari\]'"):
        write_episodes("aa/paper-v5", str(trace.path))
