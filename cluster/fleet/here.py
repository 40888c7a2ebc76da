"""Make the rollouts of a fleet in this process: what many workers make must equal it."""

from __future__ import annotations

from envs.problems.world import World
from tuner.agents.agent_options import AgentOptions
from tuner.agents.collecting import Roller, Rollout, Shard, Weights, rows_of_shard
from tuner.agents.training import make_env, starting_bundle, width_of


def roller(world: World, agent: AgentOptions, seed: int, shards: int) -> Roller:
    """Return what makes the shards of a training, in any process."""
    rows = rows_of_shard(agent.envs, shards)
    hidden = width_of(agent, starting_bundle(agent))
    return Roller(make_env(world, agent, seed, rows), hidden, seed)


class LocalCollector:
    """Makes all shards one after the other.

    Args:
        roller: makes one.
        shards: of an update.
    """

    def __init__(self, roller: Roller, shards: int) -> None:
        self._roller, self._shards = roller, shards

    def collect(self, weights: Weights, update: int, steps: int) -> Rollout:
        """Return the rollouts of an update."""
        shards = (Shard(update, index, steps) for index in range(self._shards))
        return Rollout.joined([self._roller.roll(weights, each) for each in shards])
