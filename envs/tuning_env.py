"""`TuningEnv` and `TuningVectorEnv`: tuning as Gymnasium environments. Both are `Episodes`, of one row and of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv

from envs.belief.features import ALLOWED, FEATURES
from envs.catalog.boards import board_names
from envs.episode import UNIFORMS, Episodes, RewardOptions
from envs.errors import OptionError, TraceError
from envs.problems.draw import DrawOptions
from envs.problems.world import SimulatedWorld, TraceWorld, World
from envs.spec.space import Configuration
from envs.traces.reader import find_trace, read_trace

Observation = npt.NDArray[np.float32]

#: Features are logarithms of ratios, spreads and shares; all of them lie within this.
BOUND = 30.0


def world_named(name: str, split: str = "train", problems: int = 64, seed: int = 0) -> World:
    """A board of the catalogue (problems drawn in its model), or a trace by name or path; OptionError where it is neither."""
    if name in board_names():
        return SimulatedWorld(DrawOptions(boards=[name], split=split), problems, seed)
    try:
        path = find_trace(name)
    except TraceError as error:
        raise OptionError(
            f"world={name!r} is neither a board ({', '.join(board_names())}) nor a trace: {error}"
        ) from None
    return TraceWorld(read_trace(path), split, problems, seed)


class _Tuning:
    """What both environments share: the world, the spaces, and the drawing of problems and noise."""

    def __init__(
        self,
        world: World | str,
        rows: int,
        budget: int,
        split: str,
        reward: RewardOptions | None,
        changes: float,
        fast: bool = False,
    ) -> None:
        self.world = world_named(world, split) if isinstance(world, str) else world
        self.episodes = Episodes(self.world, rows, budget, reward, changes, fast)
        self._fast = fast
        self.observation_space = gym.spaces.Box(
            -BOUND, BOUND, (self.episodes.proposals, len(FEATURES)), dtype=np.float32
        )
        self.action_space = gym.spaces.Discrete(self.episodes.proposals)

    def asking(self, options: dict[str, Any] | None) -> _Tuning:
        """The same with the objective that the options of a reset ask for; itself where they ask for none."""
        unknown = set(options or {}) - {"objective"}
        if unknown:
            raise OptionError(f"reset has no option {min(unknown)!r}; there is objective")
        objective = (options or {}).get("objective")
        if objective is None:
            return self
        episodes = self.episodes
        return _Tuning(
            self.world.asking(objective),
            episodes.rows,
            episodes.budget,
            "all",
            episodes.reward,
            episodes.changes,
            self._fast,
        )

    def reset(self, generators: Sequence[np.random.Generator]) -> Observation:
        """Draw a problem a row, from that row's generator, and measure its default configuration."""
        return self.episodes.reset(
            np.stack([generator.random(UNIFORMS) for generator in generators]),
            self.normals(generators),
        )

    def normals(self, generators: Sequence[np.random.Generator]) -> npt.NDArray[np.float64]:
        """[B, Q]: the noise of one window a row."""
        quantities = self.episodes.pool.mean.shape[1]
        return np.stack([generator.standard_normal(quantities) for generator in generators])


