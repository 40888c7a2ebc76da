"""Every search goes through the contract; then worlds whose answers are known on paper."""

from __future__ import annotations

import math
import tracemalloc
import warnings
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from envs.belief.prior import starting_configuration
from envs.catalog.reference_networks import reference_network
from envs.errors import ConfigurationError, OptionError
from envs.problems.draw import DrawnProblem, DrawOptions, draw_problem, sample_placements
from envs.problems.problem import Problem
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import machine_of
from envs.simulator.tables import Contexts
from envs.spec.device import DeviceSpec, accelerator
from envs.spec.measurement import (
    Failure,
    FailureKind,
    Measurement,
    MeasurementBatch,
    Origin,
    Outcome,
    TenantMeasurement,
)
from envs.spec.network import Network
from envs.spec.objective import MAX_VIOLATION, Objective, Objectives
from envs.spec.space import Configuration, ConfigurationSpace
from envs.spec.workload import workload_of
from tuner.search.candidates import margins
from tuner.search.oracle import Oracle, best_scores
from tuner.search.protocol import Tuner
from tuner.search.registry import SEARCHES, make_search

World = Callable[[Configuration], Outcome]

LATE = Objective((25.0,), 30.0)


def space_of(
    tenants: int = 1,
    accelerators: tuple[str, ...] = ("cuda", "tensor"),
    max_instances: int = 2,
    batches: tuple[int, ...] = (1, 2),
    total: int | None = None,
) -> ConfigurationSpace:
    networks = [
        Network(f"net{i}", "0" * 64, 10**9, 10**6, 10**6, 10, (), (), None) for i in range(tenants)
    ]
    device = DeviceSpec("board", tuple(accelerator(name) for name in accelerators), 4, 1e6)
    return ConfigurationSpace(device, workload_of(networks), max_instances, batches, total)


def measured(
    throughput_ips: list[float], p99_ms: list[float], power_w: float = 10.0
) -> Measurement:
    rows = zip(throughput_ips, p99_ms, strict=True)
    return Measurement(
        tuple(TenantMeasurement(ips, p99, p99, p99, p99, p99, 100) for ips, p99 in rows),
        1.0,
        Origin.SIMULATED,
        power_w=power_w,
    )


def smooth(configuration: Configuration) -> Measurement:
    """Diminishing returns on two unequal accelerators that slow each other down; latency grows with what is in flight."""
    flight = configuration.array().astype(float).prod(axis=-1)  # [T, A]
    speed = np.array([60.0, 200.0])
    busy = 1 - np.exp(-flight / np.array([3.0, 5.0]))
    rate = speed * busy / (1 + 0.5 * busy.sum(axis=0)[::-1])
    p99 = np.max(np.where(flight > 0, 1000 * flight / np.maximum(rate, 1e-9), 0.0), axis=1)
    return measured(rate.sum(axis=1).tolist(), p99.tolist(), float(5 + 12 * busy.sum()))


def unlucky(configuration: Configuration) -> Outcome:
    """A third fails, a third has no power reading."""
    kind = configuration.array().astype(int).sum() % 3
    if kind == 0:
        return Failure(FailureKind.OUT_OF_MEMORY, "full", 1.0)
    outcome = smooth(configuration)
    return (
        outcome
        if kind == 1
        else measured(outcome.throughput_ips.tolist(), outcome.p99_ms.tolist(), math.nan)
    )


def hopeless(configuration: Configuration) -> Outcome:
    return Failure(FailureKind.BUILD_FAILED, "no", 1.0)


def open_problem() -> Problem:
    """A sample of a space that is not listed: everything else that is valid may be asked, too."""
    space = space_of(tenants=2, max_instances=3)
    candidates = sample_placements(space, np.random.default_rng(0), 40)
    first = np.unique(space.codes(candidates), return_index=True)[1]
    return Problem(
        space,
        candidates[np.sort(first)],
        Objective((25.0, 25.0), 30.0),
        space.default(),
        model=model_of(space),
        open=True,
    )


def problem_of(
    space: ConfigurationSpace,
    objective: Objective | None = None,
    keep: int | None = None,
    seed: int = 0,
) -> Problem:
    """Over all of the space, or `keep` candidates of it, the default included."""
    candidates = space.catalogue
    if keep is not None:
        default = int(
            np.flatnonzero(space.codes(candidates) == space.codes(space.default().array()))[0]
        )
        others = np.delete(np.arange(len(candidates)), default)
        candidates = candidates[
            np.append(np.random.default_rng(1).permutation(others)[: keep - 1], default)
        ]
    tenants = space.shape[0]
    return Problem(
        space,
        candidates,
        objective or Objective((25.0,) * tenants, 30.0),
        space.default(),
        seed,
        model_of(space),
    )


