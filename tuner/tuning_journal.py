"""Write the measurements of a tuning as they come, as lines like those of a service."""

import math
import time

from envs.problems.problem import Problem
from envs.spec import Configuration, Outcome
from tuner.control.guard import Phase
from tuner.control.journal import Journal
from tuner.control.period import Period


class TuningJournal:
    """Writes a line for each measurement, those that confirm the answer included.

    Args:
        journal: where the lines go.
        problem: judges outcomes.
    """

    def __init__(self, journal: Journal, problem: Problem) -> None:
        self._journal, self._problem = journal, problem
        self._began_s, self._count = time.monotonic(), 0

    def add(self, configuration: Configuration, outcome: Outcome) -> None:
        """Write the line of one measurement."""
        self._count += 1
        score, violation = self._problem.judge(outcome)
        period = Period(
            number=self._count,
            began_s=time.monotonic() - self._began_s,
            phase=Phase.SEARCHING,
            configuration=configuration,
            outcome=outcome,
            objective=self._problem.objective,
            kept=violation <= 0,
            score=score,
            violation=violation,
            decision_us=math.nan,
            events=(),
        )
        self._journal.write(period.as_dict(self._problem.space))
