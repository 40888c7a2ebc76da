"""Tuning one problem: search with a few measurements, then confirm what is answered with another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envs.problems.problem import Problem
from envs.spec.measurement import Failure, Outcome
from envs.spec.objective import rank
from envs.spec.space import Configuration
from tuner.search.protocol import Tuner

#: Windows kept back for confirming: the first choice, and another one should it not hold.
CONFIRMATIONS = 2


@dataclass(frozen=True)
class Answer:
    """What tuning found.

    Attributes:
        configuration, outcome: the choice, and the window that confirmed it (never one that the search saw).
        violation: of that window; above 0 where no confirmed configuration keeps the limits.
        tried: every measurement in order, the first `searched` of which steered.
    """

    configuration: Configuration
    outcome: Outcome
    violation: float
    tried: list[tuple[Configuration, Outcome]]
    searched: int


def tune(
    tuner: Tuner, problem: Problem, measure: Callable[[Configuration], Outcome], measurements: int
) -> Answer:
    """Search with all but `CONFIRMATIONS` of the measurements, then confirm the best; should it break a limit, the best of the rest.

    Search and report measure separately: the luckiest of several windows is no estimate of what its configuration gives.
    """
    tried: list[tuple[Configuration, Outcome]] = []
    for _ in range(max(2, measurements - CONFIRMATIONS)):
        configuration = tuner.ask()
        outcome = measure(configuration)
        tuner.tell(configuration, outcome)
        tried.append((configuration, outcome))
    searched = len(tried)
    worth = {configuration: value(problem, outcome) for configuration, outcome in tried}
    confirmed: dict[Configuration, Outcome] = {}
    while len(tried) < measurements:
        choice = max(
            (each for each in worth if each not in confirmed), key=worth.__getitem__, default=None
        )
        if choice is None or any(worth[each] > worth[choice] for each in confirmed):
            break
        confirmed[choice] = measure(choice)
        tried.append((choice, confirmed[choice]))
        worth[choice] = value(problem, confirmed[choice])
        if worth[choice] >= 0:
            break
    best = max(confirmed, key=lambda each: worth[each])
    return Answer(best, confirmed[best], problem.judge(confirmed[best])[1], tried, searched)


def value(problem: Problem, outcome: Outcome) -> float:
    """Higher is better; below zero where a limit is broken."""
    if isinstance(outcome, Failure):
        return -1e9
    score, violation = problem.judge(outcome)
    return float(rank(score, violation))  # type: ignore[arg-type]
