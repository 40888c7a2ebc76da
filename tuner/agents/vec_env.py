"""The vector environment in the shape that stable-baselines3 expects."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from envs.tuning_env import TuningVectorEnv


class SB3TuningVecEnv(VecEnv):
    """Wraps `TuningVectorEnv` as an SB3 `VecEnv`.

    It seeds at the first reset, and reports each finished episode as `Monitor` does; `broke` is
    the share of its measurements that broke a limit.
    """

    def __init__(self, env: TuningVectorEnv, seed: int) -> None:
        self.env = env  # first, since the base class asks it for its render mode
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self._seed: int | None = seed
        self._returns = np.zeros(env.num_envs)
        self._broken = np.zeros(env.num_envs)
        self._lengths = 0
        self._actions = np.zeros(env.num_envs, dtype=np.int64)
        self._nothing: list[dict[str, Any]] = [{} for _ in range(env.num_envs)]

    def reset(self) -> np.ndarray:
        observations, _ = self.env.reset(seed=self._seed)
        self._seed = None  # later resets go on with the same generators
        self._forget()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observations, rewards, terminated, _, infos = self.env.step(self._actions)
        self._returns += rewards
        self._broken += infos["violation"] > 0
        self._lengths += 1
        notes = self._nothing
        if terminated.all():
            final = infos["final_obs"]
            notes = [
                {
                    "terminal_observation": final[row],
                    "TimeLimit.truncated": False,
                    "episode": {
                        "r": float(gain),
                        "l": self._lengths,
                        "t": 0.0,
                        "broke": float(broken) / self._lengths,
                    },
                }
                for row, (gain, broken) in enumerate(zip(self._returns, self._broken, strict=True))
            ]
            self._forget()
        return observations, rewards.astype(np.float32), terminated, notes

    def _forget(self) -> None:
        self._returns[:] = 0
        self._broken[:] = 0
        self._lengths = 0

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        rows = getattr(self.env, method_name)(*method_args, **method_kwargs)  # of all rows at once
        return [rows[row] for row in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))

    def seed(self, seed: int | None = None) -> list[int | None]:
        self._seed = seed
        return [seed] * self.num_envs
