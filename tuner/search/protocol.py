"""The tuner seam: anything that proposes configurations from what was measured, and what it is told at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from envs.configuration import Configuration, ConfigurationSpace, Placements
from envs.measurement import Failure, Outcome
from envs.objective import MAX_VIOLATION, Objective, judge_measurement


@dataclass(frozen=True)
class Problem:
    """What every tuner knows before the first measurement.

    Attributes:
        candidates: [N, T, A, 2], what may be tried: valid, and recorded where a trace is replayed.
        default: where every tuner starts; it is measured first, and counts.
    """

    space: ConfigurationSpace
    candidates: Placements
    objective: Objective
    default: Configuration
    seed: int = 0

    def judge(self, outcome: Outcome) -> tuple[float, float]:
        """(score_ips, violation); a failure scores 0 with the largest violation."""
        if isinstance(outcome, Failure):
            return 0.0, MAX_VIOLATION
        return judge_measurement(outcome, self.objective, self.space.workload.weights)


class Tuner(Protocol):
    """Proposes configurations, one at a time. `ask` repeats itself only when nothing new is left."""

    def ask(self) -> Configuration: ...

    def tell(self, configuration: Configuration, outcome: Outcome) -> None: ...
