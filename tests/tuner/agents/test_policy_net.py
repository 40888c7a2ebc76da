"""The policy network: what it begins with, what it may choose, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from envs.belief.features import ALLOWED, FEATURES
from envs.problems.trace_world import TraceWorld
from tuner.agents.agent_options import AgentOptions
from tuner.agents.policy_net import TRUST, TRUSTED, CandidatePolicy
from tuner.agents.training import make_env, make_model

OPTIONS = AgentOptions(steps=1000, envs=64, batch_size=448, hidden=16)


@pytest.fixture(scope="module")
def model(trace_world: TraceWorld) -> PPO:
    return make_model(make_env(trace_world, OPTIONS, 0), OPTIONS, 0, None)


@pytest.fixture(scope="module")
def net(model: PPO) -> CandidatePolicy:
    assert isinstance(model.policy, CandidatePolicy)
    return model.policy


def sample(count: int, proposals: int = 24, allowed: float = 0.5) -> torch.Tensor:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (count, proposals, len(FEATURES))).astype(np.float32)
    values[:, :, ALLOWED] = rng.random((count, proposals)) < allowed
    values[:, 0, ALLOWED] = 1
    return torch.as_tensor(values)


def test_training_starts_from_expected_gain_net_of_the_risk(net: CandidatePolicy) -> None:
    named = [FEATURES[place] for place in TRUSTED]
    assert named == ["acquisition", "relative_gain", "relative_gain_per_second"]
    obs = sample(200)
    with torch.no_grad():
        scores = net.scores(obs)
    gain = obs[:, :, TRUSTED] @ torch.tensor(TRUST)
    allowed = obs[:, :, ALLOWED] > 0.5
    assert (scores - gain)[allowed].abs().max() < 0.2, "the network itself has next to no say yet"


def test_what_may_not_be_chosen_never_is(net: CandidatePolicy) -> None:
    obs = sample(400, allowed=0.1)
    with torch.no_grad():
        for deterministic in (False, True):
            actions = net._predict(obs, deterministic)
            assert (obs[torch.arange(400), actions, ALLOWED] > 0.5).all()
        actions, values, log_prob = net(obs)
        distribution = net.get_distribution(obs).distribution
    assert (obs[torch.arange(400), actions, ALLOWED] > 0.5).all()
    assert values.shape == (400, 1)
    assert torch.isfinite(log_prob).all()
    assert torch.allclose(distribution.probs.sum(dim=1), torch.ones(400))  # type: ignore[union-attr]


def test_evaluating_actions_agrees_with_choosing_them(net: CandidatePolicy) -> None:
    obs = sample(50)
    with torch.no_grad():
        actions, values, log_prob = net(obs)
        again, same_log_prob, entropy = net.evaluate_actions(obs, actions)
        assert torch.allclose(values, again)
        assert torch.allclose(log_prob, same_log_prob)
        assert torch.allclose(values, net.predict_values(obs))
    assert entropy is not None
    assert (entropy >= 0).all()
    assert (entropy <= np.log(24) + 1e-5).all()


def test_the_order_of_proposals_means_nothing(net: CandidatePolicy) -> None:
    obs, order = sample(20), torch.randperm(24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(net.scores(obs)[:, order], net.scores(obs[:, order]), atol=1e-4)
        assert torch.allclose(net.predict_values(obs), net.predict_values(obs[:, order]), atol=1e-5)


def test_the_weights_do_not_depend_on_how_many_are_proposed(net: CandidatePolicy) -> None:
    with torch.no_grad():
        assert net.scores(sample(3, proposals=5)).shape == (3, 5)
        assert net.scores(sample(3, proposals=200)).shape == (3, 200)


def test_a_network_survives_its_checkpoint(model: PPO, net: CandidatePolicy, tmp_path) -> None:  # type: ignore[no-untyped-def]
    model.save(tmp_path / "model.zip")
    loaded = PPO.load(tmp_path / "model.zip", device="cpu").policy
    assert isinstance(loaded, CandidatePolicy)
    with torch.no_grad():
        assert torch.equal(loaded.scores(sample(5)), net.scores(sample(5)))