def model_of(space: ConfigurationSpace) -> DeviceModel:
    """A board that knows nothing of the worlds below: whoever believes it is wrong, and has to live with it."""
    return DeviceModel(
        machine_of("orin_nano_8", "MAXN_SUPER"),
        space,
        (reference_network("resnet18"),) * space.shape[0],
    )


def outcomes(problem: Problem, world: World) -> MeasurementBatch:
    return MeasurementBatch.of(
        [world(Configuration.of(row)) for row in problem.candidates], problem.space.shape[0]
    )


def search_of(name: str, problem: Problem, world: World = smooth) -> Tuner:
    return (
        Oracle(problem, outcomes(problem, world))
        if name == "oracle"
        else make_search(name, problem)
    )


def asked(search: Tuner, world: World, budget: int) -> list[Configuration]:
    found = []
    for _ in range(budget):
        found.append(search.ask())
        search.tell(found[-1], world(found[-1]))
    return found


def best_score(problem: Problem, configurations: list[Configuration], world: World) -> float:
    verdicts = [problem.judge(world(configuration)) for configuration in configurations]
    return max((score for score, violation in verdicts if violation <= 0), default=0.0)


@pytest.mark.parametrize("name", [*SEARCHES, "oracle"])
class TestContract:
    @pytest.mark.parametrize(
        "problem",
        [
            problem_of(space_of()),
            problem_of(space_of(), Objective((math.inf,))),
            problem_of(space_of(tenants=2, total=4)),
            problem_of(space_of(tenants=2, total=4), keep=30),
            problem_of(space_of(accelerators=("cuda",), batches=(4,), max_instances=20)),
        ],
        ids=["one tenant", "no limit", "two tenants", "partial", "one knob"],
    )
    def test_default_first_then_only_candidates_without_repetition(
        self, name: str, problem: Problem
    ) -> None:
        found = asked(search_of(name, problem), smooth, 12)
        assert found[0] == problem.default
        assert set(problem.space.codes(np.stack([each.array() for each in found]))) <= set(
            problem.space.codes(problem.candidates)
        )
        assert len(set(found)) == 12

    def test_an_open_problem_takes_whatever_is_valid_without_repetition(self, name: str) -> None:
        problem = open_problem()
        if name == "oracle":
            return  # knows nothing beyond what is listed
        found = asked(search_of(name, problem), smooth, 25)
        assert found[0] == problem.default
        assert len(set(found)) == 25
        for configuration in found:
            problem.space.check(configuration)
        known = Configuration.of(problem.space.catalogue[len(problem.space.catalogue) // 2])
        search = search_of(name, open_problem())
        search.tell(known, smooth(known))
        assert known not in asked(search, smooth, 15)

    @pytest.mark.parametrize("tenants", [1, 2])
    def test_asks_for_everything_once_and_then_still_answers(self, name: str, tenants: int) -> None:
        problem = problem_of(space_of(tenants, total=4), keep=11)
        found = asked(search_of(name, problem), smooth, 14)
        everything = {Configuration.of(row) for row in problem.candidates}
        assert set(found[:11]) == everything
        assert set(found[11:]) <= everything

    def test_a_single_candidate(self, name: str) -> None:
        problem = problem_of(space_of(), keep=1)
        assert asked(search_of(name, problem), hopeless, 3) == [problem.default] * 3

    def test_asking_again_without_an_answer_gives_something_new(self, name: str) -> None:
        search = search_of(name, problem_of(space_of()))
        assert len({search.ask() for _ in range(8)}) == 8

    def test_the_same_seed_gives_the_same_sequence(self, name: str) -> None:
        runs = [
            asked(search_of(name, problem_of(space_of(), seed=3)), smooth, 10) for _ in range(2)
        ]
        assert runs[0] == runs[1]

    @pytest.mark.parametrize("world", [unlucky, hopeless])
    @pytest.mark.parametrize(
        "objective", [LATE, Objective((math.inf,))], ids=["limits", "no limit"]
    )
    def test_survives_failures_and_missing_power(
        self, name: str, world: World, objective: Objective
    ) -> None:
        problem = problem_of(space_of(), objective)
        assert len(set(asked(search_of(name, problem, world), world, 12))) == 12

    def test_what_is_told_unasked_counts_as_measured(self, name: str) -> None:
        problem = problem_of(space_of(), keep=6)
        search = search_of(name, problem)
        known = [Configuration.of(row) for row in problem.candidates[:3]]
        for configuration in known:
            search.tell(configuration, smooth(configuration))
        search.tell(
            Configuration.of(np.full((1, 2, 2), 9)), smooth(known[0])
        )  # outside the space: taught nothing
        assert not set(known) & {search.ask() for _ in range(3)}

    def test_a_default_that_is_no_candidate_is_named(self, name: str) -> None:
        space = space_of()
        problem = Problem(space, space.catalogue[-3:], LATE, space.default(), model=model_of(space))
        with pytest.raises(ConfigurationError, match="cuda 1x1"):
            search_of(name, problem)


def test_an_unknown_search_is_answered_with_the_names() -> None:
    with pytest.raises(
        OptionError, match=r"'annealing'.*random, hill_climb, tpe, gp, gradient, model_argmax"
    ):
        make_search("annealing", problem_of(space_of()))


@pytest.mark.parametrize("name", ["random", "hill_climb", "tpe", "gp"])
def test_another_seed_gives_another_sequence(name: str) -> None:
    runs = [
        asked(search_of(name, problem_of(space_of(max_instances=4), seed=seed)), smooth, 8)
        for seed in (1, 2)
    ]
    assert runs[0] != runs[1]


def line(p99_limit_ms: float, start: int = 1) -> tuple[Problem, World]:
    """One knob: n instances give 10 n inferences per second with a p99 of 10 n ms, n in 1..8."""
    space = space_of(accelerators=("cuda",), batches=(1,), max_instances=8)
    problem = Problem(
        space, space.catalogue, Objective((p99_limit_ms,)), Configuration((((start, 1),),))
    )
    return problem, lambda configuration: measured(
        [10.0 * configuration.total_instances], [10.0 * configuration.total_instances]
    )


class TestHillClimb:
    def test_climbs_a_line_without_a_detour(self) -> None:
        problem, world = line(math.inf)
        assert [
            each.total_instances for each in asked(make_search("hill_climb", problem), world, 8)
        ] == [1, 2, 3, 4, 5, 6, 7, 8]

    def test_comes_down_from_beyond_a_limit(self) -> None:
        problem, world = line(35.0, start=8)
        assert [
            each.total_instances for each in asked(make_search("hill_climb", problem), world, 6)
        ] == [8, 7, 6, 5, 4, 3]

    def test_stuck_it_goes_on_from_what_is_nearest(self) -> None:
        problem, world = line(35.0)
        assert [
            each.total_instances for each in asked(make_search("hill_climb", problem), world, 6)
        ] == [1, 2, 3, 4, 5, 6]

    def test_climbs_a_monotone_plane_within_its_neighbourhoods(self) -> None:
        # 6 steps up; on the way a step may first look at the (at most two) neighbours that are lower.
        space = space_of(accelerators=("cuda",), batches=(1, 2, 4, 8), max_instances=4)
        for seed in range(10):
            problem = problem_of(space, Objective((math.inf,)), seed=seed)
            found = asked(
                make_search("hill_climb", problem),
                lambda each: measured([float(each.array().prod())], [1.0]),
                13,
            )
            assert Configuration((((4, 8),),)) in found

    def test_moves_a_tenant_past_a_barrier(self) -> None:
        # n on the first accelerator give 10 n, n on the second 100 n, both together 1. The longest path to (0, 3) has 8 measurements:
        # (1, 0), (1, 1), (2, 0), (2, 1), (0, 2), (1, 2), (0, 1), (0, 3); 15 would be all.
        def world(configuration: Configuration) -> Measurement:
            first, second = configuration.array()[0, :, 0].tolist()
            return measured([1.0 if first and second else 10.0 * first + 100.0 * second], [1.0])

        for seed in range(20):
            problem = problem_of(
                space_of(batches=(1,), max_instances=3), Objective((math.inf,)), seed=seed
            )
            assert Configuration((((0, 0), (3, 1)),)) in asked(
                make_search("hill_climb", problem), world, 8
            )


def test_vendor_default_grows_the_batch_then_the_instances_then_the_accelerators() -> None:
    problem = problem_of(space_of())
    words = [
        problem.space.describe(each).removeprefix("net0: ")
        for each in asked(make_search("vendor_default", problem), smooth, 9)
    ]
    singles = [
        "cuda 1x1",
        "cuda 1x2",
        "tensor 1x1",
        "tensor 1x2",
        "cuda 2x1",
        "cuda 2x2",
        "tensor 2x1",
        "tensor 2x2",
    ]
    assert words == [*singles, "cuda 1x1 + tensor 1x1"]


def test_vendors_grow_the_batch_of_an_engine_for_tensor_cores_and_of_those_for_the_dla() -> None:
    problem = problem_of(
        space_of(accelerators=("tensor", "cuda", "dla0", "dla1"), batches=(1, 2, 4, 8, 16))
    )
    found = {
        name: asked(make_search(name, problem), hopeless, 5)
        for name in ("vendor_gpu", "vendor_gpu_dla")
    }
    words = [
        [problem.space.describe(each).removeprefix("net0: ") for each in configurations]
        for configurations in found.values()
    ]
    assert words[0] == [f"tensor 1x{size}" for size in (1, 2, 4, 8, 16)]
    on_dla = [
        f"tensor 1x{size} + dla0 1x{core} + dla1 1x{core}"
        for size, core in ((1, 2), (2, 2), (4, 4), (8, 8))
    ]
    assert words[1] == ["tensor 1x1", *on_dla]


class TestGradient:
    def test_bisects_the_knob_that_pays(self) -> None:
        # Measured: 1 (default), 2 (the slope), then the middles of what is left of 2..8: 5, 7 (6 would be next, being below 7 and above 5).
        problem, world = line(math.inf)
        assert [
            each.total_instances for each in asked(make_search("gradient", problem), world, 5)
        ] == [1, 2, 5, 7, 8]

    def test_stops_before_a_limit(self) -> None:
        problem, world = line(65.0)
        found = [each.total_instances for each in asked(make_search("gradient", problem), world, 6)]
        assert found[:4] == [1, 2, 5, 7]
        assert 6 in found

    def test_takes_one_knob_after_the_other(self) -> None:
        # The default, two slopes, then two bisections of two measurements each.
        problem = problem_of(
            space_of(accelerators=("cuda",), batches=(1, 2, 4, 8), max_instances=4),
            Objective((math.inf,)),
        )
        found = asked(
            make_search("gradient", problem),
            lambda each: measured([float(each.array().prod())], [1.0]),
            7,
        )
        assert found[-1] == Configuration((((4, 8),),))


@lru_cache(maxsize=1)
def drawn_board() -> Problem:
    return draw_problem(
        DrawOptions(small_spaces=1.0, boards=["agx_orin_64"], networks=["resnet50"]),
        np.random.default_rng(4),
    )


class TestModels:
    """A board of the catalogue whose truth is the model itself, or departs from it."""

    @staticmethod
    def problem(drawn: DrawnProblem) -> Problem:
        space = drawn.model.space
        objective = Objective((30.0,), 30.0)
        return Problem(
            space,
            space.catalogue,
            objective,
            starting_configuration(drawn.model, objective),
            model=drawn.model,
        )

    @staticmethod
    def world(model: DeviceModel, context: Contexts) -> World:
        def answer(configuration: Configuration) -> Measurement:
            batch = model.batch(context, configuration.array()[None])
            return measured(
                batch.throughput_ips[0].tolist(), batch.p99_ms[0].tolist(), float(batch.power_w[0])
            )

        return answer

    def test_where_the_model_is_right_its_first_choice_is_the_best(self) -> None:
        drawn = drawn_board()
        problem, world = self.problem(drawn), self.world(drawn.model, drawn.model.nominal())
        found = asked(make_search("model_argmax", problem), world, 4)
        _, best, exists = best_scores(
            outcomes(problem, world), np.ones(1), problem.objective.batch()
        )
        assert exists[0]
        scores = [problem.judge(world(each)) for each in found]
        assert scores[1][0] == pytest.approx(best[0], rel=1e-4)
        assert [score for score, violation in scores[1:] if violation <= 0] == sorted(
            (score for score, _ in scores[1:]), reverse=True
        )

    def test_measuring_moves_what_is_believed_of_everything_else(self) -> None:
        drawn = drawn_board()
        problem = self.problem(drawn)
        fast, slow = (make_search("model_refit", problem) for _ in range(2))
        truth = self.world(drawn.model, drawn.truth)(problem.default)
        for search, factor in ((fast, 0.5), (slow, 2.0)):
            assert search.ask() == problem.default
            search.tell(
                problem.default,
                measured(
                    (truth.throughput_ips / factor).tolist(),
                    (truth.p99_ms * factor).tolist(),
                    truth.power_w,
                ),
            )
        believed = [search._belief.mean[0][1].mean() for search in (fast, slow)]
        assert believed[0] < believed[1] - 0.1

    def test_the_prior_is_made_once_for_all(self) -> None:
        drawn = drawn_board()
        problem = self.problem(drawn)
        assert problem.prior is problem.prior
        assert problem.prior is not None
        assert Configuration.of(problem.prior.placements[0]) == problem.default


class TestOracle:
    def brute_force(self, problem: Problem, world: World) -> tuple[int, float, bool]:
        verdicts = [problem.judge(world(Configuration.of(row))) for row in problem.candidates]
        feasible = [i for i, (_, violation) in enumerate(verdicts) if violation <= 0]
        best = (
            max(feasible, key=lambda i: verdicts[i][0])
            if feasible
            else min(range(len(verdicts)), key=lambda i: verdicts[i][1])
        )
        return best, verdicts[best][0], bool(feasible)

    @pytest.mark.parametrize("world", [smooth, unlucky])
    @pytest.mark.parametrize("tenants", [1, 2])
    def test_equals_brute_force(
        self, world: World, tenants: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tuner.search.oracle.CHUNK_NUMBERS", 1000)  # several chunks
        space = space_of(tenants, total=3)
        rng = np.random.default_rng(0)
        limits = Objectives(
            np.exp(rng.uniform(1, 5, (40, tenants))),
            np.where(rng.random(40) < 0.5, np.inf, rng.uniform(4, 30, 40)),
        )
        problems = [problem_of(space, limits.row(i)) for i in range(40)]
        batch = outcomes(problems[0], world)
        index, score, feasible = best_scores(batch, np.ones(tenants), limits)
        expected = [self.brute_force(problem, world) for problem in problems]
        assert list(zip(index.tolist(), score.tolist(), feasible.tolist(), strict=True)) == [
            (best, pytest.approx(value), any_feasible) for best, value, any_feasible in expected
        ]
        assert 0 < feasible.sum() < 40
        for problem, best in zip(problems[:10], index[:10], strict=True):
            assert Configuration.of(problem.candidates[best]) in asked(
                Oracle(problem, batch), world, 2
            )

    def test_memory_stays_small_for_many_objectives(self) -> None:
        rng = np.random.default_rng(0)
        numbers = rng.uniform(1, 100, (2000, 2))
        batch = MeasurementBatch(
            numbers,
            numbers,
            numbers[:, 0],
            numbers[:, 0],
            numbers[:, 0],
            np.zeros(2000, dtype=bool),
        )
        tracemalloc.start()
        best_scores(
            batch, np.ones(2), Objectives(rng.uniform(1, 100, (1000, 2)), rng.uniform(1, 100, 1000))
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6  # all at once would take 32 MB an array

    def test_needs_an_outcome_for_each_candidate(self) -> None:
        problem = problem_of(space_of())
        with pytest.raises(ValueError, match="2 outcomes"):
            Oracle(problem, outcomes(problem, smooth).take(np.arange(2)))


class TestOptuna:
    def test_margins_have_a_sign_and_know_what_is_missing(self) -> None:
        objective = Objective((10.0, math.inf), 20.0)
        assert margins(measured([1.0, 1.0], [20.0, 5.0], 10.0), objective) == pytest.approx(
            [math.log(2), -math.log(2)]
        )
        assert margins(measured([1.0, 1.0], [1e9, 5.0], math.nan), objective) == [
            MAX_VIOLATION,
            MAX_VIOLATION,
        ]
        assert margins(Failure(FailureKind.TIMED_OUT, "late"), objective) == [
            MAX_VIOLATION,
            MAX_VIOLATION,
        ]

    @pytest.mark.parametrize("name", ["tpe", "gp"])
    def test_is_silent_and_leaves_logging_as_it_was(
        self, name: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        import optuna

        verbosity = optuna.logging.get_verbosity()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            asked(search_of(name, problem_of(space_of())), smooth, 10)
        assert optuna.logging.get_verbosity() == verbosity
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        ("name", "budget", "seeds", "margin"),
        [("tpe", 20, 12, 0.05), ("gp", 10, 6, 0.15), ("hill_climb", 12, 20, 0.05)],
    )
    def test_beats_random_search_on_a_smooth_world(
        self, name: str, budget: int, seeds: int, margin: float
    ) -> None:
        space = space_of(batches=(1, 2, 4, 8), max_instances=4)
        assert (
            mean_best(name, space, budget, seeds) > mean_best("random", space, budget, 60) + margin
        )


def mean_best(name: str, space: ConfigurationSpace, budget: int, seeds: int) -> float:
    """Share of the best feasible score that is found, mean over seeds."""
    problems = [problem_of(space, Objective((120.0,), 20.0), seed=seed) for seed in range(seeds)]
    _, best, _ = best_scores(
        outcomes(problems[0], smooth), np.ones(1), problems[0].objective.batch()
    )
    shares = []
    for problem in problems:
        shares.append(
            best_score(problem, asked(make_search(name, problem), smooth, budget), smooth) / best[0]
        )
    return float(np.mean(shares))
