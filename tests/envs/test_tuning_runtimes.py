"""Environments on recordings and runtimes: what is measured, what fails, and what is not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.belief.risk import BALANCED
from envs.errors import ConfigurationError
from envs.problems.runtime_world import RuntimeWorld
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.trace_world import TraceWorld
from envs.runtimes.replayed import ReplayedRuntime
from envs.spec import MAX_VIOLATION, Configuration, Failure, FailureKind, Measurement, Objective
from envs.traces.reader import Trace
from envs.tuning_env import TuningEnv, TuningVectorEnv
from tests.worlds import LIMIT, space, write_trace


def action_of(env: TuningEnv, configuration: Configuration) -> np.int64:
    return np.int64(env.proposals().index(configuration))


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
