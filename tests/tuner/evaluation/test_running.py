"""Runs and comparisons on a small trace."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from envs.errors import ConfigurationError, ObjectiveError, OptionError
from envs.problems.problem import Problem
from envs.spec import Configuration, Objective, Objectives
from tests.tuner.evaluation.small_trace import InOrder, backwards, small_trace
from tuner.evaluation.cases import TraceCases, starting_configuration
from tuner.evaluation.running import BUDGETS, compare, run_tuner, usable_budgets

LIMITS = Objectives(np.array([[10.0], [1.0]]), np.array([math.inf, math.inf]))


def small_problem(trace, p99_ms=10.0):
    return Problem(
        trace.space,
        trace.placements,
        Objective((p99_ms,) * trace.space.shape[0]),
        starting_configuration(trace),
    )


def test_a_run_counts_every_measurement_from_the_default_on(tmp_path):
    trace = small_trace(tmp_path, power=True)
    problem = small_problem(trace)
    tuner = InOrder(problem)
    run = run_tuner(tuner, problem, trace.outcome, 5)
    assert len(run) == 5
    assert len(tuner.told) == 5
    assert Configuration.of(run.placements[0]) == problem.default
    assert len(set(map(Configuration.of, run.placements))) == 5
    assert (run.true_score == run.score).all()
    assert (run.true_violation == run.violation).all()
    assert (run.cost_s == 3.0).all()
    first = trace.outcome(problem.default)
    assert run.score[0] == first.throughput_ips.sum()
    assert run.energy_j[0] == pytest.approx(first.power_w * 3.0)
    assert run.throughput_ips.shape == run.p99_ms.shape == (5, 1)
    assert (run.decision_s >= 0).all()


def test_starting_elsewhere_is_refused(tmp_path):
    trace = small_trace(tmp_path)
    problem = small_problem(trace)
    tuner = InOrder(problem)
    tuner.told.append(None)
    with pytest.raises(ConfigurationError, match="must first ask for the default"):
        run_tuner(tuner, problem, trace.outcome, 2)


def test_a_failure_scores_nothing_costs_time_and_draws_the_mean_power(tmp_path):
    trace = small_trace(tmp_path)  # without power, two instances fail
    problem = small_problem(trace)
    run = run_tuner(InOrder(problem), problem, trace.outcome, len(trace.rows))
    failed = np.isnan(run.throughput_ips[:, 0])
    assert failed.any()
    assert (run.score[failed] == 0).all()
    assert (run.violation[failed] > 0).all()
    assert (run.cost_s[failed] == 1.0).all()
    assert np.isnan(run.energy_j).all()


def test_what_is_no_candidate_scores_nothing(tmp_path):
    trace = small_trace(tmp_path, keep=lambda each: each.total_instances < 4)
    problem = small_problem(trace)
    tuner = InOrder(problem)
    tuner._queue[1] = Configuration((((2, 1), (2, 1)),))
    run = run_tuner(tuner, problem, trace.outcome, 2)
    assert Configuration.of(run.placements[1]) == tuner._queue[1]
    assert run.score[1] == 0


def test_everybody_starts_from_the_default_or_the_fewest_recorded_instances(tmp_path):
    trace = small_trace(tmp_path)
    assert starting_configuration(trace) == trace.space.default()
    without = small_trace(tmp_path, keep=lambda each: each.total_instances >= 3)
    assert starting_configuration(without).total_instances == 3


def test_budgets_above_the_number_of_candidates_are_dropped():
    assert usable_budgets(BUDGETS, 20) == (1, 3, 5, 8, 15)
    assert usable_budgets((5, 3), 2) == (2,)
    with pytest.raises(OptionError):
        usable_budgets((0,), 2)


@pytest.mark.parametrize("names", [("net",), ("net", "other")])
def test_compare_runs_every_tuner_on_every_case_and_seed(tmp_path: Path, names):
    trace = small_trace(tmp_path, names, batches=(1, 2) if len(names) == 1 else (1,))
    limits = Objectives(np.repeat(LIMITS.p99_ms, len(names), axis=1) * len(names), LIMITS.power_w)
    seen: list[str] = []
    comparison = compare(
        {"a": InOrder, "b": backwards},
        TraceCases(trace, limits),
        [0, 1, 2],
        (1, 3, 5, 999),
        {"b": 3},
        seen.append,
    )
    assert comparison.tuners == ("a", "b")
    assert comparison.budgets == (1, 3, 5)
    assert comparison.requested_budget == 999
    assert len(comparison.records) == 2 * 3 * 2
    assert len(seen) == len(comparison.cases) == 2
    assert comparison.candidates == len(trace.rows)
    assert comparison.names == names
    assert {len(record.run) for record in comparison.records if record.tuner == "b"} == {3}
    assert comparison.exists.tolist() == [True, False]
    assert [case.best.violation > 0 for case in comparison.cases] == [False, True]
    assert {case.best.method for case in comparison.cases} == {"exhaustive"}
    best = comparison.runs("a")[0][0]
    assert best.throughput_ips.shape == (5, len(names))


def test_the_same_seed_is_the_same_problem_for_all_and_differs_between_cases(tmp_path):
    trace = small_trace(tmp_path)
    seeds: dict[str, list[int]] = {"a": [], "b": []}

    def factory(name):
        return lambda problem: (seeds[name].append(problem.seed), InOrder(problem))[1]

    compare({name: factory(name) for name in seeds}, TraceCases(trace, LIMITS), [0, 1], (1,))
    assert seeds["a"] == seeds["b"]
    assert len(set(seeds["a"])) == 4


def test_a_power_limit_without_power_is_refused(tmp_path):
    with pytest.raises(ObjectiveError, match="without a power sensor"):
        TraceCases(small_trace(tmp_path), Objectives(np.array([[10.0]]), np.array([5.0])))


def test_nothing_to_compare_is_refused(tmp_path):
    with pytest.raises(OptionError, match="at least one tuner"):
        compare({}, TraceCases(small_trace(tmp_path), LIMITS), [0])
