"""Cases that the device model answers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from envs.catalog.boards import board
from envs.catalog.reference_networks import reference_network
from envs.errors import OptionError
from envs.problems.draw import DrawnProblem, described
from envs.problems.draw_options import HELD_OUT_BOARDS, HELD_OUT_NETWORKS, DrawOptions
from envs.problems.misfits import NUMBERS, Misfit
from envs.problems.sampling import limit_range
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.spec import Configuration, ConfigurationSpace, Measurement, Objective, Origin, workload_of
from tuner.evaluation.reference import exhaustive, searched
from tuner.evaluation.report import write_report
from tuner.evaluation.running import compare
from tuner.evaluation.simulated import (
    MAX_LISTED,
    simulated_case,
    simulated_cases,
)
from tuner.evaluation.statistics import breakdown, curves
from tuner.evaluation.tables import write_runs_csv
from tuner.search.registry import make_search


def small_model(
    tenants: int = 1,
    batches: tuple[int, ...] = (1, 4),
    most: int = 2,
    board_name: str = "orin_nx_16",
) -> DeviceModel:
    """Return a model whose space can be enumerated, with two tenants as well."""
    tables = tuple(reference_network(name) for name in ("resnet50", "mobilenet_v2")[:tenants])
    workload = workload_of(
        [described(table) for table in tables],
        weights=[float(tenant + 1) for tenant in range(tenants)],
    )
    space = ConfigurationSpace(device_of(board_name, "MAXN"), workload, most, batches)
    return DeviceModel(machine_of(board_name, "MAXN"), space, tables)


def small_problem(
    tenants: int = 1, seed: int = 0, p99_ms: float = 60.0, power_w: float = 18.0
) -> DrawnProblem:
    model = small_model(tenants)
    objective = Objective((p99_ms,) * tenants, power_w)
    return DrawnProblem(
        f"small {seed}", model, objective, model.drawn(np.random.default_rng(seed), 1)
    )


def case_of(**options: float):
    drawn = small_problem(**options)  # type: ignore[arg-type]
    return simulated_case(drawn, np.random.default_rng(0), (1, 2))


def tried(case, seed: int, configurations: list[Configuration]) -> list[Measurement]:
    session = case.session(seed)
    return [session(each) for each in configurations]


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


def with_misfit(**numbers: float) -> DrawnProblem:
    values = np.array([numbers.get(name, 0.0) for name in NUMBERS])
    return replace(small_problem(), misfit=Misfit("made up", values))


def logs_of(drawn: DrawnProblem, asks: int, seed: int = 0) -> np.ndarray:
    """Return windows of two configurations in turns, and their truth, as logarithms [N, 2, 3]."""
    case = simulated_case(drawn, np.random.default_rng(0), (1, 2))
    pair = case.problem.candidates[[3, 7]]
    windows = tried(case, seed, [Configuration.of(pair[step % 2]) for step in range(asks)])
    assert case.truth is not None
    true = case.truth(pair).logs
    return np.array(
        [
            [np.log([*each.throughput_ips, *each.p99_ms, each.power_w]), true[:, step % 2]]
            for step, each in enumerate(windows)
        ]
    )


def test_a_heavier_tail_moves_p99_alone() -> None:
    usual, heavy = (logs_of(with_misfit(tail=tail), 40)[:, 0] for tail in (0.1, 0.5))
    assert heavy[:, [0, 2]] == pytest.approx(usual[:, [0, 2]])
    assert heavy[:, 1].std() > usual[:, 1].std()


def test_a_drift_walks_away_from_the_truth_and_a_neighbour_comes_and_goes() -> None:
    """A hot or shared device is slower: less throughput, by much more than windows scatter."""
    calm = logs_of(with_misfit(), 12)[:, 0, 0]
    drifting = logs_of(with_misfit(drift=0.1), 12)[:, 0, 0] - calm
    assert drifting[0] == pytest.approx(0.0, abs=1e-6)
    assert np.diff(drifting[::2][:6]).max() < 0
    assert drifting[10] == pytest.approx(drifting[8] * 10 / 8, rel=0.01)
    bursts = logs_of(with_misfit(burst=0.5), 40)[:, 0, 0] - logs_of(with_misfit(), 40)[:, 0, 0]
    busy = np.abs(bursts) > 1e-6
    assert 8 < busy.sum() < 32
    for turn in (0, 1):  # whichever window it is, the neighbour takes the same
        taken = bursts[turn::2][busy[turn::2]]
        assert taken == pytest.approx(taken[0], rel=0.01)
        assert taken[0] == pytest.approx(drifting[10 + turn], rel=0.01), "a drift has walked there"


def test_a_lagging_sensor_still_tells_of_the_window_before() -> None:
    """Half of the power is that of the other configuration, from the second window on."""
    lagging, calm = logs_of(with_misfit(lag=0.5), 4)[:, 0], logs_of(with_misfit(), 4)
    true_w = np.exp(calm[:2, 1, 2])
    mixed = np.log(true_w.mean() / true_w)
    expected = np.array([0.0, mixed[1], mixed[0], mixed[1]])
    assert lagging[:, 2] - calm[:, 0, 2] == pytest.approx(expected, abs=1e-6)
    assert lagging[:, :2] == pytest.approx(calm[:, 0, :2])
