"""Policy bundles: the same decisions as the SB3 model, and nothing damaged or foreign gets through."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import PPO

from envs.configuration import Configuration
from envs.errors import BundleError, StorageError
from envs.objective import Objective
from envs.traces.reader import Trace
from envs.world import TraceWorld
from tests.worlds import network, space
from tuner.agents.export import bundle_of
from tuner.agents.training import AgentOptions, make_env, make_model
from tuner.policy.bundle import Bundle, load_bundle, save_bundle
from tuner.policy.forward import NumpyPolicy
from tuner.policy.learned import LearnedTuner
from tuner.search.protocol import Problem

OPTIONS = AgentOptions(steps=2000, envs=32, batch_size=224, hidden=32, embedding=16)


def trained(trace: Trace, folder: Path) -> tuple[PPO, Bundle]:
    world = TraceWorld(trace)
    model = make_model(make_env(world, OPTIONS, 0), OPTIONS, 0, folder)
    model.learn(OPTIONS.steps)
    bundle = bundle_of(model, trace.space, world.candidates, OPTIONS.budget, {"seed": 0})
    save_bundle(folder / "policy.bundle", bundle)
    return model, load_bundle(folder / "policy.bundle")


@pytest.fixture(scope="module")
def policy(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> tuple[PPO, Bundle]:
    return trained(trace, tmp_path_factory.mktemp("policy"))


@pytest.mark.parametrize("name", ["trace", "two_tenant_trace"])
def test_bundle_and_model_choose_alike_on_2000_random_observations(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    trace = request.getfixturevalue(name)
    model, bundle = trained(trace, tmp_path)
    decide = NumpyPolicy(bundle, trace.space).decide
    observations = model.observation_space
    observations.seed(1)
    sample = np.stack([observations.sample() for _ in range(2000)])
    assert model.predict(sample, deterministic=True)[0].tolist() == [decide(each) for each in sample]


def test_a_bundle_survives_its_file(policy: tuple[PPO, Bundle], trace: Trace) -> None:
    bundle = policy[1]
    assert bundle.space == trace.space
    assert (bundle.candidates == trace.placements).all()
    assert bundle.provenance == {"seed": 0}


def test_deciding_loads_no_heavy_package(policy: tuple[PPO, Bundle], tmp_path: Path) -> None:
    save_bundle(tmp_path / "p.bundle", policy[1])
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "gymnasium", "hydra", "stable_baselines3", "optuna", "pandas"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from pathlib import Path
from envs.objective import Objective
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.protocol import Problem
bundle = load_bundle(Path({str(tmp_path / "p.bundle")!r}))
tuner = LearnedTuner(bundle, Problem(bundle.space, bundle.candidates, Objective((60.0,)), bundle.space.default()))
print(tuner.ask() == bundle.space.default())
"""
    # find_spec of gymnasium must say "absent" as on a device, so the package is hidden before anything looks for it.
    code = "import importlib.util as u\nf = u.find_spec\nu.find_spec = lambda n, p=None: None if n == 'gymnasium' else f(n, p)\n" + code
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert told.stdout == "True\n", told.stderr


def test_no_measured_or_impossible_candidate_is_chosen(policy: tuple[PPO, Bundle], trace: Trace) -> None:
    bundle = policy[1]
    allowed = trace.placements[:, 0, 0, 0] == 0  # no cpu_fp32 here
    problem = Problem(trace.space, trace.placements[allowed], Objective((60.0,)), Configuration((((0, 0), (1, 1)),)))
    tuner = LearnedTuner(bundle, problem)
    asked = []
    for _ in range(bundle.slots):
        configuration = tuner.ask()
        asked.append(configuration)
        tuner.tell(configuration, trace.outcome(configuration))
    assert len(set(asked)) == len(asked)
    assert all(configuration.placements[0][0] == (0, 0) for configuration in asked)
    best = max(asked, key=lambda each: problem.judge(trace.outcome(each))[0] * (problem.judge(trace.outcome(each))[1] <= 0))
    assert tuner.ask() == best, "beyond its horizon it answers with the best it found"


