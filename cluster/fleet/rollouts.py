"""Make the rollouts of a training on many workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cluster.fleet.crew import Crew, ray_at
from cluster.fleet.here import LocalCollector, roller
from cluster.fleet.options import FleetOptions
from cluster.fleet.recordings import FleetRecordings
from envs.errors import OptionError
from envs.problems.world import World
from tuner.agents.agent_options import AgentOptions
from tuner.agents.collecting import Collector, Roller, Rollout, Shard, Weights, rows_of_shard
from tuner.agents.sources import DeviceProblems, ProblemSource
from tuner.train import MODEL, TrainCommand, source_of


class FleetRollouts:
    """Rollouts of a fleet, for `tuner.train.train`.

    Args:
        options: of the fleet.
    """

    command = "cluster.train"
    config_name = "fleet"

    def __init__(self, options: FleetOptions) -> None:
        self._options = options
        # Whoever makes the shards, and how many do, changes nothing in them.
        self.identity: dict[str, Any] = {"shards": options.shards}

    def source(self, options: TrainCommand, stack: contextlib.ExitStack) -> ProblemSource:
        """Return the recordings of the boards, or what tuner.train would learn from."""
        if not self._options.boards:
            return source_of(options, stack)
        if options.trace or options.twin or options.runtime != MODEL:
            raise OptionError(
                "fleet.boards makes recordings of its own: leave out trace, twin and runtime"
            )
        drawn = (options.problems, options.seed, options.jobs)
        return FleetRecordings(self._options, options.network, Path(options.run_dir), *drawn)

    @contextlib.contextmanager
    def collector(
        self, source: ProblemSource, world: World, agent: AgentOptions, seed: int
    ) -> Iterator[Collector]:
        """Return what makes the rollouts while the block lasts.

        Raises:
            OptionError: the rows do not divide, or the source is one device.
        """
        rows_of_shard(agent.envs, self._options.shards)
        if isinstance(source, DeviceProblems):
            raise OptionError(
                "a device in the loop has one runtime: train on it with python -m tuner.train, or"
                " record on each board and give trace= or fleet.boards="
            )
        make = partial(roller, world, agent, seed, self._options.shards)
        if not self._options.workers:
            yield LocalCollector(make(), self._options.shards)
            return
        with ray_at(self._options):
            yield RayCollector(Crew(partial(Rolling, make), self._options), self._options.shards)


class Rolling:
    """Makes shards in a worker."""

    def __init__(self, make: partial[Roller]) -> None:
        self._roller = make()

    def __call__(self, common: Weights, task: Shard) -> Rollout:
        """Make a shard with the weights of the update."""
        return self._roller.roll(common, task)


class RayCollector:
    """Gives the shards of an update to a crew.

    Args:
        crew: of workers.
        shards: of an update.
    """

    def __init__(self, crew: Crew[Shard, Rollout], shards: int) -> None:
        self.crew, self._shards = crew, shards

    def collect(self, weights: Weights, update: int, steps: int) -> Rollout:
        """Return the rollouts of an update."""
        shards = [Shard(update, index, steps) for index in range(self._shards)]
        return Rollout.joined(self.crew.do(weights, shards))
