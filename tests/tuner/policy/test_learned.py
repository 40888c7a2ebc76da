"""The learned policy at work: it sees what it was trained on, and serves any space with one set of weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import PPO

from envs.catalog.reference_networks import reference_network
from envs.configuration import Configuration, ConfigurationSpace
from envs.errors import BundleError
from envs.measurement import Failure, FailureKind, Measurement, Origin, TenantMeasurement
from envs.objective import Objective
from envs.observation import SURE
from envs.runtimes.replayed import ReplayedRuntime
from envs.simulator.device_model import DeviceModel, model_for
from envs.simulator.draw import described
from envs.simulator.machine import device_of
from envs.simulator.prior import SHORTLIST
from envs.simulator.tables import Contexts
from envs.traces.reader import Trace
from envs.tuning_env import TuningEnv
from envs.workload import workload_of
from envs.world import RuntimeWorld
from tests.worlds import respond, space
from tuner.policy.bundle import Bundle, load_bundle
from tuner.policy.evidence import History
from tuner.policy.learned import LearnedTuner
from tuner.search.protocol import Problem


@pytest.fixture(scope="session")
def bundle(policy: tuple[PPO, Path]) -> Bundle:
    return load_bundle(policy[1])


def problem_of(world: ConfigurationSpace, objective: Objective, **more: object) -> Problem:
    return Problem(world, world.catalogue, objective, world.default(), model=model_for(world), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["trace", "two_tenant_trace"])
def test_it_sees_what_the_environment_shows(bundle: Bundle, name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit by bit, and proposal by proposal, along an episode on the same runtime, where both have a shortlist of the same length."""
    monkeypatch.setattr("tuner.search.protocol.WIDE", SHORTLIST)
    trace: Trace = request.getfixturevalue(name)
    objective = Objective((60.0,) * trace.space.shape[0], 20.0 if name == "two_tenant_trace" else np.inf)
    model = model_for(trace.space)
    problem = Problem(trace.space, trace.space.catalogue, objective, trace.space.default(), model=model)
    tuner = LearnedTuner(bundle, problem)
    with ReplayedRuntime(trace) as runtime:
        env = TuningEnv(RuntimeWorld(runtime, 3.0, [objective], model), budget=bundle.budget)
        observation, _ = env.reset(seed=0)
        assert tuner.ask() == Configuration.of(env._asked.placements[0])
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


def test_no_impossible_candidate_is_chosen_and_none_twice_but_the_best(bundle: Bundle, trace: Trace) -> None:
    allowed = trace.placements[:, 0, 0, 0] == 0  # no cpu_fp32 here
    # A limit far from what the best gives: near it, something slower and surer would be waited with.
    problem = Problem(trace.space, trace.placements[allowed], Objective((100.0,)), Configuration((((0, 0), (1, 1)),)), model=model_for(trace.space))
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
    assert tuner.ask() == max(worth, key=worth.__getitem__), "beyond its horizon it answers with the best it found"


def test_where_nothing_keeps_the_limits_it_answers_with_the_least_violating(bundle: Bundle, trace: Trace) -> None:
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
    """A configuration that it never proposed, such as one from outside its candidates, is not its business."""
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
    ],
    ids=["eight configurations", "two tenants", "a board", "two tenants on a board"],
)
def test_one_bundle_serves_every_space(bundle: Bundle, world: ConfigurationSpace) -> None:
    problem = problem_of(world, Objective((1e-3,) * world.shape[0]))  # nothing keeps that, so that it never stops
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


def measurement_of(model: DeviceModel, context: Contexts, configuration: Configuration) -> Measurement:
    found = model.response(context, configuration.array()[None])
    late = found.p99_ms[0].tolist()
    tenants = tuple(TenantMeasurement(ips, ms, ms, ms, ms, ms, 100) for ips, ms in zip(found.throughput_ips[0].tolist(), late, strict=True))
    return Measurement(tenants, 3.0, Origin.SIMULATED, power_w=float(found.power_w[0]) if model.has_power else float("nan"))


def test_a_problem_of_which_nothing_is_known_is_refused(bundle: Bundle) -> None:
    world = space()
    with pytest.raises(BundleError, match="needs a model of the device"):
        LearnedTuner(bundle, Problem(world, world.catalogue, Objective((60.0,)), world.default()))


