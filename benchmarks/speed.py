"""Measure the speed of the environment, the device model and training.

Rates are per second of processor time on one core. Ratios are measured in pairs within one run, so
that they also hold on a machine that others use. Problems are drawn in the device model of an AGX
Orin with one tenant. For decisions see `benchmarks.controlling`.

python -m benchmarks.speed
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import draw_world
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
from tuner.agents.training import AgentOptions, make_env, make_model
from tuner.console import table
from tuner.policy.forward import NumpyPolicy

BOARD, NETWORK, BATCHES = "agx_orin_64", "resnet50", (1, 2, 4, 8, 16, 32, 64)


def seconds_of(run: Callable[[], object]) -> float:
    """Return the processor time of all threads."""
    began_s = time.process_time()
    run()
    return time.process_time() - began_s


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
    instances, levels = model.slots(placements)
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


@contextmanager
def clocked(thing: Any, method: str, spent: dict[str, float]) -> Iterator[None]:
    """Add up the processor time of a method of one object in `spent`."""
    plain = getattr(thing, method)

    def timed(*values: Any, **named: Any) -> Any:
        began_s = time.process_time()
        try:
            return plain(*values, **named)
        finally:
            spent[method] = spent.get(method, 0.0) + time.process_time() - began_s

    setattr(thing, method, timed)
    yield
    setattr(thing, method, plain)


def training(world: World, envs: int, pairs: int) -> list[Figure]:
    """Compare PPO over our vector environment with PPO over SB3's own, and say where time goes."""
    options = AgentOptions(envs=envs, batch_size=min(1792, 7 * envs), episodes_per_update=1)
    made: list[VecEnv] = [
        make_env(world, options, 0),
        DummyVecEnv([lambda: TuningEnv(world, options.budget)] * envs),
    ]
    models = [make_model(env, options, 0, None) for env in made]
    steps = 7 * envs
    for model in models:
        model.learn(steps)
    spent: dict[str, float] = {}
    both = []
    for _ in range(pairs):
        with clocked(made[0], "step_wait", spent), clocked(models[0], "train", spent):
            ours = seconds_of(lambda: models[0].learn(4 * steps)) / 4
        spent["all"] = spent.get("all", 0.0) + 4 * ours
        both.append((ours, seconds_of(lambda: models[1].learn(steps))))
    quick, slow = np.array(both).T
    shares = {name: 100 * spent[name] / spent["all"] for name in ("step_wait", "train")}
    return [
        figure(
            f"PPO with {envs} environments, steps per second of one core, median",
            steps / float(np.median(quick)),
            "1/s",
        ),
        figure(
            "over the same agent with SB3's DummyVecEnv of scalar environments, median of pairs",
            float(np.median(slow / quick)),
            "times",
            ">= 3",
        ),
        figure("its time in the environment", shares["step_wait"], "%"),
        figure("its time in updates", shares["train"], "%"),
        figure(
            "its time in choosing actions, and the rest of rollouts",
            100 - sum(shares.values()),
            "%",
        ),
    ]


class Curve(BaseCallback):
    """Plays held-out problems with the policy every so many steps.

    A point is (seconds of training, steps, mean share of the optimum after 3 measurements).
    """

    def __init__(self, world: World, rows: int, every: int) -> None:
        super().__init__()
        self._env = TuningVectorEnv(rows, world, shared_noise=True)
        self._every, self._next, self._before = every, 0, 0.0
        self.points: list[tuple[float, int, float]] = []

    def _on_training_start(self) -> None:
        self._began_s = time.perf_counter()

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self._next += self._every
            self.measure()

    def measure(self) -> None:
        """Add a point."""
        began_s = time.perf_counter()
        observations, _ = self._env.reset(seed=7)
        for _ in range(2):
            observations = self._env.step(self.model.predict(observations, deterministic=True)[0])[
                0
            ]
        share = float(self._env.episodes.share().mean())
        self.points.append((began_s - self._began_s - self._before, self.num_timesteps, share))
        self._before += time.perf_counter() - began_s  # playing is not training

    def _on_step(self) -> bool:
        return True


def learning(world: World, held_out: World, steps: int) -> tuple[list[Figure], PPO]:
    """Train for a short time on two cores, from nothing.

    A fresh policy starts from a sensible ranking; it is taken away here, to see the policy learn.
    """
    options = AgentOptions(steps=steps, threads=2)
    model = make_model(make_env(world, options, 0), options, 0, None)
    fresh, curve = (Curve(held_out, 512, steps // 20) for _ in range(2))
    fresh.model = model
    fresh._on_training_start()
    fresh.measure()
    model.policy.trust.data.zero_()  # type: ignore[operator]
    model.learn(steps, callback=curve)
    curve.measure()
    table(
        ["training, s", "steps", "share of the optimum after 3 measurements, %"],
        [[f"{s:.1f}", f"{n:,}", f"{100 * y:.1f}"] for s, n, y in curve.points],
    )
    reached = [seconds for seconds, _, share in curve.points if share >= 0.9]
    last_s, _, last = curve.points[-1]
    made = [
        figure(
            "a fresh policy as training starts it: share of the optimum after 3, held out",
            100 * fresh.points[0][2],
            "%",
        ),
        figure("from nothing: the same before training", 100 * curve.points[0][2], "%"),
        figure(
            "from nothing: training to 90 % of the optimum after 3, two cores",
            reached[0] if reached else float("inf"),
            "s",
            "< 300",
        ),
        figure(f"from nothing: share after {last_s:.0f} s", 100 * last, "%"),
    ]
    return made, model


def disagreements(model: PPO, policy: NumpyPolicy, observations: int = 2000) -> int:
    """Count random observations on which the SB3 model and its bundle choose differently."""
    model.observation_space.seed(0)
    sample = np.stack([model.observation_space.sample() for _ in range(observations)])
    chosen = model.predict(sample, deterministic=True)[0]
    return int(
        sum(policy.decide(row) != action for row, action in zip(sample, chosen, strict=True))
    )


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
