"""Measure the speed of the environment, the device model and training.

Rates are per second of processor time on one core. Ratios are measured in pairs within one run, so
that they also hold on a machine that others use. Problems are drawn in the device model of an AGX
Orin with one tenant. For decisions see `benchmarks.controlling`.

python -m benchmarks.speed
"""

from __future__ import annotations

import sys
import time

import numpy as np
from gymnasium.vector import SyncVectorEnv
from stable_baselines3 import PPO

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import draw_world
from benchmarks.speed_training import disagreements, learning, seconds_of, training
from envs.belief.prior import prior_of
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described, draw_problem
from envs.problems.draw_options import DrawOptions
from envs.problems.problem import WIDE
from envs.problems.world import World
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.simulator.response import respond
from envs.spec import ConfigurationSpace, workload_of
from envs.tuning_env import TuningEnv, TuningVectorEnv
from tuner.agents.export import bundle_of
from tuner.policy.forward import NumpyPolicy

BOARD, NETWORK, BATCHES = "agx_orin_64", "resnet50", (1, 2, 4, 8, 16, 32, 64)


def episodes(env: TuningVectorEnv | SyncVectorEnv, count: int) -> float:
    """Return the steps per second over `count` whole episodes of every row."""
    rng = np.random.default_rng(0)
    proposals = int(env.single_action_space.n)  # type: ignore[attr-defined]
    actions = rng.integers(0, proposals, (7 * count, env.num_envs))
    return actions.size / seconds_of(lambda: [env.step(row) for row in actions])


def environment(world: World, rows: int, pairs: int) -> list[Figure]:
    """Compare our vector environment with Gymnasium's over the scalar one, in turns."""
    ours = TuningVectorEnv(rows, world, shared_noise=True)
    theirs = SyncVectorEnv([lambda: TuningEnv(world)] * 32)
    for env in (ours, theirs):
        env.reset(seed=0)
        episodes(env, 1)
    quick, slow = np.array([(episodes(ours, 4), episodes(theirs, 1)) for _ in range(pairs)]).T
    return [
        figure(
            f"vector environment of {rows} rows, steps per second of one core, median",
            float(np.median(quick)),
            "1/s",
            ">= 60000",
        ),
        figure(
            "the same, the fastest stretch (others may share the core)", float(quick.max()), "1/s"
        ),
        figure(
            "over Gymnasium's SyncVectorEnv of the scalar environment, median of pairs",
            float(np.median(quick / slow)),
            "times",
        ),
        figure("rows that differ from the scalar environment", unequal_rows(world), "rows", "== 0"),
    ]


def unequal_rows(world: World, rows: int = 64, steps: int = 28) -> int:
    """Count the rows of a vector environment that differ from scalar episodes of the same seeds."""
    many, singles = (
        TuningVectorEnv(rows, world, changes=0.3),
        [TuningEnv(world, changes=0.3) for _ in range(rows)],
    )
    observations, _ = many.reset(seed=0)
    same = (observations == np.stack([env.reset(seed=i)[0] for i, env in enumerate(singles)])).all(
        axis=(1, 2)
    )
    rng = np.random.default_rng(1)
    for _ in range(steps):
        proposals = int(many.single_action_space.n)  # type: ignore[attr-defined]
        actions = rng.integers(0, proposals, rows)
        observations, rewards, terminated, _, _ = many.step(actions)
        for i, (env, action) in enumerate(zip(singles, actions, strict=True)):
            expected, reward, done, _, _ = env.step(action)
            if done:
                expected = env.reset()[0]
            same[i] &= (
                bool((observations[i] == expected).all())
                and rewards[i] == reward
                and terminated[i] == done
            )
    return int((~same).sum())


def device_model(repeats: int = 7) -> list[Figure]:
    """Time the model over the whole space of one tenant."""
    layers = reference_network(NETWORK)
    space = ConfigurationSpace(
        device_of(BOARD, "MAXN"), workload_of([described(layers)]), 4, BATCHES
    )
    model = DeviceModel(machine_of(BOARD, "MAXN"), space, (layers,))
    nominal, placements = model.nominal(), space.catalogue
    instances, levels, _ = model.slots(placements)
    rows = np.zeros(len(placements), dtype=np.int64)
    alone, whole = zip(
        *(
            (
                seconds_of(lambda: respond(nominal, rows, instances, levels)),
                seconds_of(lambda: model.response(nominal, placements)),
            )
            for _ in range(repeats)
        ),
        strict=True,
    )
    return [
        figure(
            "device model, configurations per second of one core, median",
            len(placements) / float(np.median(alone)),
            "1/s",
            ">= 1000000",
        ),
        figure(
            f"all {len(placements):,} configurations of {NETWORK} on AGX Orin, median",
            float(np.median(whole)),
            "s",
            "< 0.2",
        ),
    ]


def setting_up(model: PPO) -> list[Figure]:
    """Time the set-up of a problem, and compare the decisions of the bundle and the model."""
    took = []
    for seed in range(3):
        drawn = draw_problem(DrawOptions(boards=[BOARD]), np.random.default_rng(seed))
        took.append(
            seconds_of(
                lambda drawn=drawn: prior_of(
                    drawn.model, drawn.objective, np.random.default_rng(0), size=WIDE
                )
            )
        )
    return [
        figure(
            "set-up of a problem (shortlist and belief from the whole space), processor time",
            float(np.median(took)),
            "s",
        ),
        figure(
            "bundle and SB3 model differ, of 2,000 random observations",
            disagreements(model, NumpyPolicy(bundle_of(model, 8, {}))),
            "",
            "== 0",
        ),
    ]


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, default=1024, help="of the vector environment")
    arguments.add_argument(
        "--envs", type=int, default=128, help="of the comparison with SB3's own vector environment"
    )
    arguments.add_argument(
        "--problems", type=int, default=64, help="to train on; a third as many are held out"
    )
    arguments.add_argument("--steps", type=int, default=200_000, help="of the short training")
    arguments.add_argument("--pairs", type=int, default=7)
    given = arguments.parse_args()
    began_s = time.perf_counter()
    world, held_out = (
        draw_world(DrawOptions(boards=[BOARD], split=split), count, seed)
        for split, count, seed in (
            ("train", given.problems, 0),
            ("held_out", max(given.problems // 3, 8), 1),
        )
    )
    problems = len(world.problems) + len(held_out.problems)
    figures = [
        figure(
            f"drawing {problems} problems on two cores, each",
            (time.perf_counter() - began_s) / problems,
            "s",
        )
    ]
    figures += (
        environment(world, given.rows, given.pairs)
        + device_model()
        + training(world, given.envs, given.pairs)
    )
    curve, model = learning(world, held_out, given.steps)
    return report(figures + curve + setting_up(model), given.json)


if __name__ == "__main__":
    sys.exit(main())
