"""The learned policy sees what it was trained on, and serves any space with one set of weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.belief.prior import SHORTLIST
from envs.catalog.reference_networks import reference_network
from envs.errors import BundleError
from envs.problems.draw import described, draw_problem
from envs.problems.draw_options import DrawOptions
from envs.problems.problem import Problem
from envs.problems.problem import problem_of as open_problem_of
from envs.problems.runtime_world import RuntimeWorld
from envs.runtimes.replayed import ReplayedRuntime
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.simulator.tables import Contexts
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Measurement,
    MeasurementBatch,
    Objective,
    Origin,
    TenantMeasurement,
    judge_measurement,
    rank,
    workload_of,
)
from envs.traces.reader import Trace
from envs.tuning_env import TuningEnv
from tests.worlds import respond, space
from tuner.policy.bundle import Bundle
from tuner.policy.learned import LearnedTuner


def problem_of(world: ConfigurationSpace, objective: Objective, **more: object) -> Problem:
    if not world.enumerable:
        return open_problem_of(model_for(world), objective)
    return Problem(
        world, world.catalogue, objective, world.default(), model=model_for(world), **more
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["trace", "two_tenant_trace"])
def test_it_sees_what_the_environment_shows(
    bundle: Bundle, name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit along an episode on the same runtime, with shortlists of the same length."""
    monkeypatch.setattr("envs.problems.problem.WIDE", SHORTLIST)
    trace: Trace = request.getfixturevalue(name)
    objective = Objective(
        (60.0,) * trace.space.shape[0], 20.0 if name == "two_tenant_trace" else np.inf
    )
    model = model_for(trace.space)
    problem = Problem(
        trace.space, trace.space.catalogue, objective, trace.space.default(), model=model
    )
    tuner = LearnedTuner(bundle, problem)
    with ReplayedRuntime(trace) as runtime:
        env = TuningEnv(RuntimeWorld(runtime, 3.0, [objective], model), budget=bundle.budget)
        observation, _ = env.reset(seed=0)
        assert tuner.ask() == Configuration.of(env.spec_of_problem.placements[0])
        tuner.tell(tuner.ask(), trace.outcome(tuner.ask()))
        for _ in range(bundle.budget - 1):
            seen, shown = tuner.observation()
            assert (seen == observation).all()
            assert shown.tolist() == env.episodes.shown[0].tolist()
            configuration = tuner.ask()
            action = tuner._policy.decide(observation)
            assert configuration == env.proposals()[action]
            tuner.tell(configuration, trace.outcome(configuration))
            observation = env.step(np.int64(action))[0]


def test_no_impossible_candidate_is_chosen_and_none_twice_but_the_best(
    bundle: Bundle, trace: Trace
) -> None:
    allowed = trace.placements[:, 0, 0, 0] == 0  # no cpu_fp32 here
    # Near its limit, the best would not be waited with, but something slower and surer.
    problem = Problem(
        trace.space,
        trace.placements[allowed],
        Objective((100.0,)),
        Configuration((((0, 0), (1, 1)),)),
        model=model_for(trace.space),
    )
    tuner = LearnedTuner(bundle, problem)
    worth: dict[Configuration, float] = {}
    for count in range(bundle.budget):
        configuration = tuner.ask()
        assert tuner.ask() == configuration, "asking changes nothing"
        assert configuration.placements[0][0] == (0, 0)
        if configuration in worth:
            assert worth[configuration] == max(worth.values()) > 0
        elif count == 0:
            assert configuration == problem.default
        score, violation = problem.judge(trace.outcome(configuration))
        worth[configuration] = score if violation <= 0 else 0.0
        tuner.tell(configuration, trace.outcome(configuration))
    assert tuner.ask() == max(worth, key=worth.__getitem__), (
        "beyond its horizon it answers with the best it found"
    )


def test_where_nothing_keeps_the_limits_it_answers_with_the_least_violating(
    bundle: Bundle, trace: Trace
) -> None:
    problem = problem_of(trace.space, Objective((1.0,)))
    tuner = LearnedTuner(bundle, problem)
    late: dict[Configuration, float] = {}
    for _ in range(bundle.budget):
        configuration = tuner.ask()
        outcome = trace.outcome(configuration)
        assert isinstance(outcome, Measurement)
        late[configuration] = float(outcome.p99_ms[0])
        tuner.tell(configuration, outcome)
    assert len(late) == bundle.budget, "nothing is the best, so nothing is measured again"
    # Violations count up to a factor of 20 alone, beyond which the first one seen stays.
    assert tuner.ask() in late
    if min(late.values()) < 20.0:
        assert late[tuner.ask()] == min(late.values())


def test_a_failure_is_not_asked_for_again(bundle: Bundle, trace: Trace) -> None:
    tuner = LearnedTuner(bundle, problem_of(trace.space, Objective((200.0,))))
    default = tuner.ask()
    tuner.tell(default, trace.outcome(default))
    failed = set()
    for _ in range(bundle.budget - 1):
        configuration = tuner.ask()
        assert configuration not in failed
        if configuration == default:
            break
        failed.add(configuration)
        tuner.tell(configuration, Failure(FailureKind.OUT_OF_MEMORY, "no", 1.0))
    assert failed
    for _ in range(bundle.budget):
        tuner.tell(default, trace.outcome(default))
    assert tuner.ask() == default


