"""Cases that the device model answers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from envs.catalog.boards import board
from envs.errors import OptionError
from envs.problems.draw import DrawnProblem
from envs.problems.draw_options import HELD_OUT_BOARDS, HELD_OUT_NETWORKS, DrawOptions
from envs.problems.sampling import limit_range
from envs.spec import Configuration, Measurement, Objective, Origin
from tests.tuner.evaluation.small_problems import small_model, small_problem, tried
from tuner.evaluation.reference import exhaustive, searched
from tuner.evaluation.report import write_report
from tuner.evaluation.running import compare
from tuner.evaluation.simulated import MAX_LISTED, simulated_case, simulated_cases
from tuner.evaluation.statistics import breakdown, curves
from tuner.evaluation.tables import write_runs_csv
from tuner.search.registry import make_search


def case_of(**options: float):
    drawn = small_problem(**options)  # type: ignore[arg-type]
    return simulated_case(drawn, np.random.default_rng(0), (1, 2))


def test_noise_depends_on_case_seed_configuration_and_repetition_alone() -> None:
    case = case_of()
    one, other = (Configuration.of(row) for row in case.problem.candidates[[3, 7]])
    first = tried(case, 0, [one, other, one])
    again = tried(case_of(), 0, [other, one, one])
    assert [each.p99_ms.tolist() for each in first] == [
        each.p99_ms.tolist() for each in (again[1], again[0], again[2])
    ]
    assert first[0].p99_ms != first[2].p99_ms
    assert tried(case, 1, [one])[0].p99_ms != first[0].p99_ms
    elsewhere = simulated_case(small_problem(), np.random.default_rng(0), (1, 3))
    assert tried(elsewhere, 0, [one])[0].p99_ms != first[0].p99_ms


def test_a_window_is_the_truth_with_a_little_noise_and_says_that_it_was_simulated() -> None:
    case = case_of()
    configuration = case.best.configuration
    true = case.truth(configuration.array()[None])
    found = [tried(case, seed, [configuration])[0] for seed in range(40)]
    assert {each.origin for each in found} == {Origin.SIMULATED}
    for name, exact in (
        ("throughput_ips", true.throughput_ips[0]),
        ("p99_ms", true.p99_ms[0]),
        ("power_w", true.power_w),
    ):
        logs = np.log([getattr(each, name) for each in found]).ravel() - np.log(exact)
        assert abs(logs.mean()) < 0.02
        assert 0.001 < logs.std() < 0.1
    for each in found:
        assert sum(each.rails_w.values()) == pytest.approx(each.power_w)
        assert each.energy_j == pytest.approx(each.power_w * each.window_s)
        tenant = each.tenants[0]
        assert tenant.p50_ms <= tenant.p99_ms
        assert tenant.p99_low_ms < tenant.p99_ms < tenant.p99_high_ms
        assert tenant.p50_ms <= tenant.p95_ms <= tenant.p99_ms
        assert each.cost_s > 3.0


def test_what_is_invalid_is_refused() -> None:
    with pytest.raises(Exception, match="instances must lie in"):
        case_of().session(0)(Configuration((((9, 1),) * 4,)))


def test_the_reference_is_the_best_there_is() -> None:
    case = case_of()
    verdicts = [
        case.problem.judge(each)
        for each in map(as_measured(case), map(Configuration.of, case.problem.candidates))
    ]
    kept = [score for score, violation in verdicts if violation <= 0]
    assert case.best.exists
    assert case.best.method == "exhaustive"
    assert case.best.score == pytest.approx(max(kept), rel=1e-5)
    nothing = case_of(p99_ms=0.001)
    assert not nothing.best.exists
    assert nothing.best.violation > 0


def as_measured(case):
    """Return the outcome without noise, as a measurement."""

    def measure(configuration: Configuration) -> Measurement:
        true, window = case.truth(configuration.array()[None]), case.session(0)(configuration)
        tenants = tuple(
            type(tenant)(
                float(ips),
                tenant.p50_ms,
                tenant.p95_ms,
                float(late),
                float(late),
                float(late),
                tenant.requests,
            )
            for tenant, ips, late in zip(
                window.tenants, true.throughput_ips[0], true.p99_ms[0], strict=True
            )
        )
        return Measurement(tenants, window.window_s, window.origin, power_w=float(true.power_w[0]))

    return measure


@pytest.mark.parametrize("seed", range(4))
def test_searching_two_tenants_comes_within_a_percent_of_looking_at_everything(seed: int) -> None:
    model, rng = small_model(2), np.random.default_rng(seed)
    assert len(model.space.catalogue) > 50_000
    truth = model.drawn(rng, 1)
    limits = limit_range(model, truth, rng)
    (late, later), (least_w, most_w) = limits.p99_ms, limits.power_w
    objective = Objective(
        tuple(float(np.sqrt(low * high)) for low, high in (late, later)),
        0.3 * least_w + 0.7 * most_w,
    )
    best, found = (
        exhaustive(model, truth, objective, model.space.catalogue),
        searched(model, truth, objective),
    )
    assert found.method == "searched"
    assert found.exists == best.exists
    assert found.score >= 0.99 * best.score


def test_drawn_cases_are_held_out_repeatable_and_independent_of_their_number() -> None:
    some, more = (
        simulated_cases(DrawOptions(small_spaces=1.0), 2, seed=3),
        simulated_cases(DrawOptions(small_spaces=1.0), 5, seed=3),
    )
    assert (len(some), len(more), some.trace) == (2, 5, None)
    modules = {board(name).module.split(" (")[0] for name in HELD_OUT_BOARDS}
    for index in range(2):
        one, same = some[index], more[index]
        assert (one.name, one.problem.objective, one.best) == (
            same.name,
            same.problem.objective,
            same.best,
        )
        assert set(one.groups["board"]) <= modules
        assert set(one.groups["network"]) <= set(HELD_OUT_NETWORKS)
        assert one.problem.model is not None
    with pytest.raises(IndexError):
        some[2]


def test_a_space_too_large_to_list_is_open() -> None:
    model = small_model(2, batches=(1, 2, 4, 8), most=4)
    assert model.space.combinations > MAX_LISTED
    objective = Objective((50.0, 50.0), 20.0)
    case = simulated_case(
        DrawnProblem("large", model, objective, model.drawn(np.random.default_rng(0), 1)),
        np.random.default_rng(0),
        (0,),
    )
    assert case.problem.open
    assert case.best.method == "searched"
    assert 10_000 < len(case.problem.candidates) <= 20_010
    for name in ("random", "hill_climb", "tpe", "gradient", "model_argmax", "vendor_gpu_dla"):
        comparison = compare({name: partial(make_search, name)}, [case], [0], (6,))
        run = comparison.runs(name)[0][0]
        assert len(set(map(Configuration.of, run.placements))) == 6
        for placements in run.placements:
            model.space.check(Configuration.of(placements))


def test_a_comparison_of_simulated_cases_tells_boards_networks_and_tenants_apart(tmp_path) -> None:
    cases = [case_of(), simulated_case(small_problem(2, 1), np.random.default_rng(1), (1, 3))]
    comparison = compare(
        {name: partial(make_search, name) for name in ("hill_climb", "random")},
        cases,
        [0, 1],
        (1, 3, 8),
    )
    assert comparison.names == ("tenant1", "tenant2")
    assert (curves(comparison, "random").share[comparison.exists] <= 1).all()
    assert set(breakdown(comparison, "tenants", 3)) <= {"1", "2"}
    assert set(breakdown(comparison, "network", 3)) == {"resnet50", "mobilenet_v2"}
    html = write_report(tmp_path / "report.html", comparison, None).read_text()
    assert "Simulated by the device model; no device was measured" in html
    assert "board Jetson Orin NX 16 GB" in html
    assert "recorded configuration" not in html
    assert "Does the trace still hold" not in html
    lines = write_runs_csv(tmp_path / "runs.csv", comparison).read_text().splitlines()
    assert len(lines) == 1 + 2 * 2 * 2 * 8


def test_more_processes_give_the_same() -> None:
    cases = simulated_cases(DrawOptions(small_spaces=1.0, networks=["squeezenet1_1"]), 2, seed=1)
    factories = {"hill_climb": partial(make_search, "hill_climb")}
    one, two = (compare(factories, cases, [0], (3,), jobs=jobs) for jobs in (1, 2))
    for mine, theirs in zip(one.records, two.records, strict=True):
        assert mine.run.score.tolist() == theirs.run.score.tolist()
    assert one.cases == two.cases


def test_a_search_that_believes_a_model_needs_one() -> None:
    case = case_of()
    problem = case.problem
    without = type(problem)(problem.space, problem.candidates, problem.objective, problem.default)
    assert without.prior is None
    for name in ("model_argmax", "model_refit"):
        with pytest.raises(OptionError, match="need one"):
            make_search(name, without)
