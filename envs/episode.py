"""Episodes of tuning, B at a time. The scalar environment is a batch of one, so that the two cannot differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.configuration import Placements
from envs.errors import ConfigurationError, OptionError
from envs.measurement import FloatArray, MeasurementBatch
from envs.objective import Objectives
from envs.observation import ObservationLayout, best_so_far
from envs.world import Simulator


@dataclass(frozen=True)
class RewardOptions:
    """The reward of a step is what the best so far gained, minus a price if the measurement broke a limit.

    The best so far is worth its throughput over that of the default configuration, or, while nothing feasible was found,
    minus its violation: the same on a live device, where nobody knows the optimum, as on a trace.
    """

    price: float = 0.1
    violation_weight: float = 0.5


class Episodes:
    """B episodes over one world.

    Args:
        budget: measurements of an episode, the first of which is the default configuration's at reset.
    """

    def __init__(self, world: Simulator, rows: int, budget: int, reward: RewardOptions | None = None) -> None:
        if budget < 2:
            raise OptionError(f"budget={budget} must be at least 2: the first measurement is the default configuration's")
        self.world = world
        self.rows = rows
        self.budget = budget
        self.reward = reward or RewardOptions()
        self.candidates: Placements = world.candidates
        self.layout = ObservationLayout(world.space, self.candidates, budget)
        self.objectives = Objectives(np.full((rows, world.space.shape[0]), np.inf), np.full(rows, np.inf))
        self.history = self.layout.start(rows)
        self._start = world.start()
        self._value = np.zeros(rows)

    def reset(self, objectives: Objectives, first: MeasurementBatch | None = None) -> npt.NDArray[np.float32]:
        """Start all episodes anew; measures the default configuration (`first`, if that was just done) and returns observations [B, D]."""
        self.objectives = objectives
        self.history = self.layout.start(self.rows)
        actions = np.full(self.rows, self._start)
        if first is None:
            first = self.world.respond(self.candidates[actions], None, None)
        if first.failed.any():
            raise ConfigurationError("the default configuration could not be measured: there is nothing to start from")
        self.layout.record(self.history, self.objectives, actions, first)
        self._value = self._worth()
        return self.layout.observe(self.history, self.objectives)

    def step(self, actions: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.float32], FloatArray, npt.NDArray[np.bool_], dict[str, Any]]:
        """Measure candidates [B]: observations [B, D], rewards [B], whether the budget is used up [B], and facts [B] each."""
        rows = np.asarray(actions).astype(np.int64)
        if rows.min() < 0 or rows.max() >= len(self.candidates):
            raise ConfigurationError(f"actions must lie in 0..{len(self.candidates) - 1}")
        slot = self.history.used.copy()
        batch = self.world.respond(self.candidates[rows], None, None)
        self.layout.record(self.history, self.objectives, rows, batch)
        value = self._worth()
        violation = self.history.violation[np.arange(self.rows), slot]
        rewards = value - self._value - self.reward.price * (violation > 0)
        self._value = value
        facts = {
            "score_ips": self.history.score_ips[np.arange(self.rows), slot],
            "violation": violation,
            "failed": batch.failed,
            "cost_s": batch.cost_s,
        }
        return self.layout.observe(self.history, self.objectives), rewards, self.history.used >= self.budget, facts

    def measured(self) -> npt.NDArray[np.bool_]:
        """[B, N]: which candidates each episode has measured."""
        done = np.zeros((self.rows, len(self.candidates) + 1), dtype=bool)
        np.put_along_axis(done, self.history.action, True, axis=1)  # -1 marks the spare column
        return done[:, :-1]

    def _worth(self) -> FloatArray:
        best = best_so_far(self.history)
        return np.where(best.feasible, best.score_ips / self.history.score_ips[:, 0], -self.reward.violation_weight * best.violation)
