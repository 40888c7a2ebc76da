"""The policy network: one score for each candidate, from its features and those of the others.

Every candidate goes through the same small network, which also sees a summary of all of them (a set
network, Zaheer et al. 2017); a softmax over the scores chooses. No weight belongs to a knob, an
accelerator or a tenant, so that one policy serves every device. Training starts from a sensible
search: the score begins as the expected gain net of the risk of breaking a limit, relative to the
largest one.
"""

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn
from torch.nn import functional

from envs.belief.features import ALLOWED
from tuner.policy.bundle import TRUSTED

#: The score of a candidate that may not be chosen.
MASKED = -1e8
#: Weights that the score begins with, of the features `tuner.policy.bundle.TRUSTED`: so it chooses
#: at random among what is nearly as good as the best by the untrained rule, and mostly the best.
TRUST = (0.2, 3.0, 3.0)


class CandidatePolicy(ActorCriticPolicy):
    """Actor and critic over candidates [B, M, F].

    Args:
        hidden: width of the layers.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        hidden: int,
        **kwargs: Any,
    ) -> None:
        self._hidden = hidden
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"hidden": self._hidden}

    def _build(self, lr_schedule: Schedule) -> None:
        assert isinstance(self.observation_space, spaces.Box)
        assert isinstance(self.action_space, spaces.Discrete)
        features, hidden = int(self.observation_space.shape[1]), self._hidden
        self.first = _linear(features, hidden, 2**0.5)
        self.summary = _linear(2 * hidden, hidden, 2**0.5)
        self.second = _linear(hidden, hidden, 2**0.5)
        self.score = _linear(hidden, 1, 0.01)
        self.trust = nn.Parameter(torch.tensor(TRUST))
        self.value = _linear(2 * hidden, hidden, 2**0.5)
        self.value_out = _linear(hidden, 1, 1.0)
        self.action_dist = CategoricalDistribution(int(self.action_space.n))
        self.optimizer = self.optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )  # type: ignore[call-arg]

    def _pooled(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        each = functional.relu(_run(self.first, obs))
        return each, torch.cat([each.mean(dim=1), each.amax(dim=1)], dim=1)

    def _scores(self, obs: torch.Tensor, each: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        common = _run(self.summary, pooled)[:, None]
        own = functional.relu(_run(self.second, each) + common)
        scores = _run(self.score, own)[:, :, 0] + obs[:, :, TRUSTED] @ self.trust.to(obs.dtype)
        return torch.where(obs[:, :, ALLOWED] > 0.5, scores, torch.full_like(scores, MASKED))

    def scores(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the scores [B, M] of observations [B, M, F]."""
        return self._scores(obs, *self._pooled(obs))

    def _values(self, pooled: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = _run(self.value_out, functional.relu(_run(self.value, pooled)))
        return value

    def forward(
        self, obs: torch.Tensor, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        each, pooled = self._pooled(obs)
        distribution = self.action_dist.proba_distribution(self._scores(obs, each, pooled))
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, self._values(pooled), distribution.log_prob(actions)

    def evaluate_actions(
        self, obs: PyTorchObs, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        assert isinstance(obs, torch.Tensor)
        each, pooled = self._pooled(obs)
        distribution = self.action_dist.proba_distribution(self._scores(obs, each, pooled))
        return self._values(pooled), distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: PyTorchObs) -> CategoricalDistribution:
        assert isinstance(obs, torch.Tensor)
        distribution = self.action_dist.proba_distribution(self.scores(obs))
        assert isinstance(distribution, CategoricalDistribution)
        return distribution

    def predict_values(self, obs: PyTorchObs) -> torch.Tensor:
        assert isinstance(obs, torch.Tensor)
        return self._values(self._pooled(obs)[1])

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> torch.Tensor:
        if deterministic:
            # In double precision, as the bundle decides: in single precision two candidates may
            # tie, and the order of additions would choose.
            assert isinstance(observation, torch.Tensor)
            return self.scores(observation.double()).argmax(dim=1)
        return self.get_distribution(observation).get_actions(deterministic=deterministic)


def _run(layer: nn.Linear, values: torch.Tensor) -> torch.Tensor:
    """Run the layer in the precision of `values`, whatever that of its weights."""
    return functional.linear(values, layer.weight.to(values.dtype), layer.bias.to(values.dtype))


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain=gain)
    nn.init.zeros_(layer.bias)
    return layer
