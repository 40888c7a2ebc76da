"""The policy's decision in NumPy: what `tuner.agents.policy_net.CandidatePolicy` computes, without torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from envs.configuration import ConfigurationSpace
from envs.errors import BundleError
from envs.observation import ObservationLayout
from envs.validity import VALID, judge
from tuner.policy.bundle import Bundle

Numbers = npt.NDArray[np.float64]


class NumpyPolicy:
    """Decides in one space. What is impossible there is never chosen. Computes in double precision: see `CandidatePolicy._predict`.

    Args:
        allowed: [N] of the bundle's candidates, further restricting them.
    """

    def __init__(self, bundle: Bundle, space: ConfigurationSpace, allowed: npt.NDArray[np.bool_] | None = None) -> None:
        bundle.check_space(space)
        self.layout = ObservationLayout(space, bundle.candidates, bundle.slots)
        weights = {name: array.astype(np.float64) for name, array in bundle.weights.items()}
        seen = self.layout.size - self.layout.slots
        if weights["encoder.0.weight"].shape[1] != seen:
            raise BundleError(f"the policy bundle observes {weights['encoder.0.weight'].shape[1]} numbers, this version {seen}: train it again")
        self._encoder = [(np.ascontiguousarray(weights[f"encoder.{i}.weight"].T), weights[f"encoder.{i}.bias"]) for i in (0, 2, 4)]
        embedder = [(weights[f"embedder.{i}.weight"].T, weights[f"embedder.{i}.bias"]) for i in (0, 2, 4)]
        try:
            self._embedded = np.ascontiguousarray(_stack(self.layout.features.astype(np.float64), embedder).T)
            self.scores(np.zeros(self.layout.size, np.float32))
        except ValueError as error:
            raise BundleError(f"the policy bundle is damaged: {error}") from error
        possible = judge(space, bundle.candidates) == VALID
        if allowed is not None:
            possible &= allowed
        if not possible.any():
            raise BundleError("no candidate of the policy bundle is possible here: train one for this space")
        self._offset = np.where(possible, weights["bias"], -np.inf)
        self.possible = possible

    def scores(self, observation: npt.NDArray[np.float32]) -> Numbers:
        """[N] of one observation [D], before anything is masked."""
        scores: Numbers = _stack(observation[: -self.layout.slots].astype(np.float64), self._encoder) @ self._embedded
        return scores

    def decide(self, observation: npt.NDArray[np.float32]) -> int:
        """The candidate to measure next; one that was measured already only if nothing else is possible."""
        scores = self.scores(observation) + self._offset
        taken = observation[-self.layout.slots :].astype(np.int64)
        scores[taken[taken >= 0]] -= 1e8
        return int(scores.argmax())


def _stack(values: Numbers, layers: list[tuple[Numbers, Numbers]]) -> Numbers:
    """Two hidden layers with tanh, and a linear one."""
    (first, first_bias), (second, second_bias), (last, last_bias) = layers
    hidden = np.tanh(np.tanh(values @ first + first_bias) @ second + second_bias)
    result: Numbers = hidden @ last + last_bias
    return result
