"""Every search of the registry, and the oracle, keep the contract of a tuner."""

from __future__ import annotations

import math

import numpy as np
import pytest

from envs.errors import ConfigurationError, OptionError
from envs.problems.problem import Problem
from envs.spec.objective import Objective
from envs.spec.space import Configuration
from tests.tuner.search.worlds import (
    LATE,
    World,
    hopeless,
    make_tuner,
    open_problem,
    run_search,
    small_problem,
    small_space,
    smooth,
    unlucky,
    unrelated_model,
)
from tuner.search.registry import SEARCHES, make_search


@pytest.mark.parametrize("name", [*SEARCHES, "oracle"])
class TestContract:
    @pytest.mark.parametrize(
        "problem",
        [
            small_problem(small_space()),
            small_problem(small_space(), Objective((math.inf,))),
            small_problem(small_space(tenants=2, total=4)),
            small_problem(small_space(tenants=2, total=4), keep=30),
            small_problem(small_space(accelerators=("cuda",), batches=(4,), max_instances=20)),
        ],
        ids=["one tenant", "no limit", "two tenants", "partial", "one knob"],
    )
    def test_default_first_then_only_candidates_without_repetition(
        self, name: str, problem: Problem
    ) -> None:
        found = run_search(make_tuner(name, problem), smooth, 9)
        assert found[0] == problem.default
        assert set(problem.space.codes(np.stack([each.array() for each in found]))) <= set(
            problem.space.codes(problem.candidates)
        )
        assert len(set(found)) == 9

    def test_an_open_problem_takes_whatever_is_valid_without_repetition(self, name: str) -> None:
        problem = open_problem()
        if name == "oracle":
            return  # it knows no outcome of other configurations
        found = run_search(make_tuner(name, problem), smooth, 12)
        assert found[0] == problem.default
        assert len(set(found)) == 12
        for configuration in found:
            problem.space.check(configuration)
        known = Configuration.of(problem.space.catalogue[len(problem.space.catalogue) // 2])
        search = make_tuner(name, open_problem())
        search.tell(known, smooth(known))
        assert known not in run_search(search, smooth, 6)

    @pytest.mark.parametrize("tenants", [1, 2])
    def test_asks_for_everything_once_and_then_still_answers(self, name: str, tenants: int) -> None:
        problem = small_problem(small_space(tenants, total=4), keep=11)
        found = run_search(make_tuner(name, problem), smooth, 14)
        everything = {Configuration.of(row) for row in problem.candidates}
        assert set(found[:11]) == everything
        assert set(found[11:]) <= everything

    def test_a_single_candidate(self, name: str) -> None:
        problem = small_problem(small_space(), keep=1)
        assert run_search(make_tuner(name, problem), hopeless, 3) == [problem.default] * 3

    def test_asking_again_without_an_answer_gives_something_new(self, name: str) -> None:
        search = make_tuner(name, small_problem(small_space()))
        assert len({search.ask() for _ in range(8)}) == 8

    def test_the_same_seed_gives_the_same_sequence(self, name: str) -> None:
        runs = [
            run_search(make_tuner(name, small_problem(small_space(), seed=3)), smooth, 7)
            for _ in range(2)
        ]
        assert runs[0] == runs[1]

    @pytest.mark.parametrize("world", [unlucky, hopeless])
    @pytest.mark.parametrize(
        "objective", [LATE, Objective((math.inf,))], ids=["limits", "no limit"]
    )
    def test_survives_failures_and_missing_power(
        self, name: str, world: World, objective: Objective
    ) -> None:
        problem = small_problem(small_space(), objective)
        assert len(set(run_search(make_tuner(name, problem, world), world, 9))) == 9

    def test_what_is_told_unasked_counts_as_measured(self, name: str) -> None:
        problem = small_problem(small_space(), keep=6)
        search = make_tuner(name, problem)
        known = [Configuration.of(row) for row in problem.candidates[:3]]
        for configuration in known:
            search.tell(configuration, smooth(configuration))
        search.tell(
            Configuration.of(np.full((1, 2, 2), 9)), smooth(known[0])
        )  # outside the space: taught nothing
        assert not set(known) & {search.ask() for _ in range(3)}

    def test_a_default_that_is_no_candidate_is_named(self, name: str) -> None:
        space = small_space()
        problem = Problem(
            space, space.catalogue[-3:], LATE, space.default(), model=unrelated_model(space)
        )
        with pytest.raises(ConfigurationError, match="cuda 1x1"):
            make_tuner(name, problem)


def test_an_unknown_search_is_answered_with_the_names() -> None:
    with pytest.raises(
        OptionError, match=r"'annealing'.*random, hill_climb, tpe, gp, gradient, model_argmax"
    ):
        make_search("annealing", small_problem(small_space()))


@pytest.mark.parametrize("name", ["random", "hill_climb", "tpe", "gp"])
def test_another_seed_gives_another_sequence(name: str) -> None:
    runs = [
        run_search(
            make_tuner(name, small_problem(small_space(max_instances=4), seed=seed)), smooth, 7
        )
        for seed in (1, 2)
    ]
    assert runs[0] != runs[1]