def test_what_others_measured_does_not_confuse_it(bundle: Bundle, trace: Trace) -> None:
    """A configuration from outside its candidates teaches it nothing."""
    tuner = LearnedTuner(bundle, problem_of(trace.space, Objective((60.0,))))
    foreign = Configuration((((3, 77), (0, 0)),))
    tuner.tell(foreign, respond(trace.space, Configuration((((3, 4), (0, 0)),))))
    assert tuner.ask() == tuner._problem.default


def board_space(name: str, mode: str, networks: tuple[str, ...]) -> ConfigurationSpace:
    workload = workload_of([described(reference_network(network)) for network in networks])
    return ConfigurationSpace(device_of(name, mode), workload, 2, (1, 4))


@pytest.mark.parametrize(
    "world",
    [
        space(max_instances=1, batches=(1, 2)),
        space(tenants=2, max_instances=2, batches=(1, 8)),
        board_space("orin_nx_16", "15W", ("resnet50",)),
        board_space("orin_nano_8", "7W", ("resnet50", "mobilenet_v2")),
        board_space("agx_orin_64", "MAXN", ("resnet50", "mobilenet_v2", "resnet34_1280x768")),
        space(tenants=5, max_instances=2, batches=(1, 4)),
    ],
    ids=[
        "eight configurations",
        "two tenants",
        "a board",
        "two tenants on a board",
        "three tenants on a board",
        "five tenants",
    ],
)
def test_one_bundle_serves_every_space(bundle: Bundle, world: ConfigurationSpace) -> None:
    problem = problem_of(
        world, Objective((1e-3,) * world.shape[0])
    )  # nothing keeps that, so that it never stops
    tuner = LearnedTuner(bundle, problem)
    model = model_for(world)
    truth = model.drawn(np.random.default_rng(0), 1)
    asked = []
    for _ in range(bundle.budget):
        configuration = tuner.ask()
        world.check(configuration)
        asked.append(configuration)
        tuner.tell(configuration, measurement_of(model, truth, configuration))
    assert asked[0] == world.default()
    assert len(set(asked)) == bundle.budget
    world.check(tuner.ask())


def measurement_of(
    model: DeviceModel, context: Contexts, configuration: Configuration
) -> Measurement:
    found = model.response(context, configuration.array()[None])
    late = found.p99_ms[0].tolist()
    tenants = tuple(
        TenantMeasurement(ips, ms, ms, ms, ms, ms, 100)
        for ips, ms in zip(found.throughput_ips[0].tolist(), late, strict=True)
    )
    return Measurement(
        tenants,
        3.0,
        Origin.SIMULATED,
        power_w=float(found.power_w[0]) if model.has_power else float("nan"),
    )


def test_a_window_without_power_teaches_the_rest_and_breaks_the_limit(bundle: Bundle) -> None:
    world = board_space("agx_orin_64", "MAXN", ("resnet50",))
    tuner = LearnedTuner(bundle, problem_of(world, Objective((1e3,), 1e3)))
    model = model_for(world)
    default = tuner.ask()
    read = measurement_of(model, model.nominal(), default)
    masked, whole = (LearnedTuner(bundle, tuner._problem)._belief for _ in range(2))
    logs = MeasurementBatch.of([read], 1).logs.T.astype(np.float32)
    noise = tuner._batch.noise
    whole.update(np.array([0]), logs, noise)
    logs[:, -1] = np.nan
    masked.update(np.array([0]), logs, noise)

    tuner.tell(default, replace(read, power_w=float("nan")))
    assert tuner.broke, "a limited power that was not read is not kept"
    assert (tuner._belief.mean == masked.mean).all()
    assert (tuner._belief.variance == masked.variance).all()
    moved = np.abs(tuner._belief.mean - whole.mean)[0, 0]
    assert np.median(moved) < 0.05, "power tells little of throughput"


@pytest.mark.parametrize("count", [3, 5])
def test_it_solves_drawn_problems_of_many_tenants(bundle: Bundle, count: int) -> None:
    shares = [0.0] * (count - 1) + [1.0]
    options = DrawOptions(boards=["agx_orin_64"], tenants=shares, split="held_out")
    drawn = draw_problem(options, np.random.default_rng(count))
    world, truth = drawn.model.space, drawn.truth
    assert world.shape[0] == count
    tuner = LearnedTuner(bundle, open_problem_of(drawn.model, drawn.objective))
    for _ in range(bundle.budget):
        configuration = tuner.ask()
        world.check(configuration)
        tuner.tell(configuration, measurement_of(drawn.model, truth, configuration))
    answer, default = (
        judge_measurement(measured, drawn.objective, world.workload.weights)
        for measured in (
            measurement_of(drawn.model, truth, tuner.ask()),
            measurement_of(drawn.model, truth, tuner._problem.default),
        )
    )
    ranks = [rank(np.array(score), np.array(violation)) for score, violation in (answer, default)]
    assert ranks[0] >= ranks[1]


def test_a_problem_of_which_nothing_is_known_is_refused(bundle: Bundle) -> None:
    world = space()
    with pytest.raises(BundleError, match="needs a model of the device"):
        LearnedTuner(bundle, Problem(world, world.catalogue, Objective((60.0,)), world.default()))
