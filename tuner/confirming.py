"""Confirm an answer: measure it in turns with the default, and compare the two pair by pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from envs.problems.problem import Problem
from envs.spec import Configuration, Failure, Measurement, Outcome
from tuner.pairs import Ratio, mean_window, ratio_of, value

#: Pairs of windows at most where nothing else is said, and before they may be enough.
PAIRS, FEWEST_PAIRS = 6, 3

#: Enough pairs: the interval of the ratio reaches no farther than this, as a logarithm.
PRECISION = 0.05

#: An answer is dropped once so many windows have all broken a limit.
BROKEN = 2

#: Answers at most that are confirmed before the best of those that failed is given.
MOST_ANSWERS = 3

Measure = Callable[[Configuration], Outcome]
Tried = list[tuple[Configuration, Outcome]]


@dataclass
class Confirmation:
    """The windows of an answer and of the default, in turns.

    Attributes:
        problem: judges outcomes.
        configuration: the answer to confirm.
        own, default: outcomes of both, in the order of the measurements; the default has none
            where it is the answer.
    """

    problem: Problem
    configuration: Configuration
    own: list[Outcome] = field(default_factory=list)
    default: list[Outcome] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """Return the mean window of the answer."""
        return mean_window(self.own)

    @property
    def ratio(self) -> Ratio | None:
        """Return the score over the default's; None without pairs."""
        judge = self.problem.judge
        return ratio_of([judge(each)[0] for each in self.own], [judge(e)[0] for e in self.default])

    @property
    def seconds(self) -> float:
        """Return what both took [s]; NaN where nobody recorded any."""
        known = [e.cost_s for e in (*self.own, *self.default) if math.isfinite(e.cost_s)]
        return sum(known) if known else math.nan

    @property
    def dropped(self) -> bool:
        """Return True if the answer failed, or broke a limit in each of several windows."""
        broken = [self.problem.judge(each)[1] > 0 for each in self.own]
        failed = any(isinstance(each, Failure) for each in self.own)
        return failed or (len(broken) >= BROKEN and all(broken))

    @property
    def enough(self) -> bool:
        """Return True if no further pair is needed."""
        if self.dropped:
            return True
        ratio = self.ratio
        return len(self.own) >= FEWEST_PAIRS and (ratio is None or ratio.reach <= PRECISION)


def confirm(
    problem: Problem, measure: Measure, choice: Configuration, pairs: int, tried: Tried
) -> Confirmation:
    """Measure a configuration and the default in turns, as often as their ratio needs.

    A default that fails, or is the choice itself, is not measured (again).

    Args:
        problem: judges outcomes.
        measure: measures a configuration.
        choice: to confirm.
        pairs: at most so many.
        tried: grows by every window.
    """
    found = Confirmation(problem, choice)
    default = next((each for each, _ in tried if each == problem.default), problem.default)
    in_turns = choice != problem.default
    while len(found.own) < pairs and not found.enough:
        found.own.append(measure(choice))
        tried.append((choice, found.own[-1]))
        if in_turns and not found.dropped:
            found.default.append(measure(default))
            tried.append((default, found.default[-1]))
            in_turns = isinstance(found.default[-1], Measurement)
    return found


def next_to_confirm(
    problem: Problem, tried: Tried, found: Sequence[Confirmation]
) -> Configuration | None:
    """Return the best that was tried and not confirmed yet; None where nothing more is worth it.

    That is so once an answer kept the limits in its confirmation, where all that is left looks
    worse than one that failed, and after `MOST_ANSWERS`.

    Args:
        problem: judges outcomes.
        tried: every window so far.
        found: the confirmations so far.
    """
    values = [value(problem, each.outcome) for each in found]
    if len(found) >= MOST_ANSWERS or any(each >= 0 for each in values):
        return None
    confirmed = {each.configuration for each in found}
    worth = {
        configuration: value(problem, outcome)
        for configuration, outcome in means_of(tried).items()
        if configuration not in confirmed
    }
    if not worth or any(each > max(worth.values()) for each in values):
        return None
    return max(worth, key=worth.__getitem__)


def means_of(tried: Tried) -> dict[Configuration, Outcome]:
    """Return the mean window of each configuration."""
    windows: dict[Configuration, list[Outcome]] = {}
    for configuration, outcome in tried:
        windows.setdefault(configuration, []).append(outcome)
    return {configuration: mean_window(found) for configuration, found in windows.items()}
