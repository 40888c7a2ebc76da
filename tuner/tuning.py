"""Tune one problem: search while it is worth it, then confirm the answer."""

from collections import Counter
from dataclasses import replace

from envs.belief.features import MOST_WINDOWS
from envs.problems.problem import Problem
from envs.spec import Configuration, ConfigurationSpace, Outcome
from tuner.answer import Answer
from tuner.confirming import PAIRS, Confirmation, Measure, Tried, confirm, means_of, next_to_confirm
from tuner.pairs import value
from tuner.search.protocol import Finishing, Tuner

#: Measurements of a search at least: the default, and one more.
FEWEST = 2


class TuningStopped(KeyboardInterrupt):
    """Ctrl-C while tuning; holds the best answer so far, which nothing has confirmed."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def tune(
    tuner: Tuner,
    problem: Problem,
    measure: Measure,
    measurements: int,
    pairs: int = PAIRS,
) -> Answer:
    """Search with at most `measurements`, then confirm the best in turns with the default.

    The search ends when its tuner says that nothing more is worth measuring. Search and answer are
    measured separately, because the luckiest of several windows overestimates its configuration. An
    answer that breaks a limit in the mean of its windows is no answer: the tuner learns of its
    windows, the search goes on with the measurements that are left while one is worth it, and the
    best of the others is confirmed.

    Args:
        tuner: proposes configurations.
        problem: judges outcomes.
        measure: measures a configuration.
        measurements: of the search, at most.
        pairs: of windows of an answer and of the default, at most; 0 to confirm nothing.

    Raises:
        TuningStopped: Ctrl-C came, and something has been measured.
    """
    searched: Tried = []
    confirmed: Tried = []
    found: list[Confirmation] = []
    ended, goes_on = "", True
    try:
        while goes_on:
            ended, goes_on = _search(tuner, problem, measure, measurements, searched), False
            while pairs and not goes_on:
                choice = next_to_confirm(problem, searched + confirmed, found)
                if choice is None:
                    break
                found.append(confirm(problem, measure, choice, pairs, confirmed))
                goes_on = _goes_on(tuner, found[-1], measurements - len(searched))
    except KeyboardInterrupt as stop:
        if not searched:
            raise
        tried = searched + confirmed
        answer = Answer(*_best_so_far(problem, tried), tried, len(searched), problem, measurements)
        raise TuningStopped(replace(answer, complete=False)) from stop
    tried = searched + confirmed
    best = _best_so_far(problem, tried)
    if found:
        chosen = max(found, key=lambda each: value(problem, each.outcome))
        best = chosen.configuration, chosen.outcome, problem.judge(chosen.outcome)[1]
    return Answer(*best, tried, len(searched), problem, measurements, ended, tuple(found))


def _best_so_far(problem: Problem, tried: Tried) -> tuple[Configuration, Outcome, float]:
    """Return the best by the mean window of each configuration, that window, and its violation."""
    means = means_of(tried)
    best = max(means, key=lambda each: value(problem, means[each]))
    return best, means[best], problem.judge(means[best])[1]


def _goes_on(tuner: Tuner, confirmation: Confirmation, left: int) -> bool:
    """Tell a tuner of an answer that failed, and return True if it goes on with what is left."""
    failed = value(confirmation.problem, confirmation.outcome) < 0
    if not (failed and left > 0 and isinstance(tuner, Finishing)):
        return False
    for outcome in confirmation.own:
        tuner.tell(confirmation.configuration, outcome)
    return not tuner.finished()


def _search(
    tuner: Tuner, problem: Problem, measure: Measure, measurements: int, tried: Tried
) -> str:
    """Measure what the tuner asks for, and return why it ended early; `tried` grows."""
    counts = Counter(configuration for configuration, _ in tried)
    while len(tried) < measurements:
        if isinstance(tuner, Finishing):
            if ended := tuner.finished():
                return ended
            asked = tuner.ask_worthwhile()
        else:
            asked = tuner.ask()
        configuration = labelled(problem.space, asked)
        if counts[configuration] == MOST_WINDOWS:
            return f"{configuration}, which is asked for again, was measured {MOST_WINDOWS} times"
        counts[configuration] += 1
        outcome = measure(configuration)
        tried.append((configuration, outcome))
        tuner.tell(configuration, outcome)
    return ""


def labelled(space: ConfigurationSpace, configuration: Configuration) -> Configuration:
    """Return the configuration so that it prints as its description."""
    text, names = space.describe(configuration), space.workload.names
    return replace(
        configuration, label=text.removeprefix(f"{names[0]}: ") if len(names) == 1 else text
    )
