"""Share among all environments the draws of problems and noise, and one episode at a time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.belief.features import FEATURES
from envs.belief.risk import parse_risk
from envs.episode import UNIFORMS, Episodes
from envs.errors import OptionError
from envs.problems.episode_options import BUDGET, EpisodeOptions, RewardOptions
from envs.problems.named import world_named
from envs.problems.world import ProblemSpec, World

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


def episode_options(
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
        options = episode_options(budget, reward, changes, risk, budget_s, builds)
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
