"""Tuning as Gymnasium environments: `Episodes` of one row, and of many."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv

from envs.arrays import BoolArray, FloatArray
from envs.belief.features import ALLOWED, FEATURES
from envs.belief.risk import parse_risk
from envs.episode import UNIFORMS, Episodes
from envs.errors import OptionError
from envs.problems.episode_options import BUDGET, EpisodeOptions, RewardOptions
from envs.problems.named import world_named
from envs.problems.world import ProblemSpec, World
from envs.spec import Configuration

Observation = npt.NDArray[np.float32]

#: What an environment takes: the number of a proposal, or one number for each knob.
Action = TypeVar("Action")

#: Features are logarithms of ratios, spreads and shares; all of them lie within this.
BOUND = 30.0


def box(bound: float, shape: tuple[int, ...]) -> gym.Space[Observation]:
    """Return the space of observations of a shape within -bound .. bound."""
    return cast(gym.Space[Observation], gym.spaces.Box(-bound, bound, shape, dtype=np.float32))


class Tuning:
    """Shared by all environments: the world, the spaces, the draws of problems and noise.

    Attributes:
        world: whose problems are tuned.
        episodes: of so many rows.
        observation_space, action_space: of one row.
    """

    kind: type[Episodes] = Episodes

    def __init__(
        self,
        world: World | str,
        rows: int,
        options: EpisodeOptions,
        split: str,
    ) -> None:
        self.world = world_named(world, split) if isinstance(world, str) else world
        self.episodes = self.kind(self.world, rows, options)
        self.observation_space, self.action_space = self._spaces()

    def _spaces(self) -> tuple[gym.Space[Observation], gym.Space[Any]]:
        """Return the spaces of observations and of actions."""
        proposals = self.episodes.proposals
        return box(BOUND, (proposals, len(FEATURES))), gym.spaces.Discrete(proposals)

    def with_options(self, options: dict[str, Any] | None) -> Tuning:
        """Return the same under the objective of a reset's options; itself where there is none."""
        unknown = set(options or {}) - {"objective"}
        if unknown:
            raise OptionError(f"reset has no option {min(unknown)!r}; there is objective")
        objective = (options or {}).get("objective")
        if objective is None:
            return self
        world, own = self.world.with_objective(objective), self.episodes
        return type(self)(world, own.rows, own.options, "all")

    def reset(self, generators: Sequence[np.random.Generator]) -> Observation:
        """Draw a problem for each row, from that row's generator, and measure its default."""
        uniforms = np.stack([generator.random(UNIFORMS) for generator in generators])
        return self.episodes.reset(uniforms, self.normals(generators))

    def normals(self, generators: Sequence[np.random.Generator]) -> FloatArray:
        """Draw the noise of one window for each row, [B, Q + 1]."""
        numbers = self.episodes.problems.quantities + 1
        return np.stack([generator.standard_normal(numbers) for generator in generators])


def _options(
    budget: int,
    reward: RewardOptions | None,
    changes: float,
    risk: float | str | None,
    budget_s: float | None,
    builds: float,
) -> EpisodeOptions:
    """Return the options of episodes as Gymnasium's users give them."""
    price = None if risk is None else parse_risk(risk)
    return EpisodeOptions(budget, reward or RewardOptions(), changes, price, budget_s, builds)


class SingleEnv(gym.Env[Observation, Action]):
    """One episode at a time, whatever an action is: see `TuningEnv` and `KnobsEnv`."""

    # Gymnasium's own convention.
    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012

    kind: type[Tuning] = Tuning

    def __init__(
        self,
        world: World | str = "agx_orin_64",
        budget: int = BUDGET,
        split: str = "train",
        reward: RewardOptions | None = None,
        changes: float = 0.0,
        risk: float | str | None = "balanced",
        budget_s: float | None = math.inf,
        builds: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        options = _options(budget, reward, changes, risk, budget_s, builds)
        self._whole = self.kind(world, 1, options, split)
        self._tuning = self._whole
        self.observation_space = self._tuning.observation_space
        self.action_space = self._tuning.action_space
        self.render_mode = render_mode

    @property
    def episodes(self) -> Episodes:
        """Return the state of the episode, a batch of one."""
        return self._tuning.episodes

    @property
    def spec_of_problem(self) -> ProblemSpec:
        """Return space, objective and shortlist of the problem at hand."""
        return self._tuning.world.specs[int(self.episodes.problem[0])]

    @abstractmethod
    def describe(self, slot: int) -> str:
        """Return what was measured as text, slot 0 being the default."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a problem and measure its default; `options` may give an objective."""
        super().reset(seed=seed)
        self._tuning = self._whole.with_options(options)
        observations = self._tuning.reset([self.np_random])
        return observations[0], {
            "objective": self.spec_of_problem.objective,
            "space": self.spec_of_problem.space,
            "origin": self._tuning.world.origin.value,
        }

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply and measure what the action asks for."""
        observations, rewards, terminated, facts = self.episodes.step(
            np.array([action]), self._tuning.normals([self.np_random])
        )
        info = {name: values[0] for name, values in facts.items()}
        ended = bool(terminated[0]) or not self.episodes.time_left()[0]
        return observations[0], float(rewards[0]), ended, False, info

    def render(self) -> str | None:
        """Return the objective and the measurements so far, a line each."""
        spec, episodes = self.spec_of_problem, self.episodes
        lines = [spec.objective.describe(spec.space.workload.names)]
        for slot in range(int(episodes.used[0])):
            score, unit = np.exp(episodes.log_score[0, slot]), spec.objective.goal.unit
            kept = "kept" if episodes.kept[0, slot] else "broke a limit"
            lines.append(f"{self.describe(slot)}: {score:.4g} {unit}, {kept}")
        return "\n".join(lines)


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
        options = _options(budget, reward, changes, risk, budget_s, builds)
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
