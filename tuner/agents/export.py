"""Turn a trained SB3 model into a policy bundle, and start one from a bundle."""

from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO

from envs.belief.features import FEATURES
from tuner.agents.policy_net import CandidatePolicy
from tuner.policy.bundle import SHAPES, Bundle


def bundle_of(model: PPO, budget: int, provenance: dict[str, Any]) -> Bundle:
    """Return the actor's weights as a bundle, in float32; the critic stays behind."""
    policy = model.policy
    assert isinstance(policy, CandidatePolicy)
    state = policy.state_dict()
    return Bundle(
        budget,
        {name: state[name].cpu().numpy().astype(np.float32) for name in SHAPES},
        FEATURES,
        provenance,
    )


def start_from(model: PPO, bundle: Bundle) -> None:
    """Give the actor the weights of a bundle; the critic starts anew."""
    weights = {name: torch.from_numpy(array) for name, array in bundle.weights.items()}
    model.policy.load_state_dict(weights, strict=False)
