"""Train one policy by many workers, and see that nothing but the time changes.

The same training, on the same problems, is made without workers, by one worker, by two, and by two
of which one is killed in every second update. All must end in the same weights. The kill costs the
shard that the worker was making: the benchmark counts the shards that were made in vain. Quality is
that of networks and limits that no training drew; it is asked once for policies that are equal.

python -m benchmarks.fleet
python -m benchmarks.fleet --steps 300000 --problems 240
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.figures import Figure, figure, parser, report
from cluster.fleet.crew import Crew, ray_at
from cluster.fleet.here import LocalCollector, roller
from cluster.fleet.options import FleetOptions
from cluster.fleet.rollouts import RayCollector, Rolling
from envs.problems.draw_options import DrawOptions
from envs.problems.simulated_world import SimulatedWorld
from tuner.agents.agent_options import AgentOptions
from tuner.agents.collecting import Collector, Rollout, Weights
from tuner.agents.export import bundle_of
from tuner.agents.training import make_env, make_model
from tuner.console import progress_bar
from tuner.evaluate import EvaluationOptions, evaluate
from tuner.evaluation.simulated import simulated_cases
from tuner.evaluation.statistics import summarize
from tuner.policy.bundle import save_bundle

#: A worker is killed in every so many updates.
KILL_EVERY = 2

BOARD = "agx_orin_64"


class Killing:
    """Kills a worker at the begin of some updates, which is when it works.

    Args:
        collector: whose workers die.
    """

    def __init__(self, collector: RayCollector) -> None:
        self._collector, self.kills = collector, 0

    def collect(self, weights: Weights, update: int, steps: int) -> Rollout:
        """Return the rollouts of an update."""
        if update % KILL_EVERY == KILL_EVERY - 1:
            import ray

            members = self._collector.crew.members
            os.kill(ray.get(members[self.kills % len(members)].process.remote()), signal.SIGKILL)
            self.kills += 1
        return self._collector.collect(weights, update, steps)


class Timed:
    """Adds up the time of the rollouts.

    Args:
        collector: makes them.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector, self.seconds = collector, 0.0

    def collect(self, weights: Weights, update: int, steps: int) -> Rollout:
        """Return the rollouts of an update."""
        began_s = time.perf_counter()
        made = self._collector.collect(weights, update, steps)
        self.seconds += time.perf_counter() - began_s
        return made


@contextmanager
def collecting(
    world: SimulatedWorld, agent: AgentOptions, fleet: FleetOptions
) -> Iterator[LocalCollector | RayCollector]:
    """Return what makes the rollouts, its workers warm, while the block lasts."""
    make = partial(roller, world, agent, 0, fleet.shards)
    if not fleet.workers:
        yield LocalCollector(make(), fleet.shards)
        return
    with ray_at(fleet):
        yield RayCollector(Crew(partial(Rolling, make), fleet), fleet.shards)


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=60_000)
    arguments.add_argument("--problems", type=int, default=80)
    arguments.add_argument("--objectives", type=int, default=60)
    given = arguments.parse_args()
    agent = AgentOptions(steps=given.steps)
    draw = DrawOptions(boards=[BOARD], small_spaces=0.95)
    with progress_bar("drawing problems", given.problems) as advance:
        drawn = SimulatedWorld(draw, given.problems, 0, 2, lambda new: advance("", new))
    world = SimulatedWorld.of(drawn.problems)
    figures: list[Figure] = []
    first: list[np.ndarray] = []
    first_model: Any = None
    alone_s = 0.0
    with TemporaryDirectory() as folder:
        for name, workers, kill in CASES:
            model, made, collector = _trained(name, world, agent, workers, kill)
            weights = [each.detach().numpy().copy() for each in model.policy.parameters()]
            if not first:
                first, first_model = weights, model
            off = max(float(np.abs(a - b).max()) for a, b in zip(weights, first, strict=True))
            alone_s = alone_s or made.seconds
            figures += [
                figure(f"{name}: largest difference of a weight", off, "", "== 0"),
                figure(f"{name}: rollouts", made.seconds, "s"),
                figure(f"{name}: speed of the rollouts", alone_s / made.seconds, "x"),
            ]
            if kill:
                assert isinstance(collector, RayCollector)
                kills = agent_updates(agent) // KILL_EVERY
                figures.append(figure(f"{name}: workers killed", kills, ""))
                replaced = collector.crew.replaced
                figures.append(figure(f"{name}: shards made in vain", replaced, "", f"<= {kills}"))
            if model is not first_model and off == 0.0:  # the same policy, to the bit
                continue
            path = Path(folder) / "policy.bundle"
            save_bundle(path, bundle_of(model, agent.budget, {"origin": "simulated"}))
            share = quality(path, given.objectives, Path(folder))
            figures.append(figure(f"{name}: share of the oracle after 3", share, "%", ">= 95"))
    return report(figures, given.json)


#: Name, workers, and whether they are killed.
CASES = (
    ("no worker", 0, False),
    ("one worker", 1, False),
    ("two workers", 2, False),
    ("two workers, killed", 2, True),
)


def agent_updates(agent: AgentOptions) -> int:
    """Return the updates of a training."""
    each = agent.envs * (agent.budget - 1) * agent.episodes_per_update
    return -(-agent.steps // each)


def _trained(
    name: str, world: SimulatedWorld, agent: AgentOptions, workers: int, kill: bool
) -> tuple[Any, Timed, Collector]:
    fleet = FleetOptions(workers=workers)
    with collecting(world, agent, fleet) as collector:
        killing = Killing(collector) if kill and isinstance(collector, RayCollector) else None
        made = Timed(killing or collector)
        model = make_model(make_env(world, agent, 0), agent, 0, None, made)
        weights = {key: each.numpy() for key, each in model.policy.state_dict().items()}
        collector.collect(weights, 0, agent.budget - 1)  # workers load their packages
        with progress_bar(name, agent_updates(agent)) as advance:
            model.learn(agent.steps, callback=Shown(advance))
        return model, made, collector


class Shown(BaseCallback):
    """Moves a bar with each update.

    Args:
        advance: of the bar.
    """

    def __init__(self, advance: Any) -> None:
        super().__init__()
        self._advance = advance

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._advance("", 1)


def quality(bundle: Path, objectives: int, folder: Path) -> float:
    """Return the share of the oracle [%] after three measurements, mean over held-out problems."""
    options = replace(EvaluationOptions(), objectives=objectives, seed=1, tuners=[], jobs=2)
    cases = simulated_cases(DrawOptions(boards=[BOARD]), objectives, options.seed)
    result = evaluate(cases, {"policy": bundle}, options, folder)
    return 100 * summarize(result.comparison, "policy", 3).share_mean


if __name__ == "__main__":
    sys.exit(main())
