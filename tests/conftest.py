"""Fixtures that many tests share: networks, spaces, traces, problems, and a small policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import pytest
from hypothesis import settings

from envs.catalog.architectures import build
from envs.graph.reading import read_network
from envs.problems.draw_options import DrawOptions
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.trace_world import TraceWorld
from envs.spec import ConfigurationSpace, local_computer, workload_of
from envs.traces.reader import Trace
from tests.worlds import space, write_trace

if TYPE_CHECKING:
    from stable_baselines3 import PPO

    from tests.envs.accuracy.digits import Digits


# A busy computer is no reason for a property to fail, and every run tries the same examples.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


@pytest.fixture(scope="session")
def small_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of SqueezeNet 1.1 for small images, which takes a millisecond."""
    path = tmp_path_factory.mktemp("networks") / "small.onnx"
    onnx.save(build("squeezenet1_1", image_size=48, classes=10), path)
    return path


@pytest.fixture(scope="session")
def other_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a second tenant."""
    path = tmp_path_factory.mktemp("networks") / "other.onnx"
    onnx.save(build("squeezenet1_1", image_size=32, classes=5), path)
    return path


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    """Return a trained network whose INT8 copy is wrong unless it is calibrated."""
    from tests.envs.accuracy.digits import make

    return make(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that keeps the quantised copy of the small network for the session."""
    return tmp_path_factory.mktemp("quantised")


@pytest.fixture(scope="session")
def live_space(small_onnx: Path) -> ConfigurationSpace:
    return ConfigurationSpace(
        local_computer(cores=1), workload_of([read_network(small_onnx)]), 2, (1, 4)
    )


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Return a trace of one tenant with all configurations."""
    return write_trace(tmp_path_factory.mktemp("traces") / "paper.parquet", space())


@pytest.fixture(scope="session")
def two_tenant_trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Return a trace of two tenants with at most four instances together."""
    world = space(tenants=2, max_instances=2, batches=(1, 4), max_total_instances=4)
    return write_trace(tmp_path_factory.mktemp("traces") / "paper_two.parquet", world, power=True)


@pytest.fixture(scope="session")
def trace_world(trace: Trace) -> TraceWorld:
    return TraceWorld(trace, count=8)


@pytest.fixture(scope="session")
def two_tenant_world(two_tenant_trace: Trace) -> TraceWorld:
    return TraceWorld(two_tenant_trace, count=8)


@pytest.fixture(scope="session")
def simulated_world() -> SimulatedWorld:
    """Return problems of a board and of computers, with one tenant and with two."""
    return SimulatedWorld(
        DrawOptions(boards=["orin_nano_8"], small_spaces=1.0, tenants=[0.6, 0.4], plain=0.3),
        8,
        0,
        whole=True,
    )


@pytest.fixture(scope="session")
def policy(trace_world: TraceWorld, tmp_path_factory: pytest.TempPathFactory) -> tuple[PPO, Path]:
    """Return a policy after a short training, as a model and as a bundle."""
    from tuner.agents.agent_options import AgentOptions
    from tuner.agents.export import bundle_of
    from tuner.agents.training import make_env, make_model
    from tuner.policy.bundle import save_bundle

    options = AgentOptions(steps=4000, envs=64, batch_size=448)
    model = make_model(make_env(trace_world, options, 0), options, 0, None)
    model.learn(options.steps)
    path = tmp_path_factory.mktemp("policy") / "policy.bundle"
    save_bundle(path, bundle_of(model, options.budget, {"seed": 0}))
    return model, path
