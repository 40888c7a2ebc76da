"""Compute the policy's decision in NumPy, as `tuner.agents.policy_net` does with torch."""

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.belief.features import ALLOWED, FEATURES
from tuner.policy.bundle import TRUSTED, Bundle


class NumpyPolicy:
    """Chooses among proposals, in double precision: see `CandidatePolicy._predict`."""

    def __init__(self, bundle: Bundle) -> None:
        weights = {name: array.astype(np.float64) for name, array in bundle.weights.items()}
        self._layers = [
            (np.ascontiguousarray(weights[f"{name}.weight"].T), weights[f"{name}.bias"])
            for name in ("first", "summary", "second", "score")
        ]
        self._trust = np.zeros(len(FEATURES))
        self._trust[TRUSTED] = weights["trust"]

    def scores(self, observation: npt.NDArray[np.float32]) -> FloatArray:
        """Return scores [..., P] of observations [..., P, F]; -inf for what may not be chosen."""
        values = observation.astype(np.float64)
        (first, first_bias), (summary, summary_bias), (second, second_bias), (score, score_bias) = (
            self._layers
        )
        each = np.maximum(values @ first + first_bias, 0.0)
        mean = each.sum(axis=-2, keepdims=True) / each.shape[-2]  # faster than np.mean
        pooled = [mean, each.max(axis=-2, keepdims=True)]
        common = np.concatenate(pooled, axis=-1) @ summary + summary_bias
        own = np.maximum(each @ second + second_bias + common, 0.0)
        scores = (own @ score)[..., 0] + values @ self._trust + score_bias
        return np.where(values[..., ALLOWED] > 0.5, scores, -np.inf)

    def decide(self, observation: npt.NDArray[np.float32]) -> int:
        """Return the number of the proposal to measure next, for an observation [P, F]."""
        return int(self.scores(observation).argmax())