def test_memory_of_this_device_is_obeyed(policy: tuple[PPO, Bundle]) -> None:
    small = space(memory_mib=300.0)
    possible = NumpyPolicy(policy[1], small).possible
    assert 0 < possible.sum() < len(possible)


@pytest.mark.parametrize("change", [{"tenants": 2, "max_instances": 2}, {"max_instances": 2}, {"batches": (1, 8)}])
def test_a_bundle_from_another_space_is_refused(policy: tuple[PPO, Bundle], change: dict[str, object]) -> None:
    with pytest.raises(BundleError, match="from another space"):
        NumpyPolicy(policy[1], space(**change))  # type: ignore[arg-type]


def test_another_network_is_the_same_space(policy: tuple[PPO, Bundle]) -> None:
    policy[1].check_space(space())
    assert network().macs != network(scale=0.1).macs


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
        arrays = {name: file[name] for name in file.files} | changes
    np.savez(path.with_suffix(".npz"), **{name: array for name, array in arrays.items() if array is not None})  # type: ignore[arg-type]
    return path.with_suffix(".npz")


def manifest(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def test_every_damaged_bundle_gets_one_sentence(policy: tuple[PPO, Bundle], tmp_path: Path) -> None:
    bundle = policy[1]
    save_bundle(tmp_path / "whole", bundle)
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text").write_text("not a bundle")
    (tmp_path / "empty").write_bytes(b"")
    evil = np.array([Bomb(tmp_path / "pwned")], dtype=object)
    cases = {
        tmp_path / "missing": "there is no policy bundle",
        tmp_path / "half": "damaged or no policy bundle",
        tmp_path / "text": "damaged or no policy bundle",
        tmp_path / "empty": "damaged or no policy bundle",
        altered(bundle, tmp_path / "a", manifest=None): "damaged or no policy bundle",
        altered(bundle, tmp_path / "b", manifest=manifest("{}")): "damaged or no policy bundle",
        altered(bundle, tmp_path / "c", manifest=manifest(json.dumps({"format": 99}))): "bundle format 99",
        altered(bundle, tmp_path / "d", bias=None): "arrays are not those of a policy",
        altered(bundle, tmp_path / "e", bias=np.full(len(bundle.candidates), np.nan, np.float32)): "bias is not finite",
        altered(bundle, tmp_path / "f", bias=np.zeros(3, np.float32)): "3 biases",
        altered(bundle, tmp_path / "g", candidates=bundle.candidates[:, 0]): "candidates have shape",
        altered(bundle, tmp_path / "h", candidates=bundle.candidates + 50): "outside its space",
        altered(bundle, tmp_path / "i", bias=evil): "damaged or no policy bundle",
    }
    for path, sentence in cases.items():
        with pytest.raises(BundleError, match=sentence) as error:
            load_bundle(path)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "pwned").exists(), "opening a bundle never runs code"
    assert pickle.loads(pickle.dumps(1)) == 1


def test_wrong_shapes_inside_are_found_when_it_is_used(policy: tuple[PPO, Bundle], trace: Trace, tmp_path: Path) -> None:
    for name, shape in (("encoder.0.weight", (32, 7)), ("encoder.2.weight", (5, 5)), ("embedder.4.weight", (16, 3))):
        path = altered(policy[1], tmp_path / name, **{name: np.zeros(shape, np.float32)})
        with pytest.raises(BundleError):
            NumpyPolicy(load_bundle(path), trace.space)


def test_a_bundle_that_claims_too_much_is_not_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "big", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.npy", io.BytesIO(b"0" * (300 * 2**20)).getbuffer().tobytes())
    with pytest.raises(BundleError, match="claims more than"):
        load_bundle(tmp_path / "big")


def test_a_bundle_that_cannot_be_written_says_so(policy: tuple[PPO, Bundle]) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        save_bundle(Path("/proc/nowhere/p.bundle"), policy[1])
