"""One training by many workers: the same policy, whoever makes its rollouts and whoever dies."""

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cluster.fleet.crew import Crew, ray_at
from cluster.fleet.here import LocalCollector, roller
from cluster.fleet.options import FleetOptions
from cluster.fleet.rollouts import FleetRollouts, RayCollector, Rolling
from envs.errors import OptionError, RuntimeFault
from envs.problems.draw_options import DrawOptions
from envs.problems.simulated_world import SimulatedWorld
from tuner.agents.agent_options import AgentOptions
from tuner.agents.collecting import CollectingPPO, Rollout, Shard
from tuner.agents.training import make_env, make_model

SHARDS = 4
AGENT = AgentOptions(
    steps=2 * 8 * 7, envs=8, budget=8, episodes_per_update=1, batch_size=28, epochs=2, hidden=8
)


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    drawn = SimulatedWorld(DrawOptions(boards=["agx_orin_64"], small_spaces=1.0), 6, seed=3)
    return SimulatedWorld.of(drawn.problems)  # as a run reads them


@pytest.fixture(scope="module")
def weights(world: SimulatedWorld) -> dict[str, np.ndarray]:
    model = make_model(make_env(world, AGENT, 0), AGENT, 0, None)
    return {name: each.numpy() for name, each in model.policy.state_dict().items()}


def rolls(world: SimulatedWorld, seed: int = 0) -> LocalCollector:
    return LocalCollector(roller(world, AGENT, seed, SHARDS), SHARDS)


def trained(world: SimulatedWorld, collector: object) -> list[np.ndarray]:
    env = make_env(world, AGENT, 0)
    model = make_model(env, AGENT, 0, None, collector)  # type: ignore[arg-type]
    assert isinstance(model, CollectingPPO)
    model.learn(AGENT.steps)
    assert model.num_timesteps == AGENT.steps
    return [each.detach().numpy().copy() for each in model.policy.parameters()]


def same(one: Rollout, other: Rollout) -> None:
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_a_shard_depends_on_its_weights_seed_and_number_alone(
    world: SimulatedWorld, weights: dict[str, np.ndarray]
) -> None:
    used, fresh = (roller(world, AGENT, 0, SHARDS) for _ in range(2))
    first = used.roll(weights, Shard(0, 0, 7))
    used.roll(weights, Shard(1, 3, 7))
    same(used.roll(weights, Shard(0, 0, 7)), first)
    same(fresh.roll(weights, Shard(0, 0, 7)), first)
    for other in (Shard(0, 1, 7), Shard(1, 0, 7)):
        assert not np.array_equal(fresh.roll(weights, other).observations, first.observations)
    moved = {name: each + 0.5 for name, each in weights.items()}
    assert not np.array_equal(fresh.roll(moved, Shard(0, 0, 7)).values, first.values)


def test_a_shard_holds_whole_episodes_as_monitor_reports_them(
    world: SimulatedWorld, weights: dict[str, np.ndarray]
) -> None:
    rollout = rolls(world).collect(weights, 0, 14)
    assert rollout.observations.shape[:2] == (14, AGENT.envs)
    assert rollout.starts[[0, 7]].all()
    assert rollout.starts.sum() == rollout.ends.sum() == 2 * AGENT.envs
    for end in (6, 13):
        gains = rollout.rewards[end - 6 : end + 1].sum(axis=0)
        infos = rollout.infos(end)
        np.testing.assert_allclose([each["episode"]["r"] for each in infos], gains, rtol=1e-5)
        assert {each["episode"]["l"] for each in infos} == {7}
    assert rollout.infos(3) == [{}] * AGENT.envs


def test_any_number_of_workers_trains_the_same_policy_and_a_killed_one_costs_its_shard(
    world: SimulatedWorld, weights: dict[str, np.ndarray]
) -> None:
    alone = trained(world, rolls(world))
    make = partial(Rolling, partial(roller, world, AGENT, 0, SHARDS))
    options = FleetOptions(workers=2, shards=SHARDS)
    with ray_at(options):
        import ray

        crew: Crew[Shard, Rollout] = Crew(make, options)
        collector = RayCollector(crew, SHARDS)
        for one, other in zip(trained(world, collector), alone, strict=True):
            np.testing.assert_array_equal(one, other)
        assert crew.replaced == 0

        whole = collector.collect(weights, 5, 7)
        os.kill(ray.get(crew.members[0].process.remote()), signal.SIGKILL)
        same(collector.collect(weights, 5, 7), whole)
        assert crew.replaced == 1


class Sick:
    """Ends its process, or fails, as its task says."""

    def __call__(self, common: str, task: str) -> str:
        if task == "die":
            os._exit(1)
        if task == "fail":
            raise ValueError("the board\nis on fire")
        return common + task


def test_a_crew_gives_up_when_worker_after_worker_dies() -> None:
    options = FleetOptions(workers=1, shards=1, deaths=2)
    with ray_at(options):
        crew: Crew[str, str] = Crew(Sick, options)
        assert crew.do("a", ["b", "c"]) == ["ab", "ac"]
        with pytest.raises(RuntimeFault, match="3 workers of the fleet died in a row"):
            crew.do("a", ["die"])
        with pytest.raises(RuntimeFault, match="the board is on fire"):
            crew.do("a", ["fail"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"workers": -1}, "fleet.workers=-1 must not be below zero"),
        ({"shards": 0}, "fleet.shards=0 must be at least 1"),
        ({"workers": 0, "address": "auto"}, "fleet.address needs workers"),
        ({"boards": []}, "fleet.boards must name a board"),
    ],
)
def test_a_wrong_option_is_said(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        FleetOptions(**options)  # type: ignore[arg-type]


def test_rows_that_do_not_divide_are_said(world: SimulatedWorld, tmp_path: Path) -> None:
    fleet = FleetRollouts(FleetOptions(workers=0, shards=3))
    with (
        pytest.raises(OptionError, match=r"agent\.envs=8 must be a multiple of the 3 shards"),
        fleet.collector(None, world, AGENT, 0),  # type: ignore[arg-type]
    ):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere"])
def test_an_address_where_no_ray_answers_is_said(address: str) -> None:
    options = FleetOptions(workers=1, address=address)
    with (
        pytest.raises(OptionError, match=f"fleet.address={address}: no Ray answers there"),
        ray_at(options),
    ):
        pass
