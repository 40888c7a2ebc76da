"""A small tuner of a third party passes the contract, and tuners that break a promise do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from envs.errors import ConfigurationError
from envs.problems.problem import Problem
from envs.spec import Configuration, Failure, Outcome
from envs.testing.problems import hopeless, open_problem, small_problem, small_space
from envs.testing.tuner_contract import LIMITS, TunerContract


class Shuffled:
    """Asks for the default, then for the other candidates in a random order."""

    def __init__(self, problem: Problem) -> None:
        others = [Configuration.of(row) for row in problem.candidates]
        if problem.default not in others:
            raise ConfigurationError(f"the default is {problem.space.describe(problem.default)}")
        order = np.random.default_rng(problem.seed).permutation(len(others))
        shuffled = (others[position] for position in order)
        self.left = [problem.default, *(each for each in shuffled if each != problem.default)]
        self.default = problem.default

    def ask(self) -> Configuration:
        return self.left.pop(0) if self.left else self.default

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        self.left = [each for each in self.left if each != configuration]


class TestShuffled(TunerContract):
    def make_tuner(self, problem: Problem) -> Shuffled:
        return Shuffled(problem)


class WithoutTheDefault(Shuffled):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.left = [*self.left[1:], self.default]


class Repeats(Shuffled):
    def ask(self) -> Configuration:
        return self.left[0] if self.left else self.default


class Unseeded(Shuffled):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        np.random.default_rng().shuffle(self.left)


class LeavesTheCandidates(Shuffled):
    def ask(self) -> Configuration:
        return Configuration.of(super().ask().array() * 5)


class IgnoresWhatItDidNotAskFor(Shuffled):
    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        pass


class FailsWithAFailure(Shuffled):
    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        assert not isinstance(outcome, Failure)


class EndsWithItsCandidates(Shuffled):
    def ask(self) -> Configuration:
        return self.left.pop(0)


class TakesAnyDefault(Shuffled):
    def __init__(self, problem: Problem) -> None:
        self.left = [problem.default]


PLAIN = small_problem(small_space())


@pytest.mark.parametrize(
    ("broken", "test", "arguments"),
    [
        (WithoutTheDefault, "test_asks_for_the_default_then", {"problem": PLAIN}),
        (LeavesTheCandidates, "test_asks_for_the_default_then", {"problem": PLAIN}),
        (Repeats, "test_asking_without_telling", {}),
        (LeavesTheCandidates, "test_an_open_problem", {}),
        (EndsWithItsCandidates, "test_asks_for_everything_once", {"tenants": 1}),
        (EndsWithItsCandidates, "test_a_single_candidate", {}),
        (Unseeded, "test_the_same_seed", {}),
        (FailsWithAFailure, "test_failures_and_missing", {"world": hopeless, "objective": LIMITS}),
        (IgnoresWhatItDidNotAskFor, "test_a_measurement_it_did_not_ask_for", {}),
        (TakesAnyDefault, "test_a_default_that_is_no_candidate", {}),
    ],
)
def test_the_contract_catches(broken: type[Shuffled], test: str, arguments: Any) -> None:
    class Contract(TunerContract):
        def make_tuner(self, problem: Problem) -> Shuffled:
            return broken(problem)

    (name,) = [name for name in dir(Contract) if name.startswith(test)]
    with pytest.raises((AssertionError, IndexError, ConfigurationError, pytest.fail.Exception)):
        getattr(Contract(), name)(**arguments)


def test_an_open_problem_lists_a_sample_of_its_space() -> None:
    problem = open_problem()
    assert 10 < len(problem.candidates) < len(problem.space.catalogue)
    assert problem.default in [Configuration.of(row) for row in problem.candidates]
