"""The bars of the comparison belong to a goal; a recording of a board answers with its DLAs."""

from __future__ import annotations

import pytest

from benchmarks.setup import REFERENCE_BUNDLE
from benchmarks.transfer_figures import BARS, figures_of
from benchmarks.transfer_reference import saving_on_trace
from envs.problems.draw_options import DrawOptions
from envs.spec import Goal
from tuner.evaluation.running import compare
from tuner.evaluation.simulated import simulated_cases
from tuner.search.registry import make_search


def test_the_two_dlas_take_the_least_energy_on_a_recording() -> None:
    answer, score = saving_on_trace(REFERENCE_BUNDLE)
    assert answer.holds
    assert score.value == pytest.approx(66.07, rel=1e-3)


@pytest.mark.parametrize("goal", list(Goal))
def test_only_the_policy_has_bars_and_those_of_its_goal(goal: Goal) -> None:
    cases = simulated_cases(DrawOptions(goals={goal.value: 1.0}), 1, 1000)
    factories = {
        "policy": lambda problem: make_search("model_refit", problem),
        "other": lambda problem: make_search("model_refit", problem),
    }
    comparison = compare(factories, cases, range(1), (3, 8), {}, lambda _: None, 1)
    _, figures = figures_of(comparison, (3, 8), goal)
    held = [each.goal for each in figures if each.name.startswith("policy") and each.goal]
    assert held == [bar for bars in BARS[goal].values() for bar in bars if bar]
    assert not any(each.goal for each in figures if each.name.startswith("other"))
