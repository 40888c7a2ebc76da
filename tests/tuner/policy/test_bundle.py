"""Policy bundles decide as the SB3 model does; nothing damaged or foreign gets through."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from envs.belief.features import ALLOWED, FEATURES
from envs.errors import BundleError, StorageError
from envs.problems.world import World
from envs.tuning_env import TuningEnv
from tuner.agents.agent_options import AgentOptions
from tuner.agents.export import bundle_of
from tuner.agents.policy_net import MASKED, CandidatePolicy
from tuner.agents.training import make_env, make_model
from tuner.policy.bundle import SHAPES, Bundle, load_bundle, save_bundle
from tuner.policy.forward import NumpyPolicy

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def opinionated(trace_world: World) -> PPO:
    """Weights so large that every layer matters; a short training leaves the last near zero."""
    options = AgentOptions(steps=100, envs=4, batch_size=56, hidden=24)
    model = make_model(make_env(trace_world, options, 0), options, 0, None)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in model.policy.parameters():
            weights.copy_(0.5 * torch.randn(weights.shape, generator=generator))
    return model


def observations(model: PPO, count: int) -> np.ndarray:
    """Random numbers of the size that features have, some proposals not to be chosen."""
    rng = np.random.default_rng(2)
    shape = (count, *model.observation_space.shape)  # type: ignore[misc]
    sample = rng.normal(0.0, 1.0, shape).astype(np.float32)
    sample[:, :, ALLOWED] = rng.random(sample.shape[:2]) < 0.8
    return sample


@pytest.mark.parametrize("which", ["policy", "opinionated"])
def test_bundle_and_model_choose_alike_on_2000_random_observations(
    which: str, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(which)
    model: PPO = found[0] if isinstance(found, tuple) else found
    numpy_policy = NumpyPolicy(bundle_of(model, 8, {}))
    sample = observations(model, 2000)
    chosen = model.predict(sample, deterministic=True)[0].tolist()
    assert chosen == [numpy_policy.decide(each) for each in sample]
    assert len(set(chosen)) == sample.shape[1], "all places are chosen now and then"
    assert isinstance(model.policy, CandidatePolicy)
    with torch.no_grad():
        scores = model.policy.scores(torch.as_tensor(sample[:50]).double()).numpy()
    own = np.stack([numpy_policy.scores(each) for each in sample[:50]])
    allowed = sample[:50, :, ALLOWED] > 0.5
    assert np.allclose(scores[allowed], own[allowed], rtol=1e-6, atol=1e-9)
    assert (scores[~allowed] == MASKED).all()
    assert (own[~allowed] == -np.inf).all()


def test_a_candidate_scores_the_same_wherever_it_stands(opinionated: PPO) -> None:
    """No weight belongs to a place: who is proposed in another order is scored in that order."""
    numpy_policy = NumpyPolicy(bundle_of(opinionated, 8, {}))
    sample = observations(opinionated, 20)
    order = np.random.default_rng(0).permutation(sample.shape[1])
    for each in sample:
        assert np.allclose(
            numpy_policy.scores(each)[order], numpy_policy.scores(each[order]), rtol=1e-9, atol=1e-9
        )
    fewer = sample[0][:7]
    assert numpy_policy.scores(fewer).shape == (7,)


@pytest.mark.parametrize("world", ["trace_world", "simulated_world"])
def test_bundle_and_model_play_the_same_episodes(
    policy: tuple[PPO, Path], bundle: Bundle, world: str, request: pytest.FixtureRequest
) -> None:
    env = TuningEnv(request.getfixturevalue(world))
    numpy_policy = NumpyPolicy(bundle)
    for seed in range(8):
        observation, _ = env.reset(seed=seed)
        for _ in range(7):
            action = policy[0].predict(observation, deterministic=True)[0]
            assert numpy_policy.decide(observation) == action
            assert env.action_masks()[action]
            observation = env.step(action)[0]


def test_a_bundle_survives_its_file(policy: tuple[PPO, Path], bundle: Bundle) -> None:
    whole = bundle_of(policy[0], 8, {"seed": 0})
    assert (bundle.budget, bundle.features, bundle.provenance) == (8, FEATURES, {"seed": 0})
    assert set(bundle.weights) == set(whole.weights) == set(SHAPES)
    for name, array in whole.weights.items():
        assert array.dtype == bundle.weights[name].dtype == np.float32
        assert (array == bundle.weights[name]).all()


def test_deciding_loads_no_heavy_package(policy: tuple[PPO, Path]) -> None:
    code = f"""
import sys
HIDDEN = ("torch", "gymnasium", "hydra", "stable_baselines3")
HIDDEN += ("optuna", "pandas", "pyarrow", "scipy")
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HIDDEN:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from pathlib import Path
from envs.spec import Objective
from envs.simulator.known_devices import model_for
from tests.worlds import respond, space
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from envs.problems.problem import Problem
world = space()
model, start = model_for(world), world.default()
problem = Problem(world, world.catalogue, Objective((30.0,)), start, model=model)
tuner = LearnedTuner(load_bundle(Path({str(policy[1])!r})), problem)
asked = []
for _ in range(3):
    asked.append(tuner.ask())
    tuner.tell(asked[-1], respond(world, asked[-1]))
