"""The environments: official checks, rows equal scalar episodes, and what an action does."""

from __future__ import annotations

import doctest
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as sb3_check

import envs.tuning_env
from envs.belief.features import ALLOWED, FEATURES
from envs.belief.risk import BALANCED
from envs.catalog.boards import board
from envs.errors import ConfigurationError, ObjectiveError, OptionError
from envs.problems.draw_options import HELD_OUT_NETWORKS, DrawOptions
from envs.problems.episode_options import RewardOptions
from envs.problems.named import world_named
from envs.problems.runtime_world import RuntimeWorld
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.trace_world import TraceWorld
from envs.problems.world import World
from envs.runtimes.replayed import ReplayedRuntime
from envs.spec import (
    MAX_VIOLATION,
    Configuration,
    Failure,
    FailureKind,
    Measurement,
    Objective,
    Origin,
)
from envs.traces.reader import Trace
from envs.tuning_env import TuningEnv, TuningVectorEnv
from tests.worlds import respond, space, write_trace

WORLDS = ("trace_world", "two_tenant_world", "simulated_world")
LIMIT = Objective((60.0,))


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    found: World = request.getfixturevalue(request.param)
    return found


every_world = pytest.mark.parametrize("world", WORLDS, indirect=True)


def action_of(env: TuningEnv, configuration: Configuration) -> np.int64:
    return np.int64(env.proposals().index(configuration))


@pytest.mark.parametrize("tenants", [3, 5])
def test_episodes_of_many_tenants(tenants: int) -> None:
    """Side by side with problems of one: what they do not have takes no part."""
    shares = [0.3, *[0.0] * (tenants - 2), 0.7]
    options = DrawOptions(boards=["orin_nano_8"], small_spaces=1.0, tenants=shares)
    mixed = SimulatedWorld(options, 5, 0)
    assert {spec.space.shape[0] for spec in mixed.specs} == {1, tenants}
    env = TuningVectorEnv(8, mixed, budget=5, changes=0.5)
    observations, _ = env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(8):
        assert observations in env.observation_space
        observations, rewards, _, _, facts = env.step(rng.integers(0, 12, 8))
        assert np.isfinite(rewards).all()
        assert (facts["share"] >= 0).all()


@every_world
def test_both_official_checks_pass(world: World) -> None:
    env = gym.make("Tuning-v0", world=world, render_mode="ansi").unwrapped
    gymnasium_check(env)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Your observation  has an unconventional shape"
        )  # a set of candidates is no vector
        sb3_check(env)


