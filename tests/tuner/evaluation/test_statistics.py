"""The statistics of a comparison, worked out on paper, and its tables."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from envs.errors import StorageError
from envs.spec import Configuration, Objective, Objectives
from tests.tuner.evaluation.small_trace import InOrder, backwards, small_trace, space_of
from tuner.evaluation.bootstrap import interval, ties
from tuner.evaluation.cases import Best, TraceCases
from tuner.evaluation.comparison import ComparedCase, Comparison, Record, Run
from tuner.evaluation.running import compare
from tuner.evaluation.statistics import (
    best_so_far,
    breakdown,
    cost_to_reach,
    curves,
    measurements_to_reach,
    shares_at,
    summaries,
    summarize,
)
from tuner.evaluation.tables import text_rows, write_runs_csv, write_summary_csv


def run_of(scores, violations, energy=1.0, true_scores=None, true_violations=None):
    count = len(scores)
    numbers = np.array(scores, dtype=float)
    return Run(
        placements=np.ones((count, 1, 2, 2), dtype=np.int16),
        score=numbers,
        violation=np.array(violations, dtype=float),
        cost_s=np.full(count, 2.0),
        energy_j=np.full(count, energy),
        throughput_ips=numbers[:, None],
        p99_ms=np.ones((count, 1)),
        decision_s=np.array([1.0, 2.0, 9.0, 3.0])[:count],
        true_score=numbers if true_scores is None else np.array(true_scores, dtype=float),
        true_violation=np.array(
            violations if true_violations is None else true_violations, dtype=float
        ),
    )


def case_of(p99_ms, score, violation=0.0, board="a", possible=True):
    space, some = space_of(("net",), 1, (1,)), Configuration((((1, 1), (0, 0)),))
    groups = {"board": (board,), "network": ("net",), "tenants": ("1",)}
    return ComparedCase(
        board,
        space,
        Objective((p99_ms,)),
        some,
        Best(some, score, violation, possible, "exhaustive"),
        50,
        groups,
    )


@pytest.fixture
def by_hand() -> Comparison:
    """Two cases with an optimum of 100, and one whose least violation is ln 1.5; one run each."""
    runs = [
        run_of([50, 100, 97, 100], [0, 0.5, 0, 0]),  # the 100 breaks a limit at first
        run_of([80, 60, 98, 99], [0.1, 0, 0, 0]),  # nothing feasible at first
        run_of([10, 20, 30, 40], [math.log(3.0), math.log(1.65), 3.0, math.log(1.5)]),
    ]
    cases = (
        case_of(1.0, 100.0),
        case_of(2.0, 100.0, board="b"),
        case_of(0.1, 40.0, math.log(1.5), "b", possible=False),
    )
    records = tuple(Record("t", index, 0, run) for index, run in enumerate(runs))
    return Comparison(cases, (0,), (1, 2, 3, 4), 100, records)


def test_best_so_far_counts_only_what_keeps_the_limits(by_hand):
    share = curves(by_hand, "t").share
    np.testing.assert_allclose(share[0, 0], [0.5, 0.5, 0.97, 1.0])
    np.testing.assert_allclose(share[1, 0], [0.0, 0.6, 0.98, 0.99])
    assert np.isnan(share[2]).all()


def test_a_summary_worked_out_on_paper(by_hand):
    second = summarize(by_hand, "t", 2)
    assert (second.cases, second.impossible_cases) == (2, 1)
    assert second.share_mean == pytest.approx(0.55)
    assert (second.share_low, second.share_high) == pytest.approx((0.5, 0.6))
    assert second.share_p5 == pytest.approx(0.505)
    assert second.feasible_share == 1.0
    assert second.broken_share == pytest.approx(
        0.5
    )  # one of two in each case; the impossible one is left out
    assert second.excess_violation == pytest.approx(0.1)  # 1.65 over 1.5
    assert (second.spent_s, second.spent_j) == (4.0, 2.0)
    assert second.decision_s == 1.5
    assert summarize(by_hand, "t", 1).feasible_share == 0.5
    assert summarize(by_hand, "t", 4).excess_violation == pytest.approx(0.0)
    with pytest.raises(ValueError, match="fewer than 5"):
        summarize(by_hand, "t", 5)


def test_when_a_share_is_reached_and_what_it_cost(by_hand):
    assert measurements_to_reach(by_hand, "t", 0.5) == 2
    assert measurements_to_reach(by_hand, "t") == 3
    assert measurements_to_reach(by_hand, "t", 0.999) is None
    assert cost_to_reach(by_hand, "t") == (6.0, 3.0)
    assert np.isnan(cost_to_reach(by_hand, "t", 0.999)).all()


def test_noise_decides_what_is_answered_and_not_what_it_is_worth():
    # The second looks best and is within the limits by luck; the last exceeds the optimum by luck.
    run = run_of(
        [50, 120, 90, 130],
        [0, 0, 0, 0],
        true_scores=[52, 80, 95, 140],
        true_violations=[0, math.log(1.06), 0, math.log(1.04)],
    )
    comparison = Comparison((case_of(1.0, 100.0),), (0,), (1, 4), 100, (Record("t", 0, 0, run),))
    found = curves(comparison, "t")
    np.testing.assert_allclose(found.share[0, 0], [0.52, 0.8, 0.8, 1.0])
    assert found.overrun[0, 0].tolist() == [False, True, True, False]
    assert summarize(comparison, "t", 3).overrun_share == 1.0


def test_the_best_so_far_is_the_first_of_equals():
    assert best_so_far(
        np.array([[1.0, 1.0, 3.0, 2.0, 3.0], [-2.0, -1.0, -3.0, -1.0, 0.0]])
    ).tolist() == [[0, 0, 2, 2, 2], [0, 1, 1, 1, 4]]


def test_a_breakdown_counts_each_case_where_it_belongs(by_hand):
    assert breakdown(by_hand, "board", 3) == {
        "a": (1, {"t": pytest.approx(0.97)}),
        "b": (1, {"t": pytest.approx(0.98)}),
    }
    assert breakdown(by_hand, "tenants", 1)["1"][0] == 2
    assert breakdown(by_hand, "colour", 1) == {}


def test_without_any_feasible_case_shares_are_missing_and_excess_is_not(by_hand):
    nothing = tuple(case_of(1.0, 100.0, 0.0, possible=False) for _ in range(3))
    comparison = Comparison(nothing, (0,), (1, 4), 100, by_hand.records)
    summary = summarize(comparison, "t", 4)
    assert math.isnan(summary.share_mean)
    assert math.isnan(summary.broken_share)
    assert math.isfinite(summary.excess_violation)
    assert measurements_to_reach(comparison, "t") is None


def test_a_bootstrap_interval_holds_the_mean_repeats_itself_and_narrows():
    random = np.random.default_rng(3)
    few, many = random.normal(0, 1, (5, 4, 1)), random.normal(0, 1, (200, 4, 1))
    mean, low, high = interval(few)
    assert mean[0] == pytest.approx(few.mean())
    assert low[0] < mean[0] < high[0]
    assert [each[0] for each in interval(few)] == [mean[0], low[0], high[0]]
    assert interval(many)[2][0] - interval(many)[1][0] < high[0] - low[0]
    # The error of a mean of 800 independent normals is 1/sqrt(800), its 95 % interval 3.92 times as
    # wide. Two levels of resampling widen it by sqrt(1 + 3/4): four seeds resampled again add 3/4.
    assert interval(many)[2][0] - interval(many)[1][0] == pytest.approx(
        3.92 / math.sqrt(800) * math.sqrt(1.75), rel=0.15
    )


def test_an_interval_knows_that_seeds_of_one_case_agree():
    cases = np.random.default_rng(0).normal(0, 1, (20, 1, 1))
    once, ten_times = interval(cases), interval(np.repeat(cases, 10, axis=1))
    assert ten_times[2][0] - ten_times[1][0] == pytest.approx(once[2][0] - once[1][0], rel=0.1)


def test_ties_are_called_ties():
    random = np.random.default_rng(1)
    base = random.uniform(0.5, 1.0, (12, 5))
    assert ties(base, base) == "tie"
    assert ties(base + 0.01, base) == "better"
    assert ties(base, base + 0.01) == "worse"
    assert ties(base + random.normal(0, 0.1, base.shape), base) == "tie"
    assert ties(base[:, 0] + 0.1, base[:, 0]) == "better"


def test_tables_have_units_and_leave_out_what_was_not_measured(tmp_path):
    trace = small_trace(tmp_path)
    limits = Objectives(np.array([[10.0], [20.0]]), np.full(2, math.inf))
    comparison = compare(
        {"a": InOrder, "b_c": backwards}, TraceCases(trace, limits), [0, 1], (1, 3, 8), {"b_c": 3}
    )
    found = summaries(comparison)
    assert [(each.tuner, each.budget) for each in found] == [
        ("a", 1),
        ("a", 3),
        ("a", 8),
        ("b_c", 1),
        ("b_c", 3),
    ]
    with write_summary_csv(tmp_path / "new" / "summary.csv", found).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    units = ("_percent", "_s", "_j", "_ms", "_measurements", "cases")
    assert all(name == "tuner" or name.endswith(units) for name in rows[0])
    assert {row["tuning_j"] for row in rows} == {""}
    with write_runs_csv(tmp_path / "runs.csv", comparison).open() as file:
        runs = list(csv.DictReader(file))
    assert len(runs) == 2 * 2 * (8 + 3)
    assert runs[0]["configuration"] == "net: cpu_fp32 1x1"
    assert runs[0]["net.limit_p99_ms"] == "10"
    assert runs[0]["limit_power_w"] == runs[0]["energy_j"] == ""
    assert not list(tmp_path.glob(".*.part"))
    headings, cells = text_rows(comparison, found, 3)
    assert "share of optimum, %" in headings
    assert not any(heading.startswith("energy") for heading in headings)
    assert {row[0] for row in cells} == {"a", "b c"}
    assert all(len(row) == len(headings) for row in cells)
    assert shares_at(comparison, "b_c", 8).shape == (2, 2)


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_summary_csv(tmp_path / "taken" / "summary.csv", [])
