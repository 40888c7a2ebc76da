"""Observations of knobs by the names of their features."""

from __future__ import annotations

import numpy as np

from envs.knobs_env import KnobsEnv


def seen(env: KnobsEnv, observation: np.ndarray) -> dict[str, float]:
    return dict(zip(env.feature_names, observation.tolist(), strict=True))
