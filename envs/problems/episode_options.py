"""Say how episodes are played: their budgets, prices and changes, given or drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from envs.arrays import FloatArray, Floats
from envs.belief.risk import BALANCED
from envs.errors import OptionError

#: Measurements of an episode.
BUDGET = 8

#: Between which prices of a broken limit episodes are drawn that have none given.
DRAWN_RISKS = (0.01, 1.0)

#: Between how many times the expected seconds of the budget's measurements the seconds are drawn.
DRAWN_TIMES = (0.5, 4.0)

#: Share of the episodes with drawn seconds that have no limit of them.
UNLIMITED_TIME = 0.4


@dataclass(frozen=True)
class RewardOptions:
    """Weigh the reward of a step: the gain of the best so far, minus a price for a broken limit.

    The best so far is worth its share of the optimum; before a configuration kept the limits, it is
    worth minus its violation. What it truly gives counts where that is known: an answer that kept
    its limits by luck is worth less. Where nobody knows the optimum (a live device), the best that
    is believed before the first measurement stands for it.

    Where the seconds are limited, a gain counts by the share of them that is left: so much longer
    the better configuration serves.

    Attributes:
        violation_weight: worth of a violation of 1 (a logarithm).
    """

    violation_weight: float = 0.1


@dataclass(frozen=True)
class EpisodeOptions:
    """Say how episodes are played.

    Attributes:
        budget: measurements of an episode, the first of which is the default's, at reset.
        reward: its weights.
        changes: share of episodes in which conditions change on the way: another variant of the
            truth, or other limits.
        risk: the price of a broken limit, as a share of the optimum; None to draw one for each
            episode.
        budget_s: seconds of an episode, infinite for no limit; None to draw them for each episode.
        builds: share of episodes in which no engine is built when they start.

    Raises:
        OptionError: a value is impossible; the message names its key.
    """

    budget: int = BUDGET
    reward: RewardOptions = RewardOptions()
    changes: float = 0.0
    risk: float | None = BALANCED
    budget_s: float | None = math.inf
    builds: float = 0.0

    def __post_init__(self) -> None:
        if self.budget < 2:
            raise OptionError(
                f"budget={self.budget} must be at least 2: "
                "the first measurement is the default configuration's"
            )
        for key in ("changes", "builds"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise OptionError(f"{key}={getattr(self, key)} must lie in 0..1")

    def risks(self, uniforms: Floats) -> FloatArray:
        """Return the price of each episode, [B], from uniforms [B]."""
        if self.risk is not None:
            return np.full(len(uniforms), self.risk)
        low, high = np.log(DRAWN_RISKS)
        return np.asarray(np.exp(low + (high - low) * uniforms))

    def seconds(self, uniforms: Floats, usual_s: Floats) -> FloatArray:
        """Return the seconds of each episode, [B].

        Args:
            uniforms: [B, 2].
            usual_s: [B], what the budget's measurements are expected to take.
        """
        if self.budget_s is not None:
            return np.full(len(uniforms), self.budget_s)
        low, high = np.log(DRAWN_TIMES)
        limited = usual_s * np.exp(low + (high - low) * uniforms[:, 1])
        return np.asarray(np.where(uniforms[:, 0] < UNLIMITED_TIME, np.inf, limited))
