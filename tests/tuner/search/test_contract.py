"""Every search of the registry, and the oracle, keep the contract of a tuner."""

from __future__ import annotations

import pytest

from envs.errors import OptionError
from envs.problems.problem import Problem
from envs.testing.problems import run_search, small_problem, small_space, smooth
from envs.testing.tuner_contract import TunerContract
from tests.tuner.search.worlds import make_tuner
from tuner.search.protocol import Tuner
from tuner.search.registry import SEARCHES, make_search


class TestContract(TunerContract):
    @pytest.fixture(params=[*SEARCHES, "oracle"], autouse=True)
    def _name(self, request: pytest.FixtureRequest) -> None:
        self.name = request.param
        self.knows_the_list_only = self.name == "oracle"
        self.waits = self.name.startswith("expected_gain")

    def make_tuner(self, problem: Problem) -> Tuner:
        return make_tuner(self.name, problem)


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
