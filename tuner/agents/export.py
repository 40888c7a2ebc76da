"""From a trained SB3 model to a policy bundle."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3 import PPO

from envs.belief.features import FEATURES
from tuner.agents.policy_net import CandidatePolicy
from tuner.policy.bundle import SHAPES, Bundle


def bundle_of(model: PPO, budget: int, provenance: dict[str, Any]) -> Bundle:
    """The actor's weights as float32 arrays; the critic stays behind."""
    policy = model.policy
    assert isinstance(policy, CandidatePolicy)
    state = policy.state_dict()
    return Bundle(
        budget,
        {name: state[name].cpu().numpy().astype(np.float32) for name in SHAPES},
        FEATURES,
        provenance,
    )
