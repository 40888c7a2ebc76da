"""The contract of a tuner, as tests."""

import math
from typing import Any

import numpy as np
import pytest

from envs.errors import ConfigurationError
from envs.problems.problem import Problem
from envs.spec import Configuration, Objective
from envs.testing.problems import (
    World,
    hopeless,
    open_problem,
    run_search,
    small_problem,
    small_space,
    smooth,
    unlucky,
    unrelated_model,
)

LIMITS = Objective((25.0,), 30.0)
NO_LIMIT = Objective((math.inf,))


class TunerContract:
    """Tests that every tuner passes.

    A tuner has `ask() -> Configuration` and `tell(configuration, outcome)`. To test one of your
    own, subclass this in a test module:

        class TestMyTuner(TunerContract):
            def make_tuner(self, problem):
                return MyTuner(problem)

    Attributes:
        knows_the_list_only: whether it never asks for a configuration that the problem does not
            list, not even where it may.
        waits: whether it asks for a measured configuration again while nothing new is worth its
            risk.
    """

    knows_the_list_only = False
    waits = False

    def make_tuner(self, problem: Problem) -> Any:
        """Return a new tuner for `problem`."""
        raise NotImplementedError(f"{type(self).__name__} must define make_tuner(problem)")

    @pytest.mark.parametrize(
        "problem",
        [
            small_problem(small_space()),
            small_problem(small_space(), NO_LIMIT),
            small_problem(small_space(tenants=2, total=4)),
            small_problem(small_space(tenants=2, total=4), keep=30),
            small_problem(small_space(accelerators=("cuda",), batches=(4,), max_instances=20)),
        ],
        ids=["one tenant", "no limit", "two tenants", "partial", "one knob"],
    )
    def test_asks_for_the_default_then_for_candidates_once(self, problem: Problem) -> None:
        """The first question is the default; none is repeated, and all are candidates."""
        asked = run_search(self.make_tuner(problem), smooth, 9)
        assert asked[0] == problem.default
        assert set(problem.space.codes(np.stack([each.array() for each in asked]))) <= set(
            problem.space.codes(problem.candidates)
        )
        assert self.waits or len(set(asked)) == 9

    def test_an_open_problem_takes_every_valid_configuration(self) -> None:
        """If the candidates are a sample, a tuner may ask for other valid ones, each once."""
        if self.knows_the_list_only:
            pytest.skip("it asks for listed configurations only")
        problem = open_problem()
        asked = run_search(self.make_tuner(problem), smooth, 9)
        assert asked[0] == problem.default
        assert self.waits or len(set(asked)) == 9
        for configuration in asked:
            problem.space.check(configuration)
        measured = Configuration.of(problem.space.catalogue[len(problem.space.catalogue) // 2])
        tuner = self.make_tuner(open_problem())
        tuner.tell(measured, smooth(measured))
        assert measured not in run_search(tuner, smooth, 4)

    @pytest.mark.parametrize("tenants", [1, 2])
    def test_asks_for_everything_once_and_then_still_answers(self, tenants: int) -> None:
        """With a budget above the number of candidates it repeats candidates at the end."""
        problem = small_problem(small_space(tenants, total=4), keep=11)
        asked = run_search(self.make_tuner(problem), smooth, 14)
        everything = {Configuration.of(row) for row in problem.candidates}
        assert self.waits or set(asked[:11]) == everything
        assert set(asked[11:]) <= everything

    def test_a_single_candidate_is_asked_for_again(self) -> None:
        """It is the only answer there is."""
        problem = small_problem(small_space(), keep=1)
        assert run_search(self.make_tuner(problem), hopeless, 3) == [problem.default] * 3

    def test_asking_without_telling_gives_something_new(self) -> None:
        """Several questions may be open at once."""
        tuner = self.make_tuner(small_problem(small_space()))
        assert len({tuner.ask() for _ in range(8)}) == 8

    def test_the_same_seed_gives_the_same_questions(self) -> None:
        """`problem.seed` decides every random draw."""
        problems = [small_problem(small_space(), seed=3) for _ in range(2)]
        first, second = (run_search(self.make_tuner(each), smooth, 7) for each in problems)
        assert first == second

    @pytest.mark.parametrize("world", [unlucky, hopeless])
    @pytest.mark.parametrize("objective", [LIMITS, NO_LIMIT], ids=["limits", "no limit"])
    def test_failures_and_missing_power_do_not_stop_it(
        self, world: World, objective: Objective
    ) -> None:
        """The tuner continues to ask for new configurations."""
        problem = small_problem(small_space(), objective)
        asked = run_search(self.make_tuner(problem), world, 9)
        assert len(asked) == 9
        assert self.waits or len(set(asked)) == 9

    def test_a_measurement_it_did_not_ask_for_counts(self) -> None:
        """It is not asked for again; one from outside the space is ignored."""
        problem = small_problem(small_space(), keep=6)
        tuner = self.make_tuner(problem)
        measured = [Configuration.of(row) for row in problem.candidates[:3]]
        for configuration in measured:
            tuner.tell(configuration, smooth(configuration))
        tuner.tell(Configuration.of(np.full((1, 2, 2), 9)), smooth(measured[0]))
        assert not set(measured) & {tuner.ask() for _ in range(3)}

    def test_a_default_that_is_no_candidate_is_an_error(self) -> None:
        """ConfigurationError names the default."""
        space = small_space()
        model = unrelated_model(space)
        problem = Problem(space, space.catalogue[-3:], LIMITS, space.default(), model=model)
        with pytest.raises(ConfigurationError, match="cuda 1x1"):
            self.make_tuner(problem)
