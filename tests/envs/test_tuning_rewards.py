"""What an action of an environment is worth, also where conditions and objectives change."""

from __future__ import annotations

import numpy as np
import pytest

from envs.belief.features import FEATURES
from envs.errors import ObjectiveError, OptionError
from envs.problems.episode_options import RewardOptions
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.trace_world import TraceWorld
from envs.spec import Configuration, Objective
from envs.traces.reader import Trace
from envs.tuning_env import TuningEnv, TuningVectorEnv
from tests.worlds import LIMIT, respond


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