def test_where_windows_scatter_something_farther_from_the_limit_is_stayed_with(bundle: Bundle, trace: Trace) -> None:
    fastest = max(range(len(trace.placements)), key=lambda row: float(np.nan_to_num(trace.batch.throughput_ips[row, 0])))
    fast = Configuration.of(trace.placements[fastest])
    measured = trace.outcome(fast)
    assert isinstance(measured, Measurement)
    limit_ms = 1.12 * float(measured.p99_ms[0])
    far = [row for row in range(len(trace.placements)) if trace.batch.p99_ms[row, 0] < 0.6 * limit_ms]
    slow = Configuration.of(trace.placements[max(far, key=lambda row: float(trace.batch.throughput_ips[row, 0]))])
    tuner = LearnedTuner(bundle, problem_of(trace.space, Objective((limit_ms,))))
    for configuration in (fast, slow):
        tuner.tell(configuration, trace.outcome(configuration))
    assert not tuner.worthwhile(slow), "it is slower than what keeps the limit"
    for _ in range(2):
        tuner.repeat(fast, measured)
    assert tuner.resting()[0] == fast, "its windows are all alike"
    for turn in range(4):
        off = replace(measured.tenants[0], p99_ms=measured.p99_ms[0] * (0.85, 1.11)[turn % 2])
        tuner.repeat(fast, replace(measured, tenants=(off,)))
    assert tuner.resting()[0] == slow, "each window kept the limit, but the next one may not"


def test_a_window_within_the_scatter_is_no_surprise(bundle: Bundle, trace: Trace) -> None:
    configuration = Configuration.of(trace.placements[0])
    measured = trace.outcome(configuration)
    assert isinstance(measured, Measurement)
    tuner = LearnedTuner(bundle, problem_of(trace.space, Objective((1.05 * float(measured.p99_ms[0]),))))

    def off(factor: float) -> Measurement:
        return replace(measured, tenants=(replace(measured.tenants[0], p99_ms=factor * measured.p99_ms[0]),))

    assert not tuner.surprising(configuration, off(2.0)), "nothing is known of it yet"
    tuner.tell(configuration, measured)
    assert tuner.surprising(configuration, off(1.2))
    for turn in range(12):
        tuner.repeat(configuration, off((0.9, 1.1)[turn % 2]))
    assert not tuner.surprising(configuration, off(1.2))
    assert tuner.surprising(configuration, off(2.0))
    assert tuner.surprising(configuration, Failure(FailureKind.OUT_OF_MEMORY, "no", 1.0))


def test_a_power_that_no_sensor_reads_does_not_scatter(bundle: Bundle, trace: Trace) -> None:
    configuration = Configuration.of(trace.placements[0])
    measured = trace.outcome(configuration)
    assert isinstance(measured, Measurement)
    measured = replace(measured, power_w=np.nan)
    tuner = LearnedTuner(bundle, problem_of(trace.space, Objective((3.0 * float(measured.p99_ms[0]),))))
    tuner.tell(configuration, measured)
    row, before = tuner._rows[configuration], tuner._outlook.kept.copy()
    for _ in range(10):
        tuner.repeat(configuration, measured)
    assert tuner._outlook.kept[row] >= before[row] > 0.99


def test_what_is_safe_and_new_may_be_tried_until_there_is_no_more(bundle: Bundle, trace: Trace) -> None:
    tuner = LearnedTuner(bundle, problem_of(trace.space, Objective((200.0,))))
    assert tuner.unexplored() is None, "while nothing keeps the limits there is something better to do"
    tuner.tell(tuner.ask(), trace.outcome(tuner.ask()))
    tried = set()
    while (safe := tuner.unexplored()) is not None:
        assert safe not in tried
        tried.add(safe)
        tuner.repeat(safe, trace.outcome(safe))
        assert len(tried) <= len(trace.placements)
    assert tried


def test_of_what_is_sure_enough_the_fastest_is_stayed_with(bundle: Bundle, trace: Trace) -> None:
    """Both keep the limit in more than 99 of 100 windows, the slower one in nearly all: that is worth no throughput any more."""
    fast, slow = (Configuration((((0, 0), (2, batch)),)) for batch in (4, 2))
    measured = trace.outcome(fast)
    assert isinstance(measured, Measurement)
    tuner = LearnedTuner(bundle, problem_of(trace.space, Objective((1.1 * float(measured.p99_ms[0]),))))
    for configuration in (fast, slow):
        tuner.tell(configuration, trace.outcome(configuration))
    assert tuner._outlook.kept[tuner._rows[fast]] < SURE < tuner._outlook.kept[tuner._rows[slow]]
    assert tuner.resting() == [fast, slow]