class TuningEnv(gym.Env[Observation, np.int64]):
    """One episode: find the best configuration for one problem within a budget of measurements.

    What may be the best configuration is proposed by the device model, in the order of promise; an observation [P, F] describes each of the
    P proposals (`envs.belief.features`), and an action chooses one of them to be applied and measured: so many instances of each tenant on each
    accelerator, at such a batch size. All are jointly valid (`envs.spec.validity`); `action_masks()` names those worth choosing, which leaves out
    what was measured already, but for what keeps its limits most safely: measuring that again is how to wait. `proposals()` gives them as configurations.
    `reset(options={"objective": Objective(...)})` asks for a given objective, where the world is one device (a trace, a runtime).
    The episode terminates when the budget is used up: how much is left is part of what is observed.

    Args:
        world: a world; or the name of a board, such as `agx_orin_64`, to draw problems in its model; or the name or path of a trace.
        budget: measurements, the default configuration's included.
        split: which boards, networks and limits are drawn: `train`, `held_out` or `all`.
        changes: share of episodes in which conditions change on the way.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 - Gymnasium's own convention

    def __init__(
        self,
        world: World | str = "agx_orin_64",
        budget: int = 8,
        split: str = "train",
        reward: RewardOptions | None = None,
        changes: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        self._whole = _Tuning(world, 1, budget, split, reward, changes)
        self._tuning = self._whole
        self.observation_space = self._tuning.observation_space
        self.action_space = self._tuning.action_space
        self.render_mode = render_mode

    @property
    def episodes(self) -> Episodes:
        return self._tuning.episodes

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self._tuning = self._whole.asking(options)
        observations = self._tuning.reset([self.np_random])
        asked = self._asked
        return observations[0], {
            "objective": asked.objective,
            "space": asked.space,
            "origin": self._tuning.world.origin.value,
        }

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        observations, rewards, terminated, facts = self.episodes.step(
            np.array([action]), self._tuning.normals([self.np_random])
        )
        return (
            observations[0],
            float(rewards[0]),
            bool(terminated[0]),
            False,
            {name: values[0] for name, values in facts.items()},
        )

    def proposals(self) -> list[Configuration]:
        """What each action would measure."""
        placements = self._asked.placements
        return [
            Configuration.of(placements[min(row, len(placements) - 1)])
            for row in self.episodes.shown[0]
        ]

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """[P]: what is worth choosing (the convention of sb3-contrib)."""
        return np.asarray(self.episodes.last[0, :, ALLOWED] > 0.5)

    def render(self) -> str | None:
        """What was measured so far, a line each."""
        asked, episodes = self._asked, self.episodes
        lines = [asked.objective.describe(asked.space.workload.names)]
        for slot in range(int(episodes.used[0])):
            configuration = Configuration.of(asked.placements[episodes.taken[0, slot]])
            kept = "kept" if episodes.kept[0, slot] else "broke a limit"
            lines.append(
                f"{asked.space.describe(configuration)}: {np.exp(episodes.log_score[0, slot]):.1f} inferences/s, {kept}"
            )
        return "\n".join(lines)

    @property
    def _asked(self) -> Any:
        return self._tuning.world.asked[int(self.episodes.problem[0])]


class TuningVectorEnv(VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """Many episodes in step, each row the same as a `TuningEnv` with that row's seed. Resets in the step that ends an episode.

    Args:
        num_envs: rows; each has a problem of its own, with its own board, networks and limits.
        shared_noise: draw the randomness of all rows from one generator, that of row 0, in one go. Much faster, also because
            compiled code is used where numba is installed; rows are then no longer the same as scalar environments of their own seeds.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - Gymnasium's own convention

    def __init__(
        self,
        num_envs: int = 256,
        world: World | str = "agx_orin_64",
        budget: int = 8,
        split: str = "train",
        reward: RewardOptions | None = None,
        changes: float = 0.0,
        shared_noise: bool = False,
    ) -> None:
        self._whole = _Tuning(world, num_envs, budget, split, reward, changes, shared_noise)
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
        return self._tuning.episodes

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Gymnasium's convention: one whole number seeds row i with `seed + i`. Options are those of `TuningEnv.reset`, for all rows."""
        if seed is not None:
            seeds = (
                [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else list(seed)
            )
            for row, value in enumerate(seeds):
                if value is not None:
                    self._generators[row] = gym.utils.seeding.np_random(value)[0]
        self._tuning = self._whole.asking(options)
        return self._restart(), {}

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Observation, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
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
            # Rows are exchangeable here; side by side, those of the same problem share what is read of it.
            return self.episodes.reset(uniforms[uniforms[:, 0].argsort()], self._normals())
        return self._tuning.reset(self._generators)

    def _normals(self) -> npt.NDArray[np.float64]:
        if self._shared_noise:
            return self._generators[0].standard_normal(
                (self.num_envs, self.episodes.pool.mean.shape[1])
            )
        return self._tuning.normals(self._generators)
