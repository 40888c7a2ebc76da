"""`TuningEnv` and `TuningVectorEnv`: tuning as Gymnasium environments. Both are `Episodes`, of one row and of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv

from envs.episode import Episodes, RewardOptions
from envs.measurement import MeasurementBatch
from envs.objective import Objective, Objectives
from envs.objective_draw import LimitRange, draw_objectives, uniforms_per_draw
from envs.traces.reader import find_trace, read_trace
from envs.world import Simulator, TraceWorld

Observation = npt.NDArray[np.float32]


class _Tuning:
    """What both environments share: the world, the spaces, and the drawing of objectives."""

    def __init__(self, world: Simulator | str, rows: int, budget: int, split: str, limits: LimitRange | None, reward: RewardOptions | None) -> None:
        self.world = TraceWorld(read_trace(find_trace(world))) if isinstance(world, str) else world
        self.episodes = Episodes(self.world, rows, budget, reward)
        self.split = split
        self._limits = limits
        if limits is None and isinstance(self.world, TraceWorld):
            self._limits = LimitRange.of(self.world.outcomes)
        self.observation_space = gym.spaces.Box(*self.episodes.layout.bounds, dtype=np.float32)
        self.action_space = gym.spaces.Discrete(len(self.episodes.candidates))

    def reset(self, generators: Sequence[np.random.Generator], objective: Objective | None) -> Observation:
        """Draw an objective a row, from that row's generator, unless one is given; then measure the default configuration."""
        rows = self.episodes.rows
        first: MeasurementBatch | None = None
        if objective is not None:
            drawn = Objectives(np.tile(objective.p99_ms, (rows, 1)), np.full(rows, objective.power_w))
            objective.check_measurable(self.world.has_power)
        else:
            count = uniforms_per_draw(self.world.space.shape[0])
            uniforms = np.stack([generator.random(count) for generator in generators])
            if self._limits is None:  # a live device: limits around what its default configuration gives
                first = self.world.respond(self.episodes.candidates[[self.world.start()] * rows], None, None)
                drawn = draw_objectives(LimitRange.around(first.p99_ms[0], float(first.power_w[0])), uniforms, self.split)
            else:
                drawn = draw_objectives(self._limits, uniforms, self.split)
        return self.episodes.reset(drawn, first)


class TuningEnv(gym.Env[Observation, np.int64]):
    """One episode: find the best configuration for one objective within a budget of measurements.

    An action is a row of the candidates, all of which are jointly valid (`envs.validity`), so there is no invalid action
    to mask; `action_masks()` names those not measured yet. `reset(options={"objective": Objective(...)})` asks for a given
    objective. The episode terminates when the budget is used up: how much is left is part of what is observed.

    Args:
        world: a world, or the name or path of a trace.
        budget: measurements, the default configuration's included.
        split: which limits are drawn: `train`, `held_out` or `all`.
        limits: between which limits; by default, for a trace, all that make a difference in it.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 - Gymnasium's own convention

    def __init__(
        self,
        world: Simulator | str = "resnet50",
        budget: int = 8,
        split: str = "train",
        limits: LimitRange | None = None,
        reward: RewardOptions | None = None,
        render_mode: str | None = None,
    ) -> None:
        self._tuning = _Tuning(world, 1, budget, split, limits, reward)
        self.observation_space = self._tuning.observation_space
        self.action_space = self._tuning.action_space
        self.render_mode = render_mode

    @property
    def episodes(self) -> Episodes:
        return self._tuning.episodes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        observations = self._tuning.reset([self.np_random], (options or {}).get("objective"))
        return observations[0], {"objective": self.episodes.objectives.row(0), "origin": self._tuning.world.origin.value}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        observations, rewards, terminated, facts = self.episodes.step(np.array([action]))
        return observations[0], float(rewards[0]), bool(terminated[0]), False, {name: values[0] for name, values in facts.items()}

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """[N]: candidates not measured in this episode (the convention of sb3-contrib)."""
        masks: npt.NDArray[np.bool_] = ~self.episodes.measured()[0]
        return masks

    def render(self) -> str | None:
        """What was measured so far, a line each."""
        history, space = self.episodes.history, self._tuning.world.space
        lines = [self.episodes.objectives.row(0).describe(space.workload.names)]
        for slot in range(int(history.used[0])):
            row = self.episodes.candidates[history.action[0, slot]]
            kept = "kept" if history.violation[0, slot] <= 0 else "broke a limit"
            lines.append(f"{describe_row(space, row)}: {history.score_ips[0, slot]:.1f} inferences/s, {kept}")
        return "\n".join(lines)


class TuningVectorEnv(VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """Many episodes in step, each row the same as a `TuningEnv` with that row's seed. Resets in the step that ends an episode."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - Gymnasium's own convention

    def __init__(
        self,
        num_envs: int = 256,
        world: Simulator | str = "resnet50",
        budget: int = 8,
        split: str = "train",
        limits: LimitRange | None = None,
        reward: RewardOptions | None = None,
    ) -> None:
        self._tuning = _Tuning(world, num_envs, budget, split, limits, reward)
        self.num_envs = num_envs
        self.render_mode = None
        self.single_observation_space = self._tuning.observation_space
        self.single_action_space = self._tuning.action_space
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self._generators = [np.random.default_rng() for _ in range(num_envs)]

    @property
    def episodes(self) -> Episodes:
        return self._tuning.episodes

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """Gymnasium's convention: one whole number seeds row i with `seed + i`."""
        if seed is not None:
            seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else list(seed)
            for row, value in enumerate(seeds):
                if value is not None:
                    self._generators[row] = gym.utils.seeding.np_random(value)[0]
        return self._tuning.reset(self._generators, (options or {}).get("objective")), {}

    def step(self, actions: npt.NDArray[np.int64]) -> tuple[Observation, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
        observations, rewards, terminated, facts = self.episodes.step(actions)
        infos: dict[str, Any] = dict(facts)
        if terminated.all():  # all rows share the budget, so all end together
            infos |= {"final_obs": observations, "_final_obs": terminated}
            observations = self._tuning.reset(self._generators, None)
        return observations, rewards, terminated, np.zeros(self.num_envs, dtype=bool), infos


def describe_row(space: Any, row: npt.NDArray[np.integer]) -> str:
    """A candidate in words."""
    from envs.configuration import Configuration

    return str(space.describe(Configuration.of(row)))
