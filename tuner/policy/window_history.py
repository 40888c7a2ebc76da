"""What windows of each configuration really gave.

Letters: Q quantities (log throughput of each tenant, log p99 of each, log power).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from envs.arrays import Single
from envs.spec.space import Configuration
from tuner.policy.noise_model import Drift, Scatter

#: Windows of a configuration that are remembered as they were, and as how many counts what is believed of its chance beside them.
REMEMBERED, BELIEVED = 100, 10

#: Windows that say what a configuration gives now: enough to average, few enough to be of now.
LATEST = 10

#: Standard errors by which a chance may be better than it looks: what was unlucky a few times is not given up for something much slower.
BENEFIT = 0.5


class Evidence:
    """What windows of each configuration really gave: a tail is heavier than any belief in noise has it."""

    def __init__(self) -> None:
        self._windows: dict[Configuration, Single] = {}

    def add(self, configuration: Configuration, seen: Single) -> None:
        """One more window, [Q] logarithms; one without numbers is none."""
        if np.isfinite(seen[0]):
            before = self._windows.get(configuration, np.empty((0, len(seen)), dtype=np.float32))
            self._windows[configuration] = np.concatenate([before[-REMEMBERED + 1 :], seen[None]])

    def forget(self) -> None:
        """The device is another one."""
        self._windows.clear()

    def __bool__(self) -> bool:
        return bool(self._windows)

    def configurations(self) -> list[Configuration]:
        """Those that have windows, in the order of their first ones."""
        return list(self._windows)

    def latest(self, configuration: Configuration) -> tuple[Single, Single]:
        """[Q], mean of the latest windows, NaN for what none of them has; and of how many, at least 1."""
        windows = self._windows[configuration][-LATEST:]
        told = np.isfinite(windows)
        count = told.sum(axis=0).astype(np.float32)
        mean = np.where(told, windows, 0.0).sum(axis=0) / np.where(count, count, np.nan)
        return mean.astype(np.float32), np.maximum(count, 1)

    def chance(self, configuration: Configuration, believed: float, limits: Single) -> float:
        """That a window keeps all limits [Q], from what is believed and how often that was so."""
        windows = self._windows.get(configuration, np.empty((0, len(limits)), dtype=np.float32))
        kept = len(windows) - int((windows > limits).any(axis=1).sum())
        count = BELIEVED + len(windows)
        chance = (BELIEVED * believed + kept) / count
        return chance + BENEFIT * math.sqrt(max(chance * (1 - chance), 0.0) / count)


@dataclass(frozen=True)
class History:
    """What is known of a device by its windows, whatever is asked of it."""

    scatter: Scatter = field(default_factory=Scatter)
    evidence: Evidence = field(default_factory=Evidence)
    drift: Drift = field(default_factory=Drift)

    def forget(self) -> None:
        """The device is another one; how it scatters stays."""
        self.evidence.forget()
        self.drift.forget()