def test_nothing_far_less_sure_to_keep_the_limits_is_gone_back_to(bundle: Bundle, trace: Trace) -> None:
    slow, fast = (Configuration((((0, 0), (2, batch)),)) for batch in (2, 4))
    measured = trace.outcome(fast)
    assert isinstance(measured, Measurement)
    tuner = LearnedTuner(bundle, problem_of(trace.space, Objective((1.2 * float(measured.p99_ms[0]),))))
    for configuration in (slow, fast):
        tuner.tell(configuration, trace.outcome(configuration))
    assert tuner.resting() == [fast, slow]
    for turn in range(30):
        off = replace(measured.tenants[0], p99_ms=measured.p99_ms[0] * (1.0, 1.3)[turn % 3 == 0])
        tuner.repeat(fast, replace(measured, tenants=(off,)))
    assert tuner.resting() == [slow], "one window in three of the other breaks the limit"


def test_what_was_learned_from_windows_that_scatter_more_than_assumed_is_weighed_again(bundle: Bundle, trace: Trace) -> None:
    """The first window was bad luck: with many others beside it, it counts as one of them, and what it said of other configurations is doubted."""
    served, other = (Configuration((((0, 0), (2, batch)),)) for batch in (4, 2))
    measured = trace.outcome(served)
    assert isinstance(measured, Measurement)
    tuner = LearnedTuner(bundle, problem_of(trace.space, Objective((200.0,))))
    row, beside = tuner._rows[served], tuner._rows[other]

    def window(factor: float) -> Measurement:
        return replace(measured, tenants=(replace(measured.tenants[0], p99_ms=factor * measured.p99_ms[0]),))

    tuner.tell(served, window(1.5))
    misled = tuner._belief.mean[0, 1, beside]
    factors = np.exp(0.1 * np.random.default_rng(0).standard_normal(40))
    for factor in factors:
        tuner.repeat(served, window(float(factor)))
    assert np.exp(tuner._belief.mean[0, 1, row]) / float(measured.p99_ms[0]) == pytest.approx(1.0, abs=0.1)
    assert tuner._belief.mean[0, 1, beside] < misled - 0.1


def test_what_may_be_faster_after_all_is_named_and_what_is_known_to_be_slower_is_not(bundle: Bundle, trace: Trace) -> None:
    tuner = LearnedTuner(bundle, problem_of(trace.space, Objective((200.0,))))
    assert tuner.promising(Configuration((((9, 9), (9, 9)),))) is None, "what serves is none that it knows"
    rows = [Configuration.of(placements) for placements in trace.placements]
    for configuration in rows:
        tuner.repeat(configuration, trace.outcome(configuration))
    fastest = tuner.resting()[0]
    assert tuner.promising(fastest) is None
    assert all(tuner.promising(each) == fastest for each in tuner.resting()[1:] if tuner._worth[tuner._rows[each]] < tuner._worth[tuner._rows[fastest]] - 0.1)
    breaks = next(each for each in rows if each not in tuner.resting())
    assert tuner.promising(breaks) == fastest, "nothing that breaks the limit is ever named"


def test_a_problem_asked_anew_knows_what_was_measured_and_charges_nothing_for_it(bundle: Bundle, trace: Trace) -> None:
    history = History()
    before = LearnedTuner(bundle, problem_of(trace.space, Objective((60.0,))), history)
    measured = []
    for _ in range(3):
        measured.append(before.ask())
        before.tell(measured[-1], trace.outcome(measured[-1]))
    after = LearnedTuner(bundle, problem_of(trace.space, Objective((200.0,))), history)
    assert after.left == bundle.budget
    for configuration in measured:
        row = after._rows[configuration]
        assert after._measured[row]
        assert after._belief.mean[0, :2, row] == pytest.approx(before._belief.mean[0, :2, before._rows[configuration]], abs=0.02)
    assert set(after.resting()) == set(measured), "all of them keep the new limit"


def test_while_all_windows_are_slow_something_farther_from_the_limit_is_stayed_with(bundle: Bundle, trace: Trace) -> None:
    """A neighbour that comes and goes: what the last window missed is expected of the next one, whatever serves."""
    fast, slow = (Configuration((((0, 0), (2, batch)),)) for batch in (4, 2))
    measured = trace.outcome(fast)
    assert isinstance(measured, Measurement)
    tuner = LearnedTuner(bundle, problem_of(trace.space, Objective((1.5 * float(measured.p99_ms[0]),))))

    def window(factor: float) -> Measurement:
        return replace(measured, tenants=(replace(measured.tenants[0], p99_ms=factor * measured.p99_ms[0]),))

    for configuration in (fast, slow):
        tuner.tell(configuration, trace.outcome(configuration))
    for turn in range(60):
        tuner.repeat(fast, window((0.85, 1.15)[turn // 6 % 2]))
    assert tuner.resting()[0] == fast, "it is fast again"
    for _ in range(3):
        tuner.repeat(fast, window(1.4))
    assert tuner.resting()[0] == slow, "each window kept the limit, the next one need not"
