"""Tuning as Gymnasium environments: `Episodes` of one row, and of many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv

from envs.arrays import BoolArray, FloatArray
from envs.base_env import Observation, SingleEnv, Tuning, episode_options
from envs.belief.features import ALLOWED
from envs.episode import UNIFORMS, Episodes
from envs.problems.episode_options import BUDGET, RewardOptions
from envs.problems.world import World
from envs.spec import Configuration


class TuningEnv(SingleEnv[np.int64]):
    """One episode: find the best configuration of one problem within a budget of measurements.

    The device model proposes the candidates that may be the best, the most promising first. An
    observation [P, F] describes each of the P proposals (`envs.belief.features`); an action chooses
    one of them to be applied and measured: the number of instances of each tenant on each
    accelerator, and their batch size. All are jointly valid (`envs.spec.validity`).
    `action_masks()` marks those worth choosing: of what was measured already only what may change
    the answer when it is measured again, and the configuration that keeps its limits most safely,
    since measuring that again is how to wait.
    `proposals()` returns them as configurations.

    `reset(options={"objective": Objective(...)})` sets the objective, where the world is one device
    (a trace, a runtime). The episode terminates when the budget is used up, of measurements or of
    seconds; the observation tells how much of it is left.

    Gymnasium makes it by name, without an import of its own:

    >>> import gymnasium
    >>> env = gymnasium.make("envs:Tuning-v0", world="resnet50", budget=8)  # a recording
    >>> observation, info = env.reset(seed=0)
    >>> observation.shape
    (24, 35)
    >>> action = int(env.unwrapped.action_masks().argmax())
    >>> observation, reward, terminated, truncated, info = env.step(action)
    >>> sorted(info)
    ['failed', 'score', 'share', 'spent_s', 'violation']
    >>> many = gymnasium.make_vec("envs:Tuning-v0", num_envs=64, world="resnet50")
    >>> many.reset(seed=0)[0].shape
    (64, 24, 35)

    Args:
        world: a world; or the name of a board, such as `agx_orin_64`, to draw problems in its
            model; or the name or path of a trace.
        budget: measurements, the default configuration's included.
        split: which boards, networks and limits are drawn: `train`, `held_out` or `all`.
        reward: its weights.
        changes: share of episodes in which conditions change on the way.
        risk: the price of a broken limit, a word or a number, see `envs.belief.risk`; None to draw
            one for each episode.
        budget_s: seconds of an episode, infinite for no limit; None to draw them for each episode.
        builds: share of episodes in which no engine is built when they start.
        render_mode: `ansi` or None.
    """

    def describe(self, slot: int) -> str:
        """Return what was measured as text, slot 0 being the default."""
        spec, row = self.spec_of_problem, self.episodes.taken[0, slot]
        return spec.space.describe(Configuration.of(spec.placements[row]))

    def proposals(self) -> list[Configuration]:
        """Return the configuration that each action measures."""
        placements = self.spec_of_problem.placements
        last = len(placements) - 1
        return [Configuration.of(placements[min(row, last)]) for row in self.episodes.shown[0]]

    def action_masks(self) -> BoolArray:
        """Return the proposals worth choosing, [P] (the convention of sb3-contrib)."""
        return np.asarray(self.episodes.last[0, :, ALLOWED] > 0.5)


class TuningVectorEnv(VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """Many episodes in step, each row the same as a scalar environment with that row's seed.

    It resets in the step that ends an episode. All episodes end with the last measurement of their
    budget; where the seconds of one are used up before, nothing that it still measures counts.
    The options that are not named here are those of `TuningEnv`.

    Args:
        num_envs: rows; each has a problem of its own, with its own board, networks and limits.
        shared_noise: draw the randomness of all rows from one generator, that of row 0, in one go.
            It is faster; rows are then no longer the same as scalar environments of their own
            seeds.
    """

    # Gymnasium's own convention.
    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    kind: type[Tuning] = Tuning

    def __init__(
        self,
        num_envs: int = 256,
        world: World | str = "agx_orin_64",
        budget: int = BUDGET,
        split: str = "train",
        reward: RewardOptions | None = None,
        changes: float = 0.0,
        risk: float | str | None = "balanced",
        budget_s: float | None = math.inf,
        builds: float = 0.0,
        shared_noise: bool = False,
    ) -> None:
        options = episode_options(budget, reward, changes, risk, budget_s, builds)
        self._whole = self.kind(world, num_envs, options, split)
        self._tuning = self._whole
        self._shared_noise = shared_noise
        self.num_envs = num_envs
        self.render_mode = None
        self.single_observation_space = self._tuning.observation_space
        self.single_action_space = self._tuning.action_space
        self.observation_space = gym.vector.utils.batch_space(
            self.single_observation_space, num_envs
        )
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self._generators = [np.random.default_rng() for _ in range(num_envs)]

    @property
    def episodes(self) -> Episodes:
        """Return the state of all episodes."""
        return self._tuning.episodes

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start all episodes anew.

        Args:
            seed: one whole number seeds row i with `seed + i` (Gymnasium's convention); or one for
                each row.
            options: those of `TuningEnv.reset`, for all rows.
        """
        if seed is not None:
            seeds = range(seed, seed + self.num_envs) if isinstance(seed, int) else seed
            for row, value in enumerate(seeds):
                if value is not None:
                    self._generators[row] = gym.utils.seeding.np_random(value)[0]
        self._tuning = self._whole.with_options(options)
        return self._restart(), {}

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Observation, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
        """Measure what the action of each row asks for."""
        observations, rewards, terminated, facts = self.episodes.step(actions, self._normals())
        infos: dict[str, Any] = dict(facts)
        if terminated.all():  # all rows share the budget, so all end together
            infos |= {"final_obs": observations, "_final_obs": terminated}
            self._tuning = self._whole
            observations = self._restart()
        return observations, rewards, terminated, np.zeros(self.num_envs, dtype=bool), infos

    def _restart(self) -> Observation:
        if self._shared_noise:
            uniforms = self._generators[0].random((self.num_envs, UNIFORMS))
            return self.episodes.reset(uniforms, self._normals())
        return self._tuning.reset(self._generators)

    def _normals(self) -> FloatArray:
        if self._shared_noise:
            shape = (self.num_envs, self.episodes.problems.quantities + 1)
            return self._generators[0].standard_normal(shape)
        return self._tuning.normals(self._generators)
