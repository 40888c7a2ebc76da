"""Measure the speed of training, and what a policy learns in a short time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from benchmarks.figures import Figure, figure
from envs.problems.world import World
from envs.tuning_env import TuningEnv, TuningVectorEnv
from tuner.agents.agent_options import AgentOptions
from tuner.agents.training import make_env, make_model
from tuner.console import table
from tuner.policy.forward import NumpyPolicy


def seconds_of(run: Callable[[], object]) -> float:
    """Return the processor time of all threads."""
    began_s = time.process_time()
    run()
    return time.process_time() - began_s


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
