"""From a trained SB3 model to a policy bundle."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3 import PPO

from envs.configuration import ConfigurationSpace, Placements
from tuner.agents.policy_net import CandidatePolicy
from tuner.policy.bundle import ARRAYS, Bundle


def bundle_of(model: PPO, space: ConfigurationSpace, candidates: Placements, slots: int, provenance: dict[str, Any]) -> Bundle:
    """The actor's weights as float32 arrays; the critic stays behind."""
    policy = model.policy
    assert isinstance(policy, CandidatePolicy)
    state = policy.state_dict()
    weights = {name: state[name].cpu().numpy().astype(np.float32) for name in (*ARRAYS, "bias")}
    weights["encoder.0.weight"] = weights["encoder.0.weight"] * state["varying"].cpu().numpy()
    return Bundle(space, candidates, slots, weights, provenance)