print(asked[0] == world.default() != asked[1])  # the default takes 50 ms
"""
    # The package is hidden before anything looks for it: a device has no gymnasium.
    code = (
        "import importlib.util as u\nf = u.find_spec\n"
        "u.find_spec = lambda n, p=None: None if n == 'gymnasium' else f(n, p)\n" + code
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert told.stdout == "True\n", told.stderr


class Bomb:
    """Unpickling this would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


def altered(bundle: Bundle, path: Path, **changes: object) -> Path:
    """The bundle's file with some arrays replaced, or left out where the change is None."""
    save_bundle(path, bundle)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files} | {
            name.replace("__", "."): array for name, array in changes.items()
        }
    np.savez(
        path.with_suffix(".npz"),
        **{name: array for name, array in arrays.items() if array is not None},
    )  # type: ignore[arg-type]
    return path.with_suffix(".npz")


def manifest(**changes: object) -> np.ndarray:
    whole = {"format": 3, "budget": 8, "features": list(FEATURES), "provenance": {}} | changes
    return np.frombuffer(json.dumps(whole).encode(), dtype=np.uint8)


def test_every_damaged_bundle_gets_one_sentence(bundle: Bundle, tmp_path: Path) -> None:
    save_bundle(tmp_path / "whole", bundle)
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cut").write_bytes(whole[:-1])
    (tmp_path / "flipped").write_bytes(
        whole[:500] + bytes(byte ^ 0xFF for byte in whole[500:600]) + whole[600:]
    )
    (tmp_path / "text").write_text("not a bundle")
    (tmp_path / "empty").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "foreign", "w") as archive:
        archive.writestr("hello.txt", "a zip of something else")
    evil = np.array([Bomb(tmp_path / "pwned")], dtype=object)
    hidden = len(bundle.weights["first.bias"])
    numbers = bundle.weights["score.weight"].copy()
    numbers[0, 3] = np.nan
    cases = {
        tmp_path / "missing": "there is no policy bundle",
        tmp_path: "damaged or no policy bundle",
        tmp_path / "half": "damaged or no policy bundle",
        tmp_path / "cut": "damaged or no policy bundle",
        tmp_path / "flipped": "damaged or no policy bundle",
        tmp_path / "text": "damaged or no policy bundle",
        tmp_path / "empty": "damaged or no policy bundle",
        tmp_path / "foreign": "damaged or no policy bundle",
        altered(bundle, tmp_path / "a", manifest=None): "damaged or no policy bundle",
        altered(
            bundle, tmp_path / "b", manifest=np.frombuffer(b"{}", dtype=np.uint8)
        ): "damaged or no policy bundle",
        altered(
            bundle, tmp_path / "c", manifest=np.frombuffer(b"[1, 2]", dtype=np.uint8)
        ): "damaged or no policy bundle",
        altered(
            bundle, tmp_path / "d", manifest=manifest(format=1)
        ): "bundle format 1, this version reads 3",
        altered(
            bundle, tmp_path / "e", manifest=manifest(budget="many")
        ): "damaged or no policy bundle",
        altered(bundle, tmp_path / "f", manifest=manifest(budget=1)): "a budget of 1 measurements",
        altered(
            bundle, tmp_path / "g", manifest=manifest(features=list(FEATURES[:-1]))
        ): "observes other features",
        altered(
            bundle, tmp_path / "h", manifest=manifest(features=list(reversed(FEATURES)))
        ): "observes other features",
        altered(bundle, tmp_path / "i", trust=None): "arrays are not those of a policy",
        altered(
            bundle, tmp_path / "j", more=np.zeros(3, np.float32)
        ): "arrays are not those of a policy",
        altered(bundle, tmp_path / "k", score__weight=numbers): "score.weight is not finite",
        altered(
            bundle, tmp_path / "l", trust=np.array([np.inf, 0], np.float32)
        ): "trust is not finite",
        altered(bundle, tmp_path / "m", trust=evil): "damaged or no policy bundle",
        altered(
            bundle, tmp_path / "n", first__bias=np.zeros(0, np.float32)
        ): "first.weight is not finite float32 of shape H x F",
        altered(
            bundle, tmp_path / "o", first__bias=bundle.weights["first.bias"].astype(np.float64)
        ): "first.bias is not finite float32",
        altered(
            bundle, tmp_path / "p", first__weight=np.zeros((hidden, 7), np.float32)
        ): "first.weight is not finite float32 of shape H x F",
        altered(
            bundle, tmp_path / "q", summary__weight=np.zeros((hidden, hidden), np.float32)
        ): "summary.weight is not finite float32 of shape H x 2H",
        altered(
            bundle, tmp_path / "r", second__weight=bundle.weights["second.weight"][:, None]
        ): "second.weight is not finite float32 of shape H x H",
        altered(
            bundle, tmp_path / "s", score__bias=np.array(["x"])
        ): "score.bias is not finite float32",
    }
    for path, sentence in cases.items():
        with pytest.raises(BundleError, match=sentence) as error:
            load_bundle(path)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "pwned").exists(), "opening a bundle never runs code"


def test_a_bundle_that_claims_too_much_is_not_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "big", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.npy", io.BytesIO(b"0" * (65 * 2**20)).getbuffer().tobytes())
    with pytest.raises(BundleError, match="claims more than"):
        load_bundle(tmp_path / "big")


def test_a_bundle_that_cannot_be_written_says_so(bundle: Bundle) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        save_bundle(Path("/proc/nowhere/p.bundle"), bundle)