def test_gymnasium_makes_it_without_an_import_of_its_own(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t.parquet", space(max_instances=1, batches=(1, 2)))
    program = (
        "import sys, gymnasium; env = gymnasium.make('envs:Tuning-v0', world=sys.argv[1]);"
        "print(env.reset(seed=0)[0].shape)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(trace.path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str((24, len(FEATURES)))


def test_the_example_of_the_environment_runs() -> None:
    found = doctest.testmod(envs.tuning_env)
    assert found.attempted > 5
    assert found.failed == 0


def test_gymnasium_makes_both_by_name(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t.parquet", space(max_instances=1, batches=(1, 2)))
    env = gym.make("Tuning-v0", world=str(trace.path))
    many = gym.make_vec(
        "Tuning-v0", num_envs=3, vectorization_mode="vector_entry_point", world=str(trace.path)
    )
    assert isinstance(env.unwrapped, TuningEnv)
    assert isinstance(many, TuningVectorEnv)
    assert many.single_observation_space == env.observation_space
    assert many.reset(seed=0)[0].shape == (3, *env.observation_space.shape)


def test_a_board_by_name_is_simulated_with_what_its_split_draws() -> None:
    train, held_out = (
        world_named("orin_nano_8", split, problems=2) for split in ("train", "held_out")
    )
    for world in (train, held_out):
        assert world.origin is Origin.SIMULATED
        assert [asked.space.device.name for asked in world.specs] == [
            board("orin_nano_8").module
        ] * 2
    names = {name for asked in held_out.specs for name in asked.space.workload.names}
    assert names <= set(HELD_OUT_NETWORKS)
    assert not names & {
        name.removesuffix("_like") for asked in train.specs for name in asked.space.workload.names
    }


@every_world
def test_vector_rows_are_scalar_episodes(world: World) -> None:
    """Also where conditions change on the way, and through several episodes."""
    many = TuningVectorEnv(5, world, budget=6, changes=0.5)
    singles = [TuningEnv(world, budget=6, changes=0.5) for _ in range(5)]
    assert many.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observations, _ = many.reset(seed=11)
    expected = np.stack([env.reset(seed=11 + i)[0] for i, env in enumerate(singles)])
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(15):
        assert (observations == expected).all()
        actions = rng.integers(0, many.single_action_space.n, 5)  # type: ignore[attr-defined]
        observations, rewards, terminated, truncated, infos = many.step(actions)
        rows = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        assert rewards.tolist() == [row[1] for row in rows]
        assert terminated.tolist() == [row[2] for row in rows]
        assert not truncated.any()
        for name in ("score", "violation", "failed", "share"):
            assert infos[name].tolist() == [row[4][name] for row in rows]
        last = np.stack([row[0] for row in rows])
        if terminated.all():
            ended += 1
            assert (infos["final_obs"] == last).all()
            expected = np.stack([env.reset()[0] for env in singles])
        else:
            assert "final_obs" not in infos
            expected = last
    assert ended == 3, "the first measurement is the reset's own"


def test_rows_may_be_seeded_one_by_one(trace_world: TraceWorld) -> None:
    many = TuningVectorEnv(3, trace_world)
    assert (many.reset(seed=[4, 7, 9])[0][1] == many.reset(seed=7)[0][0]).all()


def test_shared_noise_is_repeatable(simulated_world: SimulatedWorld) -> None:
    one, other = (TuningVectorEnv(16, simulated_world, shared_noise=True) for _ in range(2))
    assert (one.reset(seed=3)[0] == other.reset(seed=3)[0]).all()
    for _ in range(8):  # through a reset
        results = [env.step(np.arange(16)) for env in (one, other)]
        assert (results[0][0] == results[1][0]).all()
    assert not (one.reset(seed=4)[0] == other.reset(seed=3)[0]).all()


@every_world
def test_observations_are_finite_and_proposals_are_what_is_measured(world: World) -> None:
    env = TuningEnv(world, changes=0.3)
    rng = np.random.default_rng(1)
    for seed in range(12):
        observation, _ = env.reset(seed=seed)
        for used in range(1, 8):
            assert observation in env.observation_space
            masks, proposals = env.action_masks(), env.proposals()
            assert (masks == (observation[:, ALLOWED] > 0.5)).all()
            assert len(proposals) == len(masks) == env.action_space.n  # type: ignore[attr-defined]
            allowed = [proposals[place] for place in np.flatnonzero(masks)]
            assert len(set(allowed)) == len(allowed) > 0
            asked = world.specs[int(env.episodes.problem[0])]
            for each in allowed:
                asked.space.check(each)
            action = rng.choice(np.flatnonzero(masks))
            observation, reward, terminated, truncated, _ = env.step(action)
            assert (
                Configuration.of(asked.placements[env.episodes.taken[0, used]]) == proposals[action]
            )
            assert np.isfinite(reward)
            assert not truncated
            assert terminated == (used == 7)


def test_a_replayed_configuration_gives_what_was_recorded(
    trace: Trace, trace_world: TraceWorld
) -> None:
    env = TuningEnv(trace_world)
    env.reset(seed=3)
    for place in (4, 0, 9):
        configuration = env.proposals()[place]
        facts = env.step(np.int64(place))[4]
        recorded = trace.outcome(configuration)
        assert isinstance(recorded, Measurement)
        assert facts["score"] == pytest.approx(float(recorded.throughput_ips[0]), rel=1e-5)


def test_a_runtime_and_the_trace_recorded_from_it_agree(trace: Trace) -> None:
    """Scores and violations agree; rewards do not, since nobody knows a runtime's optimum."""
    with ReplayedRuntime(trace) as runtime:
        live, replayed = (
            TuningEnv(RuntimeWorld(runtime, 3.0, [LIMIT])),
            TuningEnv(TraceWorld(trace, objectives=[LIMIT])),
        )
        assert live.observation_space == replayed.observation_space
        for env in (live, replayed):
            env.reset(seed=0)
        for _ in range(7):
            common = [each for each in live.proposals() if each in replayed.proposals()]
            facts = [env.step(action_of(env, common[-1]))[4] for env in (live, replayed)]
            assert facts[0]["score"] == pytest.approx(facts[1]["score"], rel=1e-6)
            assert facts[0]["violation"] == pytest.approx(facts[1]["violation"], abs=1e-6)
            assert facts[0]["failed"] == facts[1]["failed"] == False  # noqa: E712 - NumPy's own


def test_a_runtime_is_asked_for_exactly_what_is_proposed(trace: Trace) -> None:
    asked: list[Configuration] = []

    class Listening(ReplayedRuntime):
        def apply(self, configuration: Configuration):  # type: ignore[no-untyped-def]
            asked.append(configuration)
            return super().apply(configuration)

    env = TuningEnv(RuntimeWorld(Listening(trace), 1.0, [LIMIT]))
    info = env.reset(seed=0)[1]
    assert info["origin"] == "replayed"
    expected = [env.proposals()[5]]
    env.step(np.int64(5))
    assert asked[1:] == expected
    assert asked[0] == Configuration.of(env.spec_of_problem.placements[0]), (
        "the reset measures where everybody starts"
    )


@pytest.mark.parametrize("limit", [60.0, 30.0, 10.0])
def test_the_reward_on_paper(trace: Trace, limit: float) -> None:
    """The default gives 20/s in 50 ms: within 60 ms, too late for 30. Nothing keeps 10 ms."""
    world = TraceWorld(trace, objectives=[Objective((limit,))])
    every = [respond(trace.space, Configuration.of(row)) for row in trace.placements]
    kept = [float(each.throughput_ips[0]) for each in every if each.p99_ms[0] <= limit]
    env = TuningEnv(world, reward=RewardOptions(violation_weight=0.2))
    env.reset(seed=0)
    start = 20 / max(kept) if limit > 50 else -0.2 * np.log(50 / limit)
    for place, configuration in enumerate(env.proposals()):
        env.reset(seed=0)
        told = respond(trace.space, configuration)
        late = np.log(told.p99_ms[0] / limit)
        value = -0.2 * late if late > 0 else told.throughput_ips[0] / max(kept)
        expected = max(value - start, 0.0) - 0.1 * (late > 0)
        assert env.step(np.int64(place))[1] == pytest.approx(expected, abs=1e-5), configuration


def test_what_was_measured_is_worth_no_choice_but_the_best(trace: Trace) -> None:
    env = TuningEnv(TraceWorld(trace, objectives=[LIMIT]))
    env.reset(seed=0)
    paper = {trace.space.default(): 20.0}
    for _ in range(6):
        place = next(place for place, each in enumerate(env.proposals()) if each not in paper)
        configuration = env.proposals()[place]
        env.step(np.int64(place))
        told = respond(trace.space, configuration)
        paper[configuration] = float(told.throughput_ips[0]) if told.p99_ms[0] <= 60 else 0.0
        allowed = {
            each for each, free in zip(env.proposals(), env.action_masks(), strict=True) if free
        }
        assert allowed & paper.keys() == {max(paper, key=paper.__getitem__)}


def test_changed_conditions_forget_the_best(simulated_world: SimulatedWorld) -> None:
    """Once an episode; what was measured before is worth measuring again then."""
    env = TuningVectorEnv(40, simulated_world, budget=8, changes=1.0)
    has_best = FEATURES.index("has_best")
    env.reset(seed=0)
    episodes = env.episodes
    changes, others, forgotten = np.zeros(40, dtype=int), 0, 0
    for place in (3, 2, 1, 2, 1, 3):  # something new each time: place 0 is the best so far
        due = episodes.used == episodes._change_at
        before, limits, variant = (
            episodes.progress.best.copy(),
            episodes.conditions.limits.copy(),
            episodes.variant.copy(),
        )
        observations, _, _, _, _ = env.step(np.full(40, place))
        other = (episodes.conditions.limits != limits).any(axis=1) | (episodes.variant != variant)
        just = episodes.taken[np.arange(40), episodes.used - 1]
        assert not (other & ~due).any()
        assert (
            (episodes.progress.best[other] == -1) | (episodes.progress.best[other] == just[other])
        ).all()
        assert (episodes.progress.measured[other].sum(axis=1) == 1).all()
        assert (episodes.progress.measured[~other].sum(axis=1) > 1).all()
        assert (episodes.progress.best[~other & (before >= 0)] >= 0).all()
        assert ((observations[:, 0, has_best] > 0.5) == (episodes.progress.best >= 0)).all()
        forgotten += int((other & (before >= 0) & (episodes.progress.best != before)).sum())
        others += int(other.sum())
        changes += due
    assert (changes == 1).all()
    assert others > 30, "limits that nothing could keep, or that are none, stay"
    assert forgotten > 10


def test_nothing_changes_unless_asked_for(simulated_world: SimulatedWorld) -> None:
    env = TuningVectorEnv(40, simulated_world, budget=8)
    env.reset(seed=0)
    limits, variant = env.episodes.conditions.limits.copy(), env.episodes.variant.copy()
    for _ in range(6):
        env.step(np.zeros(40, dtype=np.int64))
    assert (env.episodes.conditions.limits == limits).all()
    assert (env.episodes.variant == variant).all()


def test_the_rows_of_a_vector_environment_can_be_asked_for_one_objective(
    trace_world: TraceWorld,
) -> None:
    many, one = TuningVectorEnv(3, trace_world), TuningEnv(trace_world)
    observations, _ = many.reset(seed=4, options={"objective": LIMIT})
    assert (observations[0] == one.reset(seed=4, options={"objective": LIMIT})[0]).all()
    assert np.unique(many.episodes.conditions.limits, axis=0).shape[0] == 1
    for _ in range(many.episodes.budget - 1):
        many.step(np.zeros(3, dtype=np.int64))
    assert (
        np.unique(many.episodes.conditions.limits, axis=0).shape[0] > 1
    )  # the next episodes draw objectives again, as one environment's would
    with pytest.raises(OptionError, match="no option 'limit'"):
        many.reset(options={"limit": 3})


def test_an_objective_can_be_asked_for(
    trace_world: TraceWorld, simulated_world: SimulatedWorld
) -> None:
    env = TuningEnv(trace_world)
    assert env.reset(seed=0, options={"objective": LIMIT})[1]["objective"] == LIMIT
    text = env.render()
    assert text is not None
    assert "p99 <= 60 ms" in text
    env.step(np.int64(0))
    drawn = {env.reset(seed=seed)[1]["objective"] for seed in range(20)}
    assert drawn <= {asked.objective for asked in trace_world.specs}
    assert len(drawn) > 3, "without it they are drawn again"
    with pytest.raises(ObjectiveError, match="15 W"):
        env.reset(options={"objective": Objective((60.0,), 15.0)})
    with pytest.raises(ObjectiveError, match="2 values of p99_ms for 1 tenants"):
        env.reset(options={"objective": Objective((60.0, 60.0))})
    with pytest.raises(ObjectiveError, match="limits of its own"):
        TuningEnv(simulated_world).reset(options={"objective": LIMIT})


def test_render_tells_the_episode(trace: Trace) -> None:
    env = TuningEnv(TraceWorld(trace, objectives=[Objective((40.0,))]), render_mode="ansi")
    env.reset(seed=0)
    chosen = env.proposals()[3]
    env.step(np.int64(3))
    text = env.render()
    assert text is not None
    heading, default, last = text.splitlines()
    assert "net0 p99 <= 40 ms" in heading
    assert default == "net0: cpu_fp32 1x1: 20 inferences/s, broke a limit"
    told = respond(trace.space, chosen)
    assert last.startswith(trace.space.describe(chosen))
    assert f"{told.throughput_ips[0]:.4g} inferences/s" in last
    assert last.endswith("kept" if told.p99_ms[0] <= 40 else "broke a limit")


def test_power_that_was_not_read_breaks_its_limit(simulated_world: SimulatedWorld) -> None:
    """It is no failure: throughput counts, and nothing that was measured is kept."""
    limited = np.flatnonzero(np.isfinite(simulated_world.problems.limits[:, -1]))
    problems = simulated_world.problems.take(limited)
    outcomes = problems.outcomes.copy()
    outcomes[:, :, -1] = np.nan
    env = TuningVectorEnv(6, SimulatedWorld.of(replace(problems, outcomes=outcomes)))
    env.reset(seed=0)
    for _ in range(6):
        facts = env.step(np.zeros(6, dtype=np.int64))[4]
        assert (facts["violation"] == MAX_VIOLATION).all()
        assert (facts["score"] > 0).all()
        assert not facts["failed"].any()
        assert not facts["share"].any()
    assert not env.episodes.kept.any()


def test_failures_of_a_runtime_are_measured_as_failures(tmp_path: Path) -> None:
    failing = space()
    large = failing.catalogue[failing.catalogue[:, 0, 1, 1] == 4]
    broken = {
        Configuration.of(row): Failure(FailureKind.OUT_OF_MEMORY, "too much", 2.0) for row in large
    }
    with ReplayedRuntime(write_trace(tmp_path / "t.parquet", failing, failures=broken)) as runtime:
        env = TuningEnv(RuntimeWorld(runtime, 1.0, [Objective((1e6,))]))
        env.reset(seed=0)
        for _ in range(7):
            configuration = next(each for each in env.proposals() if each in broken)
            observation, reward, _, _, facts = env.step(action_of(env, configuration))
            assert facts["failed"]
            assert facts["violation"] > 0
            assert reward == pytest.approx(-BALANCED)
            assert observation in env.observation_space
            assert configuration not in {
                each for each, free in zip(env.proposals(), env.action_masks(), strict=True) if free
            }


def test_nothing_to_start_from_is_said(trace: Trace, tmp_path: Path) -> None:
    with ReplayedRuntime(trace) as runtime:
        start = Configuration.of(RuntimeWorld(runtime, 1.0, [LIMIT]).specs[0].placements[0])
    failing = write_trace(
        tmp_path / "t.parquet",
        space(),
        failures={start: Failure(FailureKind.OUT_OF_MEMORY, "no", 1.0)},
    )
    with ReplayedRuntime(failing) as runtime:
        env = TuningEnv(RuntimeWorld(runtime, 1.0, [LIMIT]))
        with pytest.raises(ConfigurationError, match="nothing to start from"):
            env.reset(seed=0)


def test_partial_traces_propose_only_what_works_in_them(tmp_path: Path) -> None:
    some = space().catalogue[::7]
    failures = {
        Configuration.of(row): Failure(FailureKind.OUT_OF_MEMORY, "no", 1.0) for row in some
    }
    part = write_trace(tmp_path / "part.parquet", space(), keep=0.5, failures=failures)
    recorded = {Configuration.of(row) for row in part.placements} - failures.keys()
    env = TuningEnv(TraceWorld(part, count=4))
    for seed in range(4):
        env.reset(seed=seed)
        for _ in range(7):
            allowed = np.flatnonzero(env.action_masks())
            assert {env.proposals()[place] for place in allowed} <= recorded
            assert not env.step(allowed[-1])[4]["failed"]


def test_a_space_with_fewer_configurations_than_proposals(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t.parquet", space(max_instances=1, batches=(1, 2)))
    with ReplayedRuntime(trace) as runtime:
        for world in (TraceWorld(trace, objectives=[LIMIT]), RuntimeWorld(runtime, 1.0, [LIMIT])):
            env = TuningEnv(world)
            env.reset(seed=0)
            assert env.action_masks().sum() == len(trace.rows) == 8
            absent = np.int64(20)
            assert not env.action_masks()[absent]
            _, reward, _, _, facts = env.step(absent)
            assert facts["failed"]
            assert reward == pytest.approx(-BALANCED)
            assert env.action_masks().sum() == 8, "that taught nothing"


def test_wrong_options_and_actions_are_named(trace_world: TraceWorld) -> None:
    with pytest.raises(OptionError, match="budget=1"):
        TuningEnv(trace_world, budget=1)
    with pytest.raises(OptionError, match=r"changes=1\.5"):
        TuningEnv(trace_world, changes=1.5)
    with pytest.raises(
        OptionError, match=r"world='agx_thor' is neither a board \(.*agx_orin_64.*\) nor a trace"
    ):
        TuningEnv("agx_thor")
    env = TuningEnv(trace_world, budget=2)
    env.reset(seed=0)
    for action in (-1, 24):
        with pytest.raises(ConfigurationError, match=r"actions must lie in 0\.\.23"):
            env.step(np.int64(action))
    assert env.step(np.int64(0))[2]
    with pytest.raises(ConfigurationError, match=r"call reset\(\) first"):
        env.step(np.int64(0))
    env.reset()
    assert env.step(np.int64(0))[2]
