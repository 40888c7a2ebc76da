"""The policy's decision in NumPy: what `tuner.agents.policy_net.CandidatePolicy` computes, without torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.belief.features import ALLOWED, FEATURES
from tuner.policy.bundle import Bundle

TRUSTED = [FEATURES.index("acquisition"), FEATURES.index("net_gain")]


class NumpyPolicy:
    """Chooses among what is proposed. Computes in double precision: see `CandidatePolicy._predict`."""

    def __init__(self, bundle: Bundle) -> None:
        weights = {name: array.astype(np.float64) for name, array in bundle.weights.items()}
        self._layers = [
            (np.ascontiguousarray(weights[f"{name}.weight"].T), weights[f"{name}.bias"])
            for name in ("first", "summary", "second", "score")
        ]
        self._trust = np.zeros(len(FEATURES))
        self._trust[TRUSTED] = weights["trust"]

    def scores(self, observation: npt.NDArray[np.float32]) -> FloatArray:
        """[P] of one observation [P, F]; -inf where a proposal may not be chosen."""
        values = observation.astype(np.float64)
        (first, first_bias), (summary, summary_bias), (second, second_bias), (score, score_bias) = (
            self._layers
        )
        each = values.dot(first)  # `dot`, since `@` takes microseconds more for so few numbers
        each += first_bias
        np.maximum(each, 0.0, out=each)
        common = np.concatenate([np.add.reduce(each) / len(each), np.maximum.reduce(each)]).dot(
            summary
        )
        common += summary_bias
        own = each.dot(second)
        own += second_bias + common
        np.maximum(own, 0.0, out=own)
        scores = own.dot(score)[:, 0] + values.dot(self._trust)
        scores += score_bias
        return np.where(values[:, ALLOWED] > 0.5, scores, -np.inf)

    def decide(self, observation: npt.NDArray[np.float32]) -> int:
        """The proposal to measure next."""
        return int(self.scores(observation).argmax())
