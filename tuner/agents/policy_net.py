"""The policy network: one score a candidate, from what the candidate is and what was observed.

score(candidate) = <embedding of its features, encoding of the observation> + bias of the candidate. A softmax over whole
configurations knows joint limits exactly (an impossible one is no candidate), and the shared embedding lets what is learned of
one configuration count for its neighbours. Candidates measured already are masked: on a device that keeps still, measuring one
again teaches nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn
from torch.nn import functional

#: Added to the score of a candidate that was measured already.
MASKED = -1e8


class CandidatePolicy(ActorCriticPolicy):
    """Actor and critic over a list of candidates.

    Args:
        features: [N, F] of the candidates, from `ObservationLayout.features`.
        slots: how many numbers at the end of an observation are actions taken so far.
        varying: [D - slots], which of the other numbers differ between observations in training. The rest (the description of the one
            network that is trained on, say) is left out: nothing can be learned of it, and untrained weights would make noise of it
            on another network.
        hidden: width of the two hidden layers of actor and critic. embedding: numbers a candidate is summarised in.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        features: list[list[float]],
        slots: int,
        varying: list[bool],
        hidden: int = 128,
        embedding: int = 64,
        **kwargs: Any,
    ) -> None:
        self._features = features
        self._slots = slots
        self._varying = varying
        self._hidden = hidden
        self._embedding = embedding
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {
            "features": self._features,
            "slots": self._slots,
            "varying": self._varying,
            "hidden": self._hidden,
            "embedding": self._embedding,
        }
        return super()._get_constructor_parameters() | own

    def _build(self, lr_schedule: Schedule) -> None:
        assert isinstance(self.observation_space, spaces.Box)
        assert isinstance(self.action_space, spaces.Discrete)
        candidates = torch.as_tensor(np.array(self._features, dtype=np.float32))
        seen = int(self.observation_space.shape[0]) - self._slots
        self.register_buffer("candidates", candidates)
        self.register_buffer("varying", torch.as_tensor(np.array(self._varying, dtype=np.float32)))
        self.encoder = _stack(seen, self._hidden, self._embedding, last_gain=0.01)
        self.embedder = _stack(candidates.shape[1], 64, self._embedding, last_gain=1.0)
        self.bias = nn.Parameter(torch.zeros(len(candidates)))
        self.critic = _stack(seen, self._hidden, 1, last_gain=1.0)
        self.action_dist = CategoricalDistribution(int(self.action_space.n))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def scores(self, obs: torch.Tensor) -> torch.Tensor:
        """[B, N]"""
        taken = obs[:, -self._slots :].long()
        embedded = _run(self.embedder, self.get_buffer("candidates").to(obs.dtype))
        scores = _run(self.encoder, self._seen(obs)) @ embedded.T + self.bias.to(obs.dtype)
        # One column more takes the marks of the empty slots, which are -1.
        mask = torch.zeros(len(obs), scores.shape[1] + 1, device=obs.device, dtype=obs.dtype)
        mask.scatter_(1, torch.where(taken < 0, scores.shape[1], taken), MASKED)
        masked: torch.Tensor = scores + mask[:, :-1]
        return masked

    def forward(self, obs: torch.Tensor, deterministic: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        distribution = self.get_distribution(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, self.predict_values(obs), distribution.log_prob(actions)

    def evaluate_actions(self, obs: PyTorchObs, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        distribution = self.get_distribution(obs)
        return self.predict_values(obs), distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: PyTorchObs) -> CategoricalDistribution:
        assert isinstance(obs, torch.Tensor)
        distribution = self.action_dist.proba_distribution(self.scores(obs))
        assert isinstance(distribution, CategoricalDistribution)
        return distribution

    def predict_values(self, obs: PyTorchObs) -> torch.Tensor:
        assert isinstance(obs, torch.Tensor)
        value: torch.Tensor = self.critic(self._seen(obs))
        return value

    def _seen(self, obs: torch.Tensor) -> torch.Tensor:
        return obs[:, : -self._slots] * self.get_buffer("varying")

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> torch.Tensor:
        if deterministic:
            # In double precision, as the bundle decides: in single, two candidates may tie, and the order of additions would choose.
            assert isinstance(observation, torch.Tensor)
            return self.scores(observation.double()).argmax(dim=1)
        return self.get_distribution(observation).get_actions(deterministic=deterministic)


def _run(stack: nn.Sequential, values: torch.Tensor) -> torch.Tensor:
    """The stack in the precision of `values`, whatever that of its weights."""
    for layer in stack:
        values = functional.linear(values, layer.weight.to(values.dtype), layer.bias.to(values.dtype)) if isinstance(layer, nn.Linear) else layer(values)
    return values


def _stack(inputs: int, hidden: int, outputs: int, last_gain: float) -> nn.Sequential:
    """Two hidden layers, orthogonal weights (the initialisation that SB3's own policies use)."""
    layers = [nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)]
    for position, layer in enumerate(layers):
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain=last_gain if position == 4 else 2**0.5)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
